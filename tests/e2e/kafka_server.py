"""A real Apache Kafka for tests: one node, started, killed and read.

The jars are fetched and the data is formatted by `./dev kafka`; records are read with kcat, which
nobody here wrote.
"""

import json
import os
import pathlib
import signal
import subprocess

from mesh import ROOT, dev, free_port, wait_until

START_SECONDS = 90
SEPARATOR = "\x1f"


class Kafka:
    def __init__(self, directory):
        self.directory = pathlib.Path(directory)
        self.port = free_port()
        self.controller = free_port()
        self.log = self.directory / "kafka.log"
        self.process = None

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    def start(self):
        if not self.directory.exists():
            dev("kafka", "configure", str(self.directory), str(self.port), str(self.controller))
        before = self.log.stat().st_size if self.log.exists() else 0
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                ["java", "-Xms64m", "-Xmx256m", "-XX:+UseSerialGC", "-cp", f"{ROOT}/.run/kafka/lib/*",
                 "kafka.Kafka", str(self.directory / "server.properties")],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log)

        def has_started():
            assert self.process.poll() is None, f"Kafka ended: {self.log}"
            with open(self.log, "rb") as log:
                log.seek(before)
                return b"Kafka Server started" in log.read()

        wait_until(has_started, START_SECONDS, "Kafka ready")

    def kill(self):
        """kill -9; returns once the process is gone."""
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def close(self):
        if self.process is not None and self.process.poll() is None:
            self.kill()

    def read(self, topic):
        """All records of a topic, partition by partition: dicts of partition, key, headers, value."""
        text = subprocess.run(
            ["kcat", "-b", self.address, "-C", "-t", topic, "-e", "-q", "-o", "beginning", "-X",
             "isolation.level=read_committed", "-f", SEPARATOR.join(["%p", "%k", "%h", "%s"]) + "\n"],
            capture_output=True, text=True, timeout=60, check=True).stdout
        return [record_of(line) for line in text.splitlines() if line]


def record_of(line):
    partition, key, headers, value = line.split(SEPARATOR)
    names = dict(pair.split("=", 1) for pair in headers.split(",") if "=" in pair)
    return {"partition": int(partition), "key": key, "headers": names, "value": json.loads(value)}
