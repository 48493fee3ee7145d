"""What a program shows to those who watch over it, at its ops port."""

import http.client
import json

from prometheus_client.openmetrics import parser as openmetrics
from prometheus_client.parser import text_string_to_metric_families

TEXT = "text/plain; version=0.0.4; charset=utf-8"
OPEN = "application/openmetrics-text; version=1.0.0; charset=utf-8"
# What Prometheus 2.42 sends.
PROMETHEUS = (
    "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
    "text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
)


class Shown:
    def __init__(self, response, body):
        self.status, self.type = response.status, response.headers["Content-Type"]
        self.text = body.decode()
        self.json = json.loads(body) if self.type.endswith("json") else None

    def __repr__(self):
        return f"{self.status} {self.type} {self.text[:500]}"


def look(program, path, accept=None, timeout=20):
    """GET of a program's ops port (programs.py: Program)."""
    connection = http.client.HTTPConnection("127.0.0.1", program.ops_port, timeout=timeout)
    try:
        connection.request("GET", path, headers={"Accept": accept} if accept else {})
        response = connection.getresponse()
        return Shown(response, response.read())
    finally:
        connection.close()


def samples(program):
    """Name and labels as the text has them -> value, of /metrics now."""
    shown = look(program, "/metrics")
    assert (shown.status, shown.type) == (200, TEXT), shown
    found = {}
    for line in shown.text.splitlines():
        if not line.startswith("#"):
            name, value = line.rsplit(" ", 1)
            assert name not in found, name
            found[name] = float(value)
    return found


def families_of(shown):
    """As Prometheus's own client for Python reads them, which is strict in OpenMetrics."""
    read = openmetrics.text_string_to_metric_families if shown.type == OPEN else text_string_to_metric_families
    return {family.name: family for family in read(shown.text)}
