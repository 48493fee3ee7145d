"""A real Apache Kafka for tests: one node, started and killed. `./dev kafka` fetches the jars and formats
the data.
"""

import os
import pathlib
import signal
import subprocess

from mesh import ROOT, dev, free_port
from patience import wait_until

import certificates
import programs

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


class SecureKafka(Kafka):
    """One that lets programs in by TLS, of a CA of its own, and with a user and a password (SASL PLAIN: SCRAM of
    Debian's librdkafka 2.0.2 and of Kafka since 3.8.1 do not understand each other). Its plain listener is for the test's own
    reading."""

    USER, PASSWORD = "mesh", "a-password-of-tests"

    def __init__(self, directory):
        super().__init__(directory)
        self.secure_port = free_port()

    @property
    def secure_address(self):
        return f"localhost:{self.secure_port}"

    def start(self):
        if not self.directory.exists():
            self._configure()
        super().start()

    def _configure(self):
        dev("kafka", "fetch")
        tls = self.directory / "tls"
        certificates.keep(tls, ("kafka",))
        pair = (tls / "kafka.key").read_text() + (tls / "kafka.crt").read_text()
        programs.write_whole(tls / "kafka.pem", pair, 0o600)
        text = (ROOT / "sandbox" / "kafka" / "server.properties").read_text()
        for name, value in (("directory", self.directory), ("port", self.port), ("controller", self.controller)):
            text = text.replace("{%s}" % name, str(value))
        added = {
            "listeners": f",SASL_SSL://127.0.0.1:{self.secure_port}",
            "advertised.listeners": f",SASL_SSL://{self.secure_address}",
            "listener.security.protocol.map": ",SASL_SSL:SASL_SSL",
        }
        lines = [line + added.get(line.split("=")[0], "") for line in text.splitlines()]
        lines += [
            "ssl.keystore.type=PEM",
            f"ssl.keystore.location={tls}/kafka.pem",
            "sasl.enabled.mechanisms=PLAIN",
            "listener.name.sasl_ssl.plain.sasl.jaas.config="
            f'org.apache.kafka.common.security.plain.PlainLoginModule required user_{self.USER}="{self.PASSWORD}";',
        ]
        properties = self.directory / "server.properties"
        properties.write_text("\n".join(lines) + "\n")
        tool = ["java", "-cp", f"{ROOT}/.run/kafka/lib/*", "kafka.tools.StorageTool"]
        cluster = subprocess.run([*tool, "random-uuid"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout.strip()
        words = [*tool, "format", "-t", cluster, "-c", str(properties)]
        done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        assert done.returncode == 0, done.stdout
