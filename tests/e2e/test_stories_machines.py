"""Stories of machines and people in the way: a row that psql keeps locked, a replica that hangs with the
news, transactions of others on the server."""

import contextlib

import grpc
from external import External
from lock import Lock
from mesh import order_service_pb2_grpc
from patience import wait_until
from story import Story

STRANGERS = 10
TAKEN_OVER_SECONDS = 15


class LockedRow(External):
    def test_a_product(self):
        locked, other = self.product(10, pieces=100), self.product(10, pieces=100)
        row = f"SELECT * FROM product WHERE sku = '{locked}' FOR UPDATE"
        self.assert_strangers_are_paid("storage", row, self.wallet(1000), locked, other)

    def test_a_wallet(self):
        sku, customer = self.product(10, pieces=100), self.wallet(1000)
        row = f"SELECT * FROM account WHERE key = 'wallet/{customer} EUR' FOR UPDATE"
        self.assert_strangers_are_paid("account", row, customer, sku, sku)

    def test_a_saga(self):
        order_id, _ = self.place_external()
        payment = self.waiting(order_id)
        wait_until(lambda: self.is_parked(order_id), 30, "it is parked")
        sku, stranger = self.product(10, pieces=100), self.wallet(1000)
        with Lock(self.mesh, "saga", f"SELECT FROM journal_parked WHERE id = '{order_id}' FOR UPDATE"):
            self.provider.pay(payment.id)
            saga = self.wait_saga(order_id, "STUCK")
            self.assertEqual(saga.error_code, "UNWRITTEN", saga)
            self.assertIn("keeps its row locked", saga.error_message)
            for _ in range(STRANGERS):
                self.assert_paid(self.place(stranger, [(sku, 1)]), total_minor=10)
        self.assert_paid(order_id, total_minor=1000)

    def is_parked(self, saga_id):
        statement = f"SELECT count(*) FROM journal_parked WHERE id = '{saga_id}'"
        return self.mesh.psql("saga", statement) == [["1"]]

    def assert_strangers_are_paid(self, database, row, customer, sku, other):
        stranger = self.wallet(1000)
        with Lock(self.mesh, database, row):
            waits = self.place(customer, [(sku, 1)])
            for _ in range(STRANGERS):
                self.assert_paid(self.place(stranger, [(other, 1)]), total_minor=10)
            self.assertEqual(self.status(waits), "PENDING")
        self.assert_paid(waits, total_minor=10)


class News(Story):
    def unsent(self):
        rows = self.mesh.psql(
            "orders",
            "SELECT s.last_value - c.seq FROM event_seq s, event_cursor c WHERE c.name = 'kafka'",
        )
        return int(rows[0][0])

    def wait_sent(self, seconds, what):
        wait_until(lambda: self.unsent() == 0, seconds, f"all news is sent {what}")

    @contextlib.contextmanager
    def second(self):
        """Another order-svc on the same database, and a stub of it."""
        program = self.mesh.add("order2", like="order")
        try:
            self.mesh.start("order2")
            with grpc.insecure_channel(self.mesh.address("order2")) as channel:
                yield order_service_pb2_grpc.OrderServiceStub(channel)
        finally:
            if program.is_alive():
                self.mesh.stop("order2")
            del self.mesh.programs["order2"]

    def test_a_replica_that_hangs_is_replaced(self):
        sku, customer = self.product(10, pieces=100), self.wallet(1000)
        self.assert_paid(self.place(customer, [(sku, 1)]), total_minor=10)
        self.wait_sent(20, "before")
        with self.second() as stub:
            with self.paused("order"):
                request = self.mesh.place_request(customer, [(sku, 1)])
                self.mesh.insist(stub.Place, request)
                self.wait_sent(TAKEN_OVER_SECONDS, "by the other replica")
            self.assert_paid(request.order_id, total_minor=10)
        self.wait_sent(20, "when one is left")

    def test_transactions_of_others_do_not_hold_it(self):
        sku, customer = self.product(10, pieces=100), self.wallet(1000)
        self.mesh.psql("orders", "CREATE TABLE IF NOT EXISTS stranger (x int)")
        insert = "INSERT INTO stranger VALUES (1)"
        with Lock(self.mesh, "storage", "CREATE TABLE stranger (x int)"):
            with Lock(self.mesh, "orders", f"{insert}; PREPARE TRANSACTION 'forgotten'"):
                self.assert_paid(self.place(customer, [(sku, 1)]), total_minor=10)
                self.wait_sent(20, "beside strangers")
                self.mesh.psql("orders", "ROLLBACK PREPARED 'forgotten'")
        self.mesh.psql("orders", "DROP TABLE stranger")

    def test_a_transaction_that_holds_it_is_named(self):
        event = (
            "INSERT INTO event (id, aggregatetype, aggregateid, version, type, payload, time_us,"
            " traceparent) SELECT mesh_uuid_floor(now()), 'nothing', mesh_uuid_floor(now()), 1,"
            " 'nothing.said', '{}', 0, ''"
        )
        with Lock(self.mesh, "orders", f"SET application_name = 'anna'; {event}"):
            self.place(self.wallet(1000), [(self.product(10, pieces=1), 1)])
            wait_until(
                lambda: "relay=late" in self.log() and "application=anna" in self.log(),
                20,
                "the log names who holds the news",
            )
        self.wait_sent(20, "afterwards")

    def log(self):
        return (self.mesh.logs / "order.log").read_text()
