"""Debian's Prometheus for tests: its promtool, and a server of its own that scrapes a mesh each second."""

import json
import pathlib
import shutil
import subprocess
import tempfile
import urllib.error
import urllib.parse
import urllib.request

from mesh import ROOT, free_port
from patience import wait_until

FOLDER = ROOT / "k8s" / "observability"
START_SECONDS = 30
CONFIG = """
global: {{scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s}}
rule_files: [{rules}]
scrape_configs:
"""
JOB = """  - job_name: {job}
    static_configs: [{{targets: ["{address}"]}}]
"""


def program(name):
    """Where ./dev test eyes has it, or the machine."""
    return str(shutil.which(name) or ROOT / ".run" / "prometheus" / "usr" / "bin" / name)


def promtool(*words):
    """(status, what it said)"""
    done = subprocess.run(
        [program("promtool"), *words], cwd=FOLDER, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    return done.returncode, done.stdout


class Prometheus:
    """targets: {job: address of /metrics}"""

    def __init__(self, targets):
        self.targets = targets
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="sagamesh-prometheus-"))
        self.port = free_port()
        self.process = None

    def start(self):
        config = CONFIG.format(rules=FOLDER / "rules.yaml")
        config += "".join(JOB.format(job=job, address=address) for job, address in self.targets.items())
        (self.directory / "prometheus.yml").write_text(config)
        with open(self.directory / "log", "wb") as log:
            self.process = subprocess.Popen(
                [
                    program("prometheus"),
                    f"--config.file={self.directory}/prometheus.yml",
                    f"--storage.tsdb.path={self.directory}/data",
                    f"--web.listen-address=127.0.0.1:{self.port}",
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        wait_until(self.is_ready, START_SECONDS, f"Prometheus is ready: {self.directory}/log")

    def close(self):
        if self.process:
            self.process.kill()
            self.process.wait()
        shutil.rmtree(self.directory)

    def is_ready(self):
        assert self.process.poll() is None, (self.directory / "log").read_text()
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/-/ready", timeout=5) as answer:
                return answer.status == 200
        except OSError:
            return False

    def api(self, path, **parameters):
        """The data of an answer; a query that is refused is an AssertionError that says why."""
        url = f"http://127.0.0.1:{self.port}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        try:
            with urllib.request.urlopen(url, timeout=30) as answer:
                said = json.load(answer)
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{parameters}: {error.read().decode()}") from None
        assert said["status"] == "success" and not said.get("warnings"), (parameters, said)
        return said["data"]

    def query(self, expression):
        """The series of an instant vector, or a scalar as one."""
        data = self.api("query", query=expression)
        return [data["result"]] if data["resultType"] == "scalar" else data["result"]
