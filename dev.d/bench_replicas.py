"""bench_replicas.py [--counts 1,2,4] [--seconds N] [--rounds N] [--json] -- what replicas do: ./dev bench orders --replicas.

Runs ./dev bench orders with so many of each service, each on a mesh of its own, all of them once a round, so that a machine
whose neighbours come and go is the same for all. What is printed is the mean of the rounds.
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
BATCHES = ("orders", "storage", "account", "saga")


def measure(count, seconds):
    words = [str(ROOT / "dev"), "bench", "orders", "--json", f"--seconds={seconds}"]
    environment = {**os.environ, "MESH_REPLICAS": str(count)}
    done = subprocess.run(words, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    figures = json.loads(done.stdout)
    return {
        "orders_per_s": figures["orders_per_s"],
        "cpu_us": sum(cpu for name, cpu in figures["cpu_us_per_order"].items() if name != "bench"),
        "commits_per_order": figures["write_commits_per_order"],
        **{f"{name}_batch": figures["orders_per_batch"].get(name, 0) for name in BATCHES},
    }


def mean(rounds):
    return {key: sum(figures[key] for figures in rounds) / len(rounds) for key in rounds[0]}


def show(means):
    print("replicas  orders/s  CPU us/order  commits/order  orders a writing transaction of " + ", ".join(BATCHES))
    for count, row in means.items():
        batches = "  ".join(f"{row[name + '_batch']:6.1f}" for name in BATCHES)
        print(f"{count:8}  {row['orders_per_s']:8.0f}  {row['cpu_us']:12.0f}  {row['commits_per_order']:13.2f}  {batches}")


def main():
    reader = argparse.ArgumentParser(prog="./dev bench orders --replicas")
    reader.add_argument("--counts", default="1,2,4", help="of each service")
    reader.add_argument("--seconds", type=int, default=4, help="of each long part of a run")
    reader.add_argument("--rounds", type=int, default=1)
    reader.add_argument("--json", action="store_true", help="figures in JSON")
    wanted = reader.parse_args()
    counts = [int(count) for count in wanted.counts.split(",")]
    rounds = {count: [] for count in counts}
    for number in range(wanted.rounds):
        for count in counts:
            print(f"round {number + 1}, {count} of each service", file=sys.stderr, flush=True)
            rounds[count].append(measure(count, wanted.seconds))
    means = {count: mean(figures) for count, figures in rounds.items()}
    print(json.dumps(means)) if wanted.json else show(means)


if __name__ == "__main__":
    main()
