"""An upgrade: programs of an earlier commit, two of each, are replaced one by one by those of this tree while
customers place orders over gRPC and HTTP. First the schemas are expanded under the old programs, and contracted at the end. Old and
new run side by side on one database, and old clients call new programs.

MESH_UPGRADE_FROM is the earlier tree, with its programs in build/ (dev.d/upgrade.sh).
"""

import contextlib
import http.client
import importlib.util
import json
import os
import pathlib
import re
import subprocess
import tempfile
import threading

import story
from frontend import Bff
from mesh import ROOT, Mesh, uuid7
from patience import PATIENCE, wait_until

OLD = pathlib.Path(os.environ.get("MESH_UPGRADE_FROM", "")).resolve()
STANDS_STILL_SECONDS = 30  # an order may take so long while programs come and go
ORDERS_BETWEEN = 20
CUSTOMERS = 4
AGAIN = (409, 429, 500, 502, 503, 504)  # the first request with this key is under way, or it is busy, or away


def old_programs():
    """What the earlier tree knows of its programs, and which of them can be several."""
    spec = importlib.util.spec_from_file_location("old_programs", OLD / "dev.d" / "programs.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return {program.name: program for program in module.read_table()}, module.REPLICATED


class Upgrade(Mesh):
    """Programs in self.old are those of the earlier tree, with that tree's flags and definitions."""

    def __init__(self):
        super().__init__(replicas=2, flags={"alerts": story.ALERT_FLAGS})
        self.table, replicated = old_programs()
        self.old = {name for name, program in self.programs.items() if not program.binary.startswith("sandbox-")}
        # Those of which the earlier tree can have one alone.
        services = {name: self.programs[name].service for name in self.old}
        self.later = {name for name, service in services.items() if name != service and service not in replicated}
        self.known = {}
        self.has_steps = all("migrate" in self.flags_known(p) for p in self.table.values() if p.database)

    def start_one(self, name):
        if name not in self.later:
            super().start_one(name)

    def wait_ready(self, name, seconds=None):
        if name not in self.later:
            super().wait_ready(name, seconds)

    def flags_known(self, program):
        """By its --help."""
        if program.binary not in self.known:
            text = subprocess.check_output([OLD / "build" / program.binary, "--help"], text=True)
            self.known[program.binary] = set(re.findall(r"--([a-z][a-z0-9-]*)", text))
        return self.known[program.binary]

    def flags_of(self, name):
        if name not in self.old:
            return super().flags_of(name)
        service = self.programs[name].service
        own = self.table[service].flags
        return own + [flag for flag in super().flags_of(name) if flag not in self.programs[name].flags]

    def command(self, name):
        words = super().command(name)
        if name not in self.old:
            return words
        program = self.programs[name]
        known = self.flags_known(program)
        words = [word.replace(str(ROOT / "saga" / "definitions"), str(OLD / "saga" / "definitions")) for word in words[1:]]
        return [str(OLD / "build" / program.binary), *(word for word in words if word[2:].split("=")[0] in known)]

    def migrate(self, program, conninfo, what="expand"):
        """While a program is old, its schema is made as its tree makes it."""
        if program.name not in self.old:
            return super().migrate(program, conninfo, what)
        if not self.has_steps:
            file = str(OLD / self.table[program.service].schema)
            return self.psql_run(self.conninfo, program.database, "--single-transaction", "-f", file)
        words = [OLD / "build" / program.binary, f"--migrate={what}", f"--database={conninfo}"]
        return subprocess.run(words, stderr=subprocess.PIPE, text=True, check=True).stderr

    def migrate_all(self, what):
        """By the programs of this tree: the steps that were applied."""
        said = ""
        for program in self.programs.values():
            if program.database and program.name == program.service:
                said += super().migrate(program, f"{self.conninfo} dbname={program.database}", what)
        return re.findall(r"program=(\S+) migrate=applied step=(\d+) kind=(\w+)", said)


class Rolling(Bff):
    def setUp(self):
        mesh = Upgrade()
        mesh.open()
        story.shared.mesh, story.shared.placed = mesh, []
        story.shared.definitions = pathlib.Path(tempfile.mkdtemp(prefix="mesh-definitions-"))
        self.addCleanup(story.shared.close)
        self.troubles = []
        super().setUp()

    # -- customers

    def place(self, customer_id, lines, **options):
        request = self.mesh.place_request(customer_id, lines, **options)
        try:
            self.mesh.insist(self.mesh.orders.Place, request, seconds=STANDS_STILL_SECONDS)
            story.shared.placed.append(request.order_id)
            return request.order_id
        except BaseException as trouble:
            self.troubles.append(trouble)
            raise

    def post_once(self, port, customer, body, key):
        """(status, order) of one request; (0, None): there was no answer."""
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20 * PATIENCE)
        headers = {"Content-Type": "application/json", "Idempotency-Key": key}
        headers["Authorization"] = f"Bearer {self.token(customer)}"
        try:
            connection.request("POST", "/api/v1/orders", json.dumps(body), headers)
            response = connection.getresponse()
            answer = json.loads(response.read())
            return response.status, answer.get("orderNo")
        except OSError:
            return 0, None
        except http.client.HTTPException:
            return 0, None
        finally:
            connection.close()

    def order_over_http(self, customer, sku):
        """As a frontend does: the same key, now here and now there, until there is an answer."""
        key, ports = uuid7(), [self.mesh.programs[name].port for name in self.mesh.replicas("bff")]
        body = self.wish(customer, [(sku, 1)])

        def order():
            ports.append(ports.pop(0))
            status, number = self.post_once(ports[0], customer, body, key)
            if status not in (0, *AGAIN):
                self.assertIn(status, (201, 202))
            return number if status in (201, 202) else None

        number = wait_until(order, STANDS_STILL_SECONDS, "an answer over HTTP")
        story.shared.placed.append(number)
        return number

    @contextlib.contextmanager
    def placing_over_http(self, customer, sku):
        orders, is_over = [], threading.Event()

        def place():
            try:
                while not is_over.is_set():
                    orders.append(self.order_over_http(customer, sku))
            except BaseException as trouble:
                self.troubles.append(trouble)
                raise

        thread = threading.Thread(target=place)
        thread.start()
        try:
            yield orders
        finally:
            is_over.set()
            thread.join()

    # -- the upgrade

    def old_sagactl(self, *words):
        known = subprocess.check_output([OLD / "build" / "sagactl", "--help"], text=True)
        flags = [f"--{name}={self.mesh.inner_target(name)}" for name in ("saga", "order", "storage", "account")]
        flags += [flag for flag in self.mesh.tls_flags("sagactl") if flag.split("=")[0] in known]
        return subprocess.run([OLD / "build" / "sagactl", *words, *flags], capture_output=True, text=True)

    def replace(self, name):
        if name not in self.mesh.later:
            self.assertEqual(self.mesh.stop(name), 0, f"{name} of the earlier tree ends well")
        self.mesh.later.discard(name)
        self.mesh.old.discard(name)
        self.mesh.start(name)

    def go_on(self, *lists):
        """Each customer's orders do."""
        counts = [len(orders) for orders in lists]
        wait_until(
            lambda: self.troubles or all(len(o) >= n + few for o, n, few in zip(lists, counts, (ORDERS_BETWEEN, 1))),
            STANDS_STILL_SECONDS,
            "orders go on",
        )
        self.assertEqual(self.troubles, [])

    def test_each_program_is_replaced_under_orders(self):
        mesh = self.mesh
        sku, customers = self.product(5, pieces=100000), [self.wallet(10**6) for _ in range(CUSTOMERS + 1)]
        with self.placing(customers[1:], sku) as orders, self.placing_over_http(customers[0], sku) as posted:
            self.go_on(orders, posted)
            applied = mesh.migrate_all("expand")
            print(f"    expand, under the old programs: {applied}", flush=True)
            self.go_on(orders, posted)
            for name in sorted(mesh.old, key=list(mesh.programs).index):
                self.replace(name)
                self.go_on(orders, posted)
            self.assertEqual(mesh.old, set())
            print(f"    contract: {mesh.migrate_all('contract')}", flush=True)
            self.go_on(orders, posted)
        for order_id in orders + posted:
            self.assert_paid(order_id, total_minor=5)
        print(f"    {len(orders)} orders over gRPC and {len(posted)} over HTTP, all paid", flush=True)
        done = self.old_sagactl("demo")
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        for program in mesh.programs.values():
            self.assertTrue(program.is_alive(), program.name)
