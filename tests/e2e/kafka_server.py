"""A real Apache Kafka for tests: one node, started and killed. `./dev kafka` fetches the jars and formats
the data.
"""

import os
import pathlib
import signal
import subprocess

from mesh import ROOT, dev, free_port
from patience import wait_until

START_SECONDS = 90


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

    def is_alive(self):
        return self.process is not None and self.process.poll() is None

    def kill(self):
        """kill -9; returns once the process is gone."""
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def close(self):
        if self.is_alive():
            self.kill()
