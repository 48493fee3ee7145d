"""What operators are given to watch a mesh with, k8s/observability: the rules by promtool and by their own
tests, the dashboard by its shape, and both on a real Prometheus that scrapes a mesh with orders in it.
"""

import itertools
import json
import re
import unittest

import external
import frontend
import prometheus
from mesh import ROOT, Mesh, uuid7
from patience import wait_until

RULES = (prometheus.FOLDER / "rules.yaml").read_text()
RULE_TESTS = "".join((prometheus.FOLDER / name).read_text() for name in ("rules_test.yaml", "rules_slow_test.yaml"))
DASHBOARD = json.loads((prometheus.FOLDER / "dashboard.json").read_text())
METRICS = (ROOT / "docs" / "METRICS.md").read_text()
OPERATING = (ROOT / "docs" / "OPERATING.md").read_text()
ALERTS = re.findall(r"^      - alert: (\w+)$", RULES, re.MULTILINE)
# What Grafana puts in for its variables, for a Prometheus that scrapes each second.
VARIABLES = {"$__rate_interval": "10s", "$__range": "60s", "$job": ".*"}
# Of all software, by names that are not ours.
OF_EVERY_PROGRAM = {
    "up",
    "build_info",
    "process_cpu_seconds_total",
    "process_resident_memory_bytes",
    "process_open_fds",
    "process_max_fds",
    "process_start_time_seconds",
}
RECORDED = re.compile(r"mesh:\w+:\w+")
# A metric and what its labels must be. Functions stand before a parenthesis, labels in one or behind by.
SELECTOR = re.compile(r"(?<![\w:$])((?:sagamesh|rpc|http|process)_\w+|build_info|up)\b(\{[^}]*\})?")
# What has no series in a mesh where nothing is wrong, with the reason.
NOTHING_WRONG = {
    "what was refused or failed": r'code!="OK"|code=~|status=~"5|outcome="BAD_SIGNATURE"|own_answers',
    "a provider that works has no breaker": r"sagamesh_provider_breaker_open",
    "no payment needs a person": r"sagamesh_payments_in_trouble",
    "no order and payment disagree": r"sagamesh_alert_delay_seconds",
    "no message is damaged": r"sagamesh_alert_dead_letters_total",
    "no saga is stuck": r'phase="stuck"',
}


def expressions():
    """(panel, expression) of the dashboard, as Grafana sends it."""
    for panel in DASHBOARD["panels"]:
        for target in panel.get("targets", []):
            expression = target["expr"]
            for name, value in VARIABLES.items():
                expression = expression.replace(name, value)
            yield panel["title"], expression


def rule_expressions():
    """(rule, expression), one line each."""
    rule = r"^      - (?:alert|record): (\S+)\n        expr: (.*?)(?=^ {2,6}-|^ {8}\w|\Z)"
    for name, rest in re.findall(rule, RULES, re.DOTALL | re.MULTILINE):
        yield name, " ".join(rest.lstrip("|").split())


def is_empty_when_well(expression):
    return any(re.search(pattern, expression) for pattern in NOTHING_WRONG.values())


class Given(unittest.TestCase):
    """What can be said of the files alone."""

    def assert_well(self, *words):
        status, said = prometheus.promtool(*words)
        self.assertEqual(status, 0, said)

    def test_rules_are_rules(self):
        self.assert_well("check", "rules", "--lint=all", "--lint-fatal", "rules.yaml")

    def test_alerts_fire_and_do_not(self):
        self.assert_well("test", "rules", "rules_test.yaml")

    def test_slow_fires_are_told(self):
        self.assert_well("test", "rules", "rules_slow_test.yaml")

    def test_every_alert_has_a_test_of_both_kinds(self):
        """Of its name, one that fires and one that does not."""
        kinds = re.findall(r"alertname: (\w+)\n        exp_alerts:( \[\])?", RULE_TESTS)
        wanted = {(name, is_quiet) for name in ALERTS for is_quiet in (False, True)}
        self.assertEqual({(name, bool(quiet)) for name, quiet in kinds}, wanted)

    def test_every_alert_has_a_runbook(self):
        headings = {
            re.sub(r"[^\w -]", "", heading).strip().lower().replace(" ", "-")
            for heading in re.findall(r"^#+ (.*)$", OPERATING, re.MULTILINE)
        }
        runbooks = re.findall(r"^          runbook: docs/OPERATING\.md#(\S+)$", RULES, re.MULTILINE)
        self.assertEqual(len(runbooks), len(ALERTS))
        self.assertEqual(set(runbooks) - headings, set())

    def test_every_metric_is_described(self):
        described = set(re.findall(r"^\| `(\w+)`", METRICS, re.MULTILINE)) | OF_EVERY_PROGRAM
        for name, expression in itertools.chain(expressions(), rule_expressions()):
            for metric, _ in SELECTOR.findall(expression):
                base = re.sub(r"_(bucket|sum|count)$", "", metric)
                self.assertTrue(metric in described or base in described, f"{name}: {metric}")

    def test_every_recorded_name_is_recorded(self):
        recorded = set(re.findall(r"^      - record: (\S+)$", RULES, re.MULTILINE))
        for name, expression in itertools.chain(expressions(), rule_expressions()):
            self.assertEqual(set(RECORDED.findall(expression)) - recorded, set(), name)

    def test_dashboard_is_one(self):
        self.assertEqual([v["name"] for v in DASHBOARD["templating"]["list"]], ["datasource", "job"])
        self.assertEqual(DASHBOARD["templating"]["list"][0]["query"], "prometheus")
        ids = [panel["id"] for panel in DASHBOARD["panels"]]
        self.assertEqual(len(set(ids)), len(ids))
        taken = set()
        for panel in DASHBOARD["panels"]:
            with self.subTest(panel["title"]):
                self.assertIn(panel["type"], ("row", "stat", "timeseries"))
                place = panel["gridPos"]
                self.assertLessEqual(place["x"] + place["w"], 24)
                cells = {
                    (x, y)
                    for x in range(place["x"], place["x"] + place["w"])
                    for y in range(place["y"], place["y"] + place["h"])
                }
                self.assertFalse(cells & taken)
                taken |= cells
                self.assert_asks(panel)

    def assert_asks(self, panel):
        if panel["type"] == "row":
            self.assertEqual(panel["panels"], [])
            return
        source = {"type": "prometheus", "uid": "${datasource}"}
        letters = [target["refId"] for target in panel["targets"]]
        self.assertEqual(letters, [chr(ord("A") + i) for i in range(len(letters))])
        self.assertTrue(letters)
        for part in [panel, *panel["targets"]]:
            self.assertEqual(part["datasource"], source)
        self.assertTrue(panel["fieldConfig"]["defaults"]["unit"])
        for target in panel["targets"]:
            names = set(re.findall(r"\$\w+", target["expr"]))
            self.assertEqual(names - set(VARIABLES), set(), target["expr"])


class Seen(unittest.TestCase):
    """A mesh with orders in it, and a Prometheus that looks at it."""

    @classmethod
    def setUpClass(cls):
        cls.mesh = Mesh()
        cls.mesh.open()
        cls.addClassCleanup(cls.mesh.close)
        targets = {program.binary: program.ops for program in cls.mesh.programs.values()}
        cls.prometheus = prometheus.Prometheus(targets)
        cls.addClassCleanup(cls.prometheus.close)
        cls.prometheus.start()
        cls.mesh.put_product("tea", 500, pieces=1_000_000)
        cls.mesh.open_wallet("ada", top_up_minor=1_000_000_000)
        cls.token = cls.mesh.token("ada")
        cls.paid = set()

    def order(self, quantity, payment):
        body = {
            "customerId": "ada",
            "currency": "EUR",
            "items": [{"sku": "tea", "quantity": quantity}],
            "payment": payment,
        }
        headers = {
            "Authorization": f"Bearer {self.token}",
            "Idempotency-Key": uuid7(),
            "Content-Type": "application/json",
        }
        answer = frontend.ask(self.mesh, "POST", "/api/v1/orders", json.dumps(body).encode(), headers)
        self.assertIn(answer.status, (201, 202), answer)

    def some_business(self):
        """An order that is paid, one for which there is not enough, and one at a provider, paid later."""
        self.order(1, {"method": "wallet"})
        self.order(1_000_000, {"method": "wallet"})
        self.order(1, {"method": "external", "provider": "sandbox"})
        rows = self.mesh.psql("account", "SELECT id FROM payment")
        for payment_id in {row[0] for row in rows} - self.paid:
            status, _ = external.Provider(self.mesh).ask("POST", f"/checkout/{payment_id}/pay")
            if status < 400:
                self.paid.add(payment_id)

    def wait_data(self, wanted, seconds=60):
        """Until each of the queries has data, while orders go on; queries: {query: where it is from}."""
        missing = dict(wanted)

        def has_all():
            self.some_business()
            for query in list(missing):
                if self.prometheus.query(query):
                    del missing[query]
            return not missing

        try:
            wait_until(has_all, seconds, "all have data", pause=0.5)
        except AssertionError:
            raise AssertionError("\n".join(f"{name}: {query}" for query, name in missing.items())) from None

    def test_every_program_is_seen(self):
        self.wait_data({f'up{{job="{job}"}} == 1': job for job in self.prometheus.targets})

    def test_every_panel_has_data(self):
        for title, expression in expressions():
            self.prometheus.query(expression)
        wanted = {expression: title for title, expression in expressions() if not is_empty_when_well(expression)}
        self.wait_data(wanted)

    def test_every_rule_is_asked_and_has_something_to_ask(self):
        """An alert is quiet; what it looks at must be there all the same."""
        rules = [rule for group in self.prometheus.api("rules")["groups"] for rule in group["rules"]]
        self.assertEqual(len(rules), len(list(rule_expressions())))
        wait_until(self.all_evaluated, 30, "every rule was evaluated without an error")
        for name, expression in rule_expressions():
            self.prometheus.query(expression)
        wanted = {
            f"count({metric}{labels})": name
            for name, expression in rule_expressions()
            for metric, labels in SELECTOR.findall(expression)
            if not is_empty_when_well(metric + labels)
        }
        self.wait_data(wanted)

    def all_evaluated(self):
        rules = [rule for group in self.prometheus.api("rules")["groups"] for rule in group["rules"]]
        for rule in rules:
            self.assertNotIn("lastError", rule, rule)
        return all(rule["health"] == "ok" for rule in rules)

    def test_nobody_is_called_where_all_is_well(self):
        """Nor would anybody be soon: no alert is pending either, once all have started."""
        self.some_business()
        wait_until(lambda: not self.prometheus.api("alerts")["alerts"], 60, "no alert is active", pause=0.5)
