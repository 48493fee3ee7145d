"""bench_traces.py [--seconds N] [--rounds N] [--json] -- what traces cost: ./dev bench orders --traces.

Runs ./dev bench orders without a collector (off), and with one for a sampling of 0, 1 % and 100 %, each on a mesh of its
own, all of them once a round, so that a machine whose neighbours come and go is the same for all. The collector is a
sink on this machine, which reads and counts. What is printed is the mean of the rounds, and how it compares with off.
"""

import argparse
import http.server
import json
import os
import pathlib
import subprocess
import sys
import threading

ROOT = pathlib.Path(__file__).resolve().parents[1]
SAMPLINGS = ("off", "0", "0.01", "1")
NAMES = {"off": "off", "0": "0", "0.01": "1 %", "1": "100 %"}
SERVICES = ("storage", "account", "saga", "order", "bff")
SPAN = b'"startTimeUnixNano"'  # once in each span
CHUNK = 1 << 20


class Sink:
    def __init__(self):
        self.spans = 0
        sink = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                left, tail = int(self.headers["content-length"]), b""
                while left > 0:
                    bytes_read = tail + self.rfile.read(min(left, CHUNK))
                    left -= len(bytes_read) - len(tail)
                    sink.spans += bytes_read.count(SPAN)
                    tail = bytes_read[-len(SPAN) + 1 :]  # too short for one that was counted
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"{}")

            def log_message(self, *arguments):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def environment(self, sampling):
        settings = {key: value for key, value in os.environ.items() if not key.startswith("OTEL_")}
        if sampling != "off":
            settings["OTEL_EXPORTER_OTLP_ENDPOINT"] = f"http://127.0.0.1:{self.server.server_port}"
            settings["OTEL_TRACES_SAMPLER"] = "parentbased_traceidratio"
            settings["OTEL_TRACES_SAMPLER_ARG"] = sampling
        return settings


def measure(sink, sampling, seconds):
    """{"orders_per_s", "cpu_us" of services and PostgreSQL an order, "spans" an order that came here}"""
    spans = sink.spans
    words = [str(ROOT / "dev"), "bench", "orders", "--json", f"--seconds={seconds}"]
    environment = sink.environment(sampling)
    done = subprocess.run(words, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    figures = json.loads(done.stdout)
    cpu = figures["cpu_us_per_order"]
    return {
        "orders_per_s": figures["orders_per_s"],
        "services_cpu_us": sum(cpu[name] for name in SERVICES),
        "cpu_us": sum(cpu[name] for name in (*SERVICES, "postgres")),
        "spans_per_order": (sink.spans - spans) / figures["paid"],
    }


def mean(rounds):
    return {key: sum(figures[key] for figures in rounds) / len(rounds) for key in rounds[0]}


def compare(means):
    """The rows, each beside the first."""
    base = means["off"]
    return [
        {
            "sampling": NAMES[sampling],
            **figures,
            "orders_ratio": figures["orders_per_s"] / base["orders_per_s"],
            "services_cpu_ratio": figures["services_cpu_us"] / base["services_cpu_us"],
            "cpu_ratio": figures["cpu_us"] / base["cpu_us"],
        }
        for sampling, figures in means.items()
    ]


def show(rows):
    print("sampling  orders/s  ratio   services' CPU us/order  ratio   with PostgreSQL  ratio   spans/order")
    for row in rows:
        print(
            f"{row['sampling']:<8}  {row['orders_per_s']:8.0f}  {row['orders_ratio']:5.2f}"
            f"   {row['services_cpu_us']:22.0f}  {row['services_cpu_ratio']:5.2f}"
            f"   {row['cpu_us']:15.0f}  {row['cpu_ratio']:5.2f}   {row['spans_per_order']:11.2f}"
        )


def main():
    reader = argparse.ArgumentParser(prog="./dev bench orders --traces")
    reader.add_argument("--seconds", type=int, default=4, help="of each long part of a run")
    reader.add_argument("--rounds", type=int, default=2)
    reader.add_argument("--json", action="store_true", help="figures in JSON")
    wanted = reader.parse_args()
    sink, rounds = Sink(), {sampling: [] for sampling in SAMPLINGS}
    for number in range(wanted.rounds):
        for sampling in SAMPLINGS:
            print(f"round {number + 1}, sampling {NAMES[sampling]}", file=sys.stderr, flush=True)
            rounds[sampling].append(measure(sink, sampling, wanted.seconds))
    rows = compare({sampling: mean(figures) for sampling, figures in rounds.items()})
    print(json.dumps(rows)) if wanted.json else show(rows)


if __name__ == "__main__":
    main()
