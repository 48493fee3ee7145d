"""Stories of programs that go away while orders are under way: killed, stopped, or deaf. Orders wait,
and go on when what they wait for is back."""

import time

from story import GO_ON_SECONDS, Story, wait_until
from mesh import health_pb2, refusal

DRAIN_SECONDS = 4  # a second less than --drain-ms
SERVICES = ("storage", "account", "saga", "order")


class Away(Story):
    def test_storage_is_killed(self):
        sku, customer = self.product(500, pieces=10), self.wallet(2000)
        with self.away("storage"):
            order_id = self.place(customer, [(sku, 2)])
            saga = self.wait_saga(order_id, "RETRYING", "ReserveStock")
            self.assertGreater(saga.next_attempt_us, 0)
            self.assertEqual(self.status(order_id), "PENDING")
        self.assert_paid(order_id, total_minor=1000)

    def test_account_is_killed(self):
        sku, customer = self.product(500, pieces=10), self.wallet(2000)
        with self.away("account"):
            order_id = self.place(customer, [(sku, 2)])
            self.wait_saga(order_id, "RETRYING", "ChargeWallet")
            self.assert_stock(sku, free=8, held=2)
        self.assert_paid(order_id, total_minor=1000)

    def test_account_is_killed_with_charges_under_way(self):
        sku, customers = self.product(500, pieces=100), [self.wallet(500) for _ in range(5)]
        with self.paused("account"):
            orders = [self.place(customer, [(sku, 1)]) for customer in customers]
            for order_id in orders:
                self.wait_hold(order_id, self.mesh.storage_pb.HOLD_STATE_HELD)
            self.mesh.kill("account")
            self.mesh.start("account")
        for order_id in orders:
            self.assert_paid(order_id, total_minor=500)

    def test_order_is_killed_before_it_is_told(self):
        sku, customer = self.product(500, pieces=10), self.wallet(2000)
        with self.paused("account"):
            order_id = self.place(customer, [(sku, 2)])
            self.wait_hold(order_id, self.mesh.storage_pb.HOLD_STATE_HELD)
            self.mesh.kill("order")
        self.wait_saga(order_id, "RETRYING", "MarkPaid")
        self.mesh.start("order")
        self.assert_paid(order_id, total_minor=1000)

    def test_the_orchestrator_is_killed(self):
        sku, customer = self.product(500, pieces=10), self.wallet(2000)
        with self.away("saga"):
            orders = [self.place(customer, [(sku, 1)]) for _ in range(3)]
            for order_id in orders:
                self.assertEqual(self.status(order_id), "PENDING")
        for order_id in orders:
            self.assert_paid(order_id, total_minor=500)

    def test_the_orchestrator_is_killed_in_the_middle(self):
        sku, customer = self.product(500, pieces=10), self.wallet(2000)
        with self.paused("account"):
            orders = [self.place(customer, [(sku, 1)]) for _ in range(3)]
            for order_id in orders:
                self.wait_hold(order_id, self.mesh.storage_pb.HOLD_STATE_HELD)
            self.mesh.kill("saga")
        self.mesh.start("saga")
        for order_id in orders:
            self.assert_paid(order_id, total_minor=500)
            states = [step.state for step in self.mesh.saga(order_id).steps]
            self.assertEqual(states.count("ReserveStock"), 1)

    def test_order_is_killed_before_its_saga_was_asked_for(self):
        """The order is the request: only the sweep can have repeated it."""
        sku, customer = self.product(500, pieces=10), self.wallet(2000)
        with self.away("saga"):
            order_id = self.place(customer, [(sku, 2)])
            self.mesh.kill("order")
        self.mesh.start("order")
        self.assert_paid(order_id, total_minor=1000)

    def test_order_is_killed_right_after_each_answer(self):
        sku, customer = self.product(10, pieces=100), self.wallet(1000)
        orders = []
        for _ in range(5):
            orders.append(self.place(customer, [(sku, 1)]))
            self.mesh.restart("order")
        for order_id in orders:
            self.assert_paid(order_id, total_minor=10)

    def test_all_are_killed_at_once(self):
        sku, customer = self.product(10, pieces=100), self.wallet(1000)
        orders = [self.place(customer, [(sku, 1)]) for _ in range(20)]
        for name in SERVICES:
            self.mesh.kill(name)
        for name in SERVICES:
            self.mesh.start(name, wait=False)
        for name in SERVICES:
            self.mesh.wait_ready(name)
        for order_id in orders:
            self.assert_paid(order_id, total_minor=10)

    def test_each_is_asked_to_stop_and_ends_well(self):
        sku, customer = self.product(10, pieces=100), self.wallet(1000)
        for name in SERVICES:
            orders = [self.place(customer, [(sku, 1)]) for _ in range(5)]
            began = time.monotonic()
            self.assertEqual(self.mesh.stop(name), 0, f"{name} after SIGTERM")
            # Its clients keep their connections, and look at them seldom; nobody waits for that.
            self.assertLess(time.monotonic() - began, DRAIN_SECONDS, name)
            self.mesh.start(name)
            for order_id in orders:
                self.assert_paid(order_id, total_minor=10)


class Postgres(Story):
    def test_it_crashes_with_orders_under_way(self):
        sku, customer = self.product(10, pieces=100), self.wallet(1000)
        orders = [self.place(customer, [(sku, 1)]) for _ in range(20)]
        self.mesh.kill("postgres")
        for name in SERVICES:
            self.wait_health(name, health_pb2.HealthCheckResponse.NOT_SERVING)
        self.assert_answers_nothing_done(sku)
        for name in SERVICES:
            self.assertTrue(self.mesh.programs[name].is_alive(), name)
        self.mesh.start("postgres")
        for name in SERVICES:
            self.wait_health(name, health_pb2.HealthCheckResponse.SERVING)
        for order_id in orders:
            self.assert_paid(order_id, total_minor=10)

    def test_connections_are_ended(self):
        sku, customer = self.product(10, pieces=100), self.wallet(1000)
        orders = []
        for database in ("orders", "storage", "account", "saga"):
            orders += [self.place(customer, [(sku, 1)]) for _ in range(5)]
            self.mesh.psql(
                "postgres",
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                f" WHERE datname = '{database}' AND backend_type = 'client backend'",
            )
        for order_id in orders:
            self.assert_paid(order_id, total_minor=10)

    def wait_health(self, name, status):
        wait_until(lambda: self.mesh.health(name) == status, GO_ON_SECONDS, f"{name}: {status}")

    def assert_answers_nothing_done(self, sku):
        """Quickly, and saying that the call may be repeated; the order is not there afterwards."""
        mesh, pb = self.mesh, self.mesh
        calls = (
            (mesh.orders.Place, mesh.place_request("nobody", [(sku, 1)])),
            (mesh.orders.List, pb.order_pb.ListRequest()),
            (mesh.storage.GetProduct, pb.storage_pb.GetProductRequest(sku=sku)),
            (mesh.ledger.Balance, pb.ledger_pb.BalanceRequest(customer_id="x", currency="EUR")),
        )
        for call, request in calls:
            error = refusal(call, request, timeout=2)
            self.assertEqual((error.code.name, error.reason), ("UNAVAILABLE", "STORE_DOWN"), error)
            self.assertEqual(error.metadata.get("nothing_done"), "true", error)
