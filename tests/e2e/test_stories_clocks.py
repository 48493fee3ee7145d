"""Stories of wall clocks that are wrong, and step."""

import time

import story
from external import External
from mesh import refusal, uuid7
from patience import wait_until

FUTURE_SECONDS_MAX = 300  # how far an id may be ahead


class Clocks(story.Story):
    """The clocks themselves: a story that moved none would prove nothing."""

    def database_is_ahead(self):
        rows = self.mesh.psql("postgres", "SELECT extract(epoch FROM clock_timestamp())")
        return float(rows[0][0]) - time.time()

    def test_the_clock_of_the_database_moves_and_is_right_again(self):
        with self.clock_off("postgres", -1000):
            self.assertAlmostEqual(self.database_is_ahead(), -1000, delta=100)
        self.assertAlmostEqual(self.database_is_ahead(), 0, delta=100)

    def test_the_clock_of_a_program_moves_and_is_right_again(self):
        sku = self.product(500, pieces=1)
        pb = self.mesh.storage_pb
        soon = uuid7(now_ms=int((time.time() + FUTURE_SECONDS_MAX / 2) * 1000))
        request = pb.RestockRequest(request_id=soon, sku=sku, quantity=1)
        with self.clock_off("storage", -FUTURE_SECONDS_MAX):
            self.assertIn("future", refusal(self.mesh.storage.Restock, request).message)
        self.mesh.storage.Restock(request)
        self.assert_stock(sku, free=2)


class DatabaseSteps(story.Story):
    """PostgreSQL's clock steps, and nothing that was acknowledged is lost."""

    def test_orders_placed_after_it_stepped_back_are_paid(self):
        sku, customer = self.product(500, pieces=10), self.wallet(5000)
        with self.clock_off("postgres", 100):
            self.assert_paid(self.place(customer, [(sku, 1)]), total_minor=500)
        with self.away("saga"):
            placed = [self.place(customer, [(sku, 1)]) for _ in range(5)]
            self.mesh.restart("order")
        for order_id in placed:
            self.assert_paid(order_id, total_minor=500)

    def test_a_hold_made_after_it_stepped_back_expires(self):
        sku, pb = self.product(500, pieces=3), self.mesh.storage_pb

        def reserve():
            line = pb.ReserveLine(sku=sku, quantity=1)
            request = pb.ReserveRequest(request_id=uuid7(), lines=[line], hold_seconds=1)
            self.mesh.insist(self.mesh.storage.Reserve, request)

        with self.clock_off("postgres", 1000):
            reserve()
            wait_until(lambda: self.mesh.product(sku).free == 3, 20, "the first hold has expired")
        reserve()
        wait_until(lambda: self.mesh.product(sku).free == 3, 20, "the second hold has expired")


class CustomerPays(External):
    """While a clock is wrong: the saga hears of it all the same."""

    def pays_while_off(self, name, seconds):
        order_id, _ = self.place_external()
        payment = self.waiting(order_id)
        with self.clock_off(name, seconds):
            self.provider.pay(payment.id)
            self.wait_payment(order_id, "taken", lambda payment: payment.claim == "TAKEN")
        self.assert_paid(order_id, total_minor=1000)
        self.assert_settled(order_id, "SUCCEEDED", "TAKEN")

    def test_the_sagas_clock_is_slow(self):
        self.pays_while_off("saga", -400)

    def test_the_saga_says_what_it_has(self):
        """A teller must know from the saga itself; a word that is not about this version is none."""
        order_id, _ = self.place_external()
        self.waiting(order_id)
        pb = self.mesh.saga_pb

        def say(version):
            request = pb.SignalRequest(
                request_id=uuid7(),
                saga_id=order_id,
                name="payment",
                version=version,
                payload_json='{"claim":"OPEN"}',
            )
            return self.mesh.insist(self.mesh.sagas.Signal, request)

        known = say(1)  # it has heard of a later one: that the payment can be made
        self.assertEqual((known.outcome, known.has_ended), (2, False))
        self.assertGreater(known.version, 1)
        self.mesh.cancel(order_id)
        self.assert_failed(order_id, "CANCELED")
        self.wait_saga(order_id, "ENDED")
        ended = say(100)
        self.assertEqual((ended.outcome, ended.has_ended), (3, True))
        self.assertNotIn(ended.status, ("", "SU"), "it did not end well")
