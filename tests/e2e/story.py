"""What stories have in common: one mesh that all share, short-lived flows, and a look at the whole
of it after each story.

    class Paid(story.Story):
        def test_paid(self):
            sku = self.product(500, pieces=10)
            order_id = self.place(self.wallet(2000), [(sku, 2)])
            self.assert_paid(order_id, total_minor=1000)

A story leaves nothing behind: programs that it stopped run again, what it held is released. When it
is over, tearDown checks all invariants, also of what earlier stories made. A story that failed takes
its mesh with it, so that the next one is judged by itself.
"""

import atexit
import contextlib
import copy
import itertools
import json
import pathlib
import shutil
import subprocess
import tempfile
import threading
import unittest

import alerts
import grpc
import invariants
import mesh as mesh_module
from mesh import Mesh
from patience import PATIENCE, wait_until

SHIPPED = mesh_module.ROOT / "saga" / "definitions"
SHORT_HOLD_SECONDS = 1
# How long an order may take to go on after what it waited for is back: back-offs have doubled a few
# times by then, and the sweep of order-svc comes every few seconds.
GO_ON_SECONDS = 30
# So short that stories in which something is away have alerts, all of which are looked at (alerts.py).
GRACE_SECONDS, SILENT_SECONDS = 2, 6
ALERT_FLAGS = alerts.flags(GRACE_SECONDS, SILENT_SECONDS)
# Whose wall clocks a story may move. They are right again when it is over.
CLOCKS = ("postgres", "storage", "account", "saga", "order", "alerts", "bff")

numbers = itertools.count(1)


def saga_named(name, change, base="order_create_saga"):
    """A shipped definition under another name, with change(states) made to it."""
    definition = json.loads((SHIPPED / f"{base}.json").read_text())
    definition = copy.deepcopy(definition)
    definition["Name"] = name
    change(definition["States"])
    return definition


def short_hold(states):
    states["ReserveStock"]["Input"][0]["holdSeconds"] = SHORT_HOLD_SECONDS


def short_budget(states):
    states["MarkPaid"]["BudgetSeconds"] = 1


# Flows beside the shipped ones; a module of stories may add its own when it is loaded.
flows = {"short_hold": short_hold, "short_budget": short_budget}


class Shared:
    """The mesh of all stories, and the folder of its definitions."""

    def __init__(self):
        self.mesh = None
        self.definitions = None
        self.placed = []

    def get(self):
        if self.mesh is None:
            self.definitions = pathlib.Path(tempfile.mkdtemp(prefix="mesh-definitions-"))
            for file in SHIPPED.glob("*.json"):
                shutil.copy(file, self.definitions)
            for name, change in flows.items():
                self.define(saga_named(name, change))
            flags = {"saga": [f"--definitions={self.definitions}"], "alerts": ALERT_FLAGS}
            mesh = Mesh(flags=flags, clocks=CLOCKS)
            try:
                mesh.open()
            except BaseException:
                shutil.rmtree(self.definitions)
                raise
            self.mesh, self.placed = mesh, []
        return self.mesh

    def define(self, definition):
        """For the next start of the orchestrator."""
        text = json.dumps(definition, indent=4)
        (self.definitions / f"{definition['Name']}.json").write_text(text)

    def close(self, keep_logs=False):
        if self.mesh is not None:
            mesh, self.mesh = self.mesh, None
            shutil.rmtree(self.definitions)
            mesh.close(keep_logs=keep_logs)


shared = Shared()
mesh_module.at_end.append(shared.close)
atexit.register(shared.close)  # if nobody else does


class Story(unittest.TestCase):
    @classmethod
    def tearDownClass(cls):
        """Where leaks are looked for, programs end while they are those that the stories used."""
        if shared.mesh is not None and shared.mesh.is_sanitized():
            shared.close()

    def setUp(self):
        self.mesh = shared.get()
        self.pb = self.mesh.order_pb

    def tearDown(self):
        self.mesh.set_clocks_right()
        if self.has_failed():
            shared.close(keep_logs=True)
            return
        report = invariants.check(self.mesh, shared.placed, seconds=GO_ON_SECONDS)
        if report.violations:
            shared.close(keep_logs=True)
        self.assertEqual(report.violations, [], report)

    def has_failed(self):
        result = self._outcome.result
        return any(test is self for test, _ in result.failures + result.errors)

    # -- making

    def product(self, unit_price_minor, pieces, **options):
        """A product that no other story knows; its sku."""
        sku = f"sku-{next(numbers)}"
        self.mesh.put_product(sku, unit_price_minor, pieces, **options)
        return sku

    def wallet(self, top_up_minor, **options):
        customer_id = f"customer {next(numbers)}"
        self.mesh.open_wallet(customer_id, top_up_minor=top_up_minor, **options)
        return customer_id

    def place(self, customer_id, lines, **options):
        order_id = self.mesh.place(customer_id, lines, **options)
        shared.placed.append(order_id)
        return order_id

    @contextlib.contextmanager
    def placing(self, customers, sku):
        """Each customer orders one piece after the other, without a pause, as long as the block lasts: the ids."""
        orders, is_over = [], threading.Event()

        def place(customer):
            while not is_over.is_set():
                orders.append(self.place(customer, [(sku, 1)]))

        threads = [threading.Thread(target=place, args=(customer,)) for customer in customers]
        for thread in threads:
            thread.start()
        try:
            yield orders
        finally:
            is_over.set()
            for thread in threads:
                thread.join()

    # -- looking

    def assert_paid(self, order_id, total_minor):
        order = self.mesh.wait_final(order_id)
        self.assertEqual(self.pb.OrderStatus.Name(order.status), "ORDER_STATUS_PAID", order)
        self.assertEqual((order.total_minor, order.reason), (total_minor, ""), order)
        return order

    def assert_failed(self, order_id, reason):
        order = self.mesh.wait_final(order_id)
        self.assertEqual(self.pb.OrderStatus.Name(order.status), "ORDER_STATUS_FAILED", order)
        self.assertEqual(order.reason, reason, order)
        return order

    def assert_stock(self, sku, free, held=0, sold=0):
        product = self.mesh.product(sku)
        self.assertEqual((product.free, product.held, product.sold), (free, held, sold), sku)

    def hold_of(self, order_id):
        """[id, state] of the order's hold, or None."""
        statement = f"SELECT id, state FROM hold WHERE reference = '{order_id}'"
        rows = self.mesh.psql("storage", statement)
        return [rows[0][0], int(rows[0][1])] if rows else None

    def wait_hold(self, order_id, state):
        """Its id, once the order's hold is in that state."""

        def in_state():
            hold = self.hold_of(order_id)
            return hold is not None and hold[1] == state and hold[0]

        return wait_until(in_state, 20, f"the hold of {order_id} in state {state}")

    def saga_if_any(self, saga_id):
        """None as long as the order has only been placed."""
        try:
            return self.mesh.saga(saga_id).saga
        except grpc.RpcError as error:
            if error.code() != grpc.StatusCode.NOT_FOUND:
                raise
            return None

    def wait_saga(self, saga_id, phase, state=None):
        """The saga, once it is in that phase (and state)."""
        number = self.mesh.saga_pb.SagaPhase.Value(f"SAGA_PHASE_{phase}")

        def in_phase():
            saga = self.saga_if_any(saga_id)
            return saga and saga.phase == number and state in (None, saga.state) and saga

        return wait_until(in_phase, GO_ON_SECONDS, f"saga {saga_id} {phase} in {state}")

    def make_stuck(self, count=1):
        """Orders that were paid for, and whose service could not be told so in time. Their ids."""
        sku, customer = self.product(500, pieces=10), self.wallet(10000)
        with self.paused("account"):
            ids = [self.place(customer, [(sku, 2)], flow="short_budget") for _ in range(count)]
            for order_id in ids:
                self.wait_hold(order_id, self.mesh.storage_pb.HOLD_STATE_HELD)
            self.mesh.pause("order")
        try:
            for order_id in ids:
                self.wait_saga(order_id, "STUCK", "MarkPaid")
        finally:
            self.mesh.resume("order")
        return ids

    def status(self, order_id):
        name = self.pb.OrderStatus.Name(self.mesh.order(order_id).status)
        return name.removeprefix("ORDER_STATUS_")

    # -- breaking

    def away(self, name):
        """with self.away("account"): the program is killed, and started again afterwards."""
        return Away(lambda: self.mesh.kill(name), lambda: self.mesh.start(name))

    def paused(self, name):
        """It lives and answers nobody."""
        return Away(lambda: self.mesh.pause(name), lambda: self.mesh.resume(name))

    def clock_off(self, name, seconds):
        """with self.clock_off("saga", -400): its wall clock is so much ahead meanwhile."""
        return Away(
            lambda: self.mesh.move_clock(name, seconds), lambda: self.mesh.move_clock(name, 0)
        )

    def sagactl(self, *words):
        """Runs it; exit status and output, a dict when --json was asked for."""
        names = ("saga", "order", "storage", "account", "alerts")
        addresses = [
            f"--{name}={self.mesh.inner_target(name)}" for name in names if name in self.mesh.programs
        ]
        done = subprocess.run(
            [str(self.mesh.build / "sagactl"), *words, *addresses, *self.mesh.tls_flags("sagactl")],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=30,
        )
        return done.returncode, json.loads(done.stdout) if "--json" in words else done.stdout


class Away:
    def __init__(self, leave, come_back):
        self.leave = leave
        self.come_back = come_back

    def __enter__(self):
        self.leave()

    def __exit__(self, kind, value, trace):
        self.come_back()


