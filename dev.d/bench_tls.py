"""bench_tls.py [--seconds N] [--rounds N] [--json] -- what TLS costs: ./dev bench orders --tls.

Runs ./dev bench orders plain and with TLS (gRPC and PostgreSQL, certificates on both sides), each on a mesh of its own, one after the other
in each round, and the other one first in every second round, so that a machine whose neighbours come and go is the same for
both. What is printed is the mean of the rounds, and of the rounds' ratios.
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
SERVICES = ("storage", "account", "saga", "order", "bff")
FIGURES = ("orders_per_s", "services_cpu_us", "postgres_cpu_us")


def measure(has_tls, seconds):
    words = [str(ROOT / "dev"), "bench", "orders", "--json", f"--seconds={seconds}"]
    environment = {**os.environ, "MESH_TLS": "1" if has_tls else "0"}
    done = subprocess.run(words, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    figures = json.loads(done.stdout)
    cpu = figures["cpu_us_per_order"]
    return {
        "orders_per_s": figures["orders_per_s"],
        "services_cpu_us": sum(cpu[name] for name in SERVICES),
        "postgres_cpu_us": cpu["postgres"],
    }


def main():
    reader = argparse.ArgumentParser(prog="./dev bench orders --tls")
    reader.add_argument("--seconds", type=int, default=4, help="of each long part of a run")
    reader.add_argument("--rounds", type=int, default=2)
    reader.add_argument("--json", action="store_true", help="figures in JSON")
    wanted = reader.parse_args()
    rounds = []
    for number in range(wanted.rounds):
        pair = {}
        for has_tls in (False, True) if number % 2 == 0 else (True, False):
            print(f"round {number + 1}, {'TLS' if has_tls else 'plain'}", file=sys.stderr, flush=True)
            pair[has_tls] = measure(has_tls, wanted.seconds)
        rounds.append(pair)

    def mean(values):
        return sum(values) / len(rounds)

    rows = {
        name: {
            "plain": mean(pair[False][name] for pair in rounds),
            "tls": mean(pair[True][name] for pair in rounds),
            "ratio": mean(pair[True][name] / pair[False][name] for pair in rounds),
        }
        for name in FIGURES
    }
    if wanted.json:
        print(json.dumps(rows))
        return
    print(f"{'':<16}  {'plain':>8}  {'TLS':>8}  ratio")
    for name, row in rows.items():
        print(f"{name:<16}  {row['plain']:8.0f}  {row['tls']:8.0f}  {row['ratio']:5.2f}")


if __name__ == "__main__":
    main()
