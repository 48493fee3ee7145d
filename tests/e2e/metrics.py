"""What programs show at /metrics, and what docs/METRICS.md says that they do."""

import collections
import re

from external import http_json
from mesh import ROOT

# The programs of a mesh by the names of their binaries.
PROGRAMS = {
    "storage-svc": "storage",
    "account-svc": "account",
    "saga-svc": "saga",
    "order-svc": "order",
    "alerts-svc": "alerts",
    "bff": "bff",
    "sandbox-provider": "provider",
    "sandbox-broker": "broker",
}
Metric = collections.namedtuple("Metric", "type labels")
ROW = re.compile(
    r"\| `(?P<name>[a-z_]+)` \| (?P<type>counter|gauge|histogram) \|(?P<labels>[^|]*)\| [^|]+ \| [^|]+ \|$"
)
SAMPLE = re.compile(r'(?P<name>[a-zA-Z_:]+)(?:{(?P<labels>.*)})? (?P<value>\S+)$')
LABEL = re.compile(r'([a-z_]+)="((?:[^"\\]|\\.)*)"')


def described():
    """Program -> name -> Metric, as the document has it."""
    programs, says = [], {name: {} for name in PROGRAMS.values()}
    for line in (ROOT / "docs" / "METRICS.md").read_text().splitlines():
        if line.startswith("## "):
            programs = []
        elif line.startswith("Programs: "):
            words = line.removeprefix("Programs: ").split(", ")
            programs = list(PROGRAMS.values()) if words == ["all"] else [PROGRAMS[word] for word in words]
        elif line.startswith("| `"):
            row = ROW.match(line)
            assert row, f"docs/METRICS.md has a row that is none: {line}"
            labels = frozenset(re.findall(r"`([a-z_]+)`", row["labels"]))
            for program in programs:
                assert row["name"] not in says[program], f"{row['name']} is there twice"
                says[program][row["name"]] = Metric(row["type"], labels)
    return says


class Shown:
    """The answer of a program: values by series, and the metrics that it has."""

    def __init__(self, text):
        self.metrics, self.samples = {}, {}
        for line in text.splitlines():
            if line.startswith("# TYPE "):
                name, kind = line.split()[2:]
                self.metrics[name] = Metric(kind, None)
            elif not line.startswith("#"):
                self._take(line)

    def _take(self, line):
        sample = SAMPLE.match(line)
        assert sample, line
        labels = dict(LABEL.findall(sample["labels"] or ""))
        name = sample["name"]
        if name not in self.metrics:
            name = re.sub(r"_(bucket|sum|count)$", "", name)
            labels.pop("le", None)
        seen = self.metrics[name].labels
        assert seen is None or seen == frozenset(labels), f"{line}: other series have the labels {seen}"
        self.metrics[name] = self.metrics[name]._replace(labels=frozenset(labels))
        self.samples[line.rsplit(" ", 1)[0]] = float(sample["value"])

    def __getitem__(self, series):
        return self.samples.get(series, 0)


def scrape(mesh, program):
    status, text = http_json(mesh.programs[program].ops, "GET", "/metrics")
    assert status == 200, (program, status, text)
    return Shown(text)
