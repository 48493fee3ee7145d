"""The ops port of every program: probes, numbers, and what it is; bff's as Spring Boot shows it."""

import re
import signal
import subprocess
import time

import kill_faults
from external import http_json
from frontend import Bff
from patience import wait_until
from story import Story, shared
from watch import OPEN, PROMETHEUS, TEXT, families_of, look, samples

SPRING = "application/vnd.spring-boot.actuator.v3+json"
SERVICES = ("account", "order", "saga", "storage")
QUICK_SECONDS = 1  # for an answer that waits for nobody; a machine that stands still is asked again


def ready(program):
    return look(program, "/readyz")


class EveryProgram(Story):
    def test_probes(self):
        for name, program in self.mesh.programs.items():
            with self.subTest(name):
                self.assertEqual(look(program, "/livez").json, {"status": "alive"})
                wait_until(lambda: ready(program).status == 200, 30, f"{name} is ready")
                self.assertEqual(ready(program).json["status"], "ready")

    def test_metrics_are_as_promtool_wants_them(self):
        for name, program in self.mesh.programs.items():
            with self.subTest(name):
                shown = look(program, "/metrics")
                self.assertEqual((shown.status, shown.type), (200, TEXT))
                done = subprocess.run(
                    ["promtool", "check", "metrics"],
                    input=shown.text,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    text=True,
                )
                self.assertEqual((done.returncode, done.stdout), (0, ""))

    def test_both_formats_say_the_same(self):
        """Read strictly; no family is in one of them alone."""
        for name, program in self.mesh.programs.items():
            with self.subTest(name):
                plain, opened = look(program, "/metrics"), look(program, "/metrics", PROMETHEUS)
                self.assertEqual((plain.type, opened.type), (TEXT, OPEN))
                self.assertTrue(opened.text.endswith("\n# EOF\n"))
                named = {family.name: family.type for family in families_of(opened).values()}
                self.assertEqual(named["process_cpu_seconds"], "counter")
                self.assertEqual(named["build"], "info")
                # The parser of the older format takes the ends of counters' names away, but not of an info's.
                others = {re.sub("_info$", "", name) for name in families_of(plain)}
                self.assertEqual(set(named), others)
                self.assertIn("# UNIT process_cpu_seconds seconds\n", opened.text)

    def test_it_says_what_it_is(self):
        commit = subprocess.run(
            ["git", "rev-parse", "HEAD"], cwd=self.mesh.build, stdout=subprocess.PIPE, text=True
        ).stdout.strip()
        secrets = [file.read_text().strip() for file in self.mesh.secrets.iterdir()]
        secrets.append((self.mesh.directory / "pg" / "password").read_text().strip())
        for name, program in self.mesh.programs.items():
            with self.subTest(name):
                shown = look(program, "/info")
                self.assertEqual(shown.json["name"], program.binary)
                self.assertRegex(shown.json["version"], r"^\d+\.\d+\.\d+$")
                self.assertIn(shown.json["commit"].removesuffix("-dirty"), (commit, "unknown"))
                self.assertRegex(shown.json["started"], r"^20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ$")
                for secret in secrets:
                    self.assertNotIn(secret, shown.text)
                if program.database:
                    self.assertIn(f"dbname={program.database}", shown.json["talks_to"]["database"])
        talks = look(self.mesh.programs["bff"], "/info").json["talks_to"]
        self.assertEqual(talks, {name: self.mesh.address(name) for name in SERVICES})
        sandbox = look(self.mesh.programs["account"], "/info").json["talks_to"]["sandbox"]
        self.assertEqual(sandbox, f"http://{self.mesh.address('provider')}")
        definitions = look(self.mesh.programs["saga"], "/info").json["definitions"]
        self.assertRegex(definitions["order_create_saga"], "^[0-9a-f]{64}$")

    def test_it_is_unready_before_it_stops(self):
        """bff's ports are open for a while then."""
        program = self.mesh.programs["bff"]
        self.mesh.flags["bff"] = ["--unready-ms=600000"]
        self.mesh.restart("bff")
        program = self.mesh.programs["bff"]
        wait_until(lambda: ready(program).status == 200, 30, "ready")
        program.process.send_signal(signal.SIGTERM)
        try:
            wait_until(lambda: ready(program).json == {"status": "stopping"}, 30, "it stops")
        finally:
            del self.mesh.flags["bff"]
            self.mesh.stop("bff")  # a second SIGTERM ends the pause
            self.mesh.start("bff")


class WhileTheDatabaseHangs(Story):
    def test_it_is_answered_at_once(self):
        program = self.mesh.programs["storage"]
        wait_until(lambda: ready(program).status == 200, 30, "ready")
        postmaster = self.mesh.pid("postgres")
        frozen = [postmaster, *kill_faults.children(postmaster)]
        kill_faults.signal_all(frozen, signal.SIGSTOP)
        try:
            for path in ("/livez", "/readyz", "/metrics", "/info"):
                wait_until(lambda: self.is_quick(program, path), 20, f"{path} is answered at once")
        finally:
            kill_faults.signal_all(frozen, signal.SIGCONT)
        wait_until(lambda: ready(program).status == 200, 60, "ready again")

    def is_quick(self, program, path):
        began = time.monotonic()
        look(program, path)
        return time.monotonic() - began < QUICK_SECONDS


class Actuator(Bff):
    def health(self, path="", accept=None):
        return look(self.mesh.programs["bff"], f"/actuator/health{path}", accept)

    def wait_components(self, group, name, status):
        def found():
            shown = self.health()
            return shown if shown.json["components"][group]["components"][name]["status"] == status else None

        return wait_until(found, 30, f"{group} {name} is {status}")

    def test_all_is_up(self):
        wait_until(lambda: self.health().status == 200, 30, "up")
        shown = self.health()
        self.assertEqual(shown.type, SPRING)
        self.assertEqual(self.health(accept="application/json").type, "application/json")
        up = {"status": "UP"}
        each = {"status": "UP", "components": {name: up for name in SERVICES}}
        components = {"db": each, "kafka": up, "livenessState": up, "ping": up, "readinessState": up}
        components["services"] = each
        wanted = {"status": "UP", "components": components, "groups": ["liveness", "readiness"]}
        self.assertEqual(shown.json, wanted)
        self.assertEqual(list(shown.json["components"]), sorted(components))
        self.assertEqual(self.health("/liveness").json["components"], {"livenessState": up})
        self.assertEqual(self.health("/readiness").json["components"], {"readinessState": up})

    def test_info(self):
        shown = look(self.mesh.programs["bff"], "/actuator/info")
        self.assertEqual(shown.json["build"]["name"], "bff")
        self.assertEqual(shown.json["build"]["time"], look(self.mesh.programs["bff"], "/info").json["built"])

    def test_a_service_is_away(self):
        with self.away("saga"):
            shown = self.wait_components("services", "saga", "DOWN")
            self.assertEqual((shown.status, shown.json["status"]), (503, "DOWN"))
            # Only it could say how its database is.
            self.wait_components("db", "saga", "UNKNOWN")
            self.assertEqual(self.health("/liveness").status, 200)
            shown = self.health("/readiness")
            self.assertEqual((shown.status, shown.json["status"]), (503, "OUT_OF_SERVICE"))
        wait_until(lambda: self.health().status == 200, 30, "up again")

    def test_the_databases_are_away(self):
        wait_until(lambda: self.health().status == 200, 30, "up")
        with self.away("postgres"):
            for name in SERVICES:
                self.wait_components("db", name, "DOWN")
                shown = ready(self.mesh.programs[name])
                self.assertEqual((shown.status, shown.json["status"]), (503, "not ready"))
                self.assertEqual((shown.json["database"], shown.json["writes"]), ("away", "do not work"))
        wait_until(lambda: self.health().status == 200, 60, "up again")

    def test_kafka_is_away(self):
        """Orders go on, so it is ready all the same."""
        self.addCleanup(shared.close)  # a broker that was killed has forgotten all news
        wait_until(lambda: self.health().status == 200, 30, "up")
        with self.away("broker"):
            wait_until(
                lambda: self.health().json["components"]["kafka"]["status"] == "DOWN", 60, "Kafka is down"
            )
            self.assertEqual(self.health().status, 503)
            self.assertEqual(self.health("/readiness").status, 200)
        wait_until(lambda: self.health().status == 200, 60, "up again")

    def test_its_other_ports_show_none_of_it(self):
        for path in ("/metrics", "/actuator/health", "/info", "/log-level"):
            for port in (self.mesh.programs["bff"].port, self.mesh.webhook_port):
                self.assertEqual(http_json(f"127.0.0.1:{port}", "GET", path)[0], 404, path)
        self.assertGreater(samples(self.mesh.programs["bff"])["process_threads"], 1)
