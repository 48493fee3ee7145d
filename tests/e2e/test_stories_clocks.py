"""Stories of wall clocks that are wrong, and step."""

import contextlib
import time

import story
from external import External, http_json
from mesh import uuid7
from patience import wait_until
from watch import samples

NOT_SERVING, SERVING = 2, 1
PROGRAMS = ("storage", "account", "saga", "order")


def only_waits(states):
    """Nobody tells it of a payment. Its first state has the name of the shipped one."""
    states.clear()
    states["ReserveStock"] = {
        "Type": "WaitForEvent",
        "Event": "payment",
        "Until": "[payment] != null",
        "TimeoutSeconds": 16,
        "TimeoutNext": "Succeed",
        "Next": "Succeed",
    }
    states["Succeed"] = {"Type": "Succeed"}


story.flows["short_wait"] = only_waits


class WithClocks(External):
    def post_wallet_order(self, customer, sku, key=None):
        """Over HTTP; the answer's status and body."""
        body = {
            "customerId": customer,
            "currency": "EUR",
            "items": [{"sku": sku, "quantity": 1}],
            "payment": {"method": "wallet"},
        }
        headers = {"Idempotency-Key": key or uuid7()}
        status, order = self.bff("POST", "/api/v1/orders", body, customer, headers)
        if order.get("orderNo") and order["orderNo"] not in story.shared.placed:
            story.shared.placed.append(order["orderNo"])
        return status, order


class Clocks(WithClocks):
    """The clocks themselves: a story that moved none would prove nothing. And who is said to be wrong."""

    def database_is_ahead(self):
        rows = self.mesh.psql("postgres", "SELECT extract(epoch FROM clock_timestamp())")
        return float(rows[0][0]) - time.time()

    def logged(self, name, since, *words):
        """Is there a line with all these words, after so many characters of the program's log?"""
        log = (self.mesh.logs / f"{name}.log").read_text(errors="replace")[since:]
        return any(all(word in line for word in words) for line in log.splitlines())

    def log_bytes(self, name):
        return len((self.mesh.logs / f"{name}.log").read_text(errors="replace"))

    def ready(self):
        """Status and body of /readyz."""
        return http_json(self.mesh.address("bff"), "GET", "/readyz")[:2]

    def test_the_clock_of_the_database_moves_and_is_right_again(self):
        with self.clock_off("postgres", -1000):
            self.assertAlmostEqual(self.database_is_ahead(), -1000, delta=100)
        self.assertAlmostEqual(self.database_is_ahead(), 0, delta=100)

    def test_a_program_whose_clock_is_wrong_says_so_and_is_right_again(self):
        """Its orders go on all the same, by the time that the others agree on."""
        sku, customer = self.product(500, pieces=10), self.wallet(5000)
        for name, seconds in zip(PROGRAMS, (-400, 400, 70, -86400)):
            with self.subTest(name):
                since = self.log_bytes(name)
                with self.clock_off(name, seconds):
                    wait_until(lambda: self.mesh.health(name) == NOT_SERVING, 20, f"{name} is not fit")
                    off = f"off_seconds={seconds} "
                    self.assertTrue(
                        self.logged(name, since, "level=error", "clock=own", "CLOCK_OFF", off)
                    )
                    self.assert_paid(self.place(customer, [(sku, 1)]), total_minor=500)
                wait_until(lambda: self.mesh.health(name) == SERVING, 20, f"{name} is fit again")
                self.assertTrue(self.logged(name, since, "clock=own", "CLOCK_RIGHT"))

    def test_a_small_difference_is_a_warning(self):
        since = self.log_bytes("storage")
        with self.clock_off("storage", 5):
            wait_until(
                lambda: self.logged("storage", since, "level=warn", "clock=own", "CLOCK_APART"),
                20,
                "it is said",
            )
            self.assertEqual(self.mesh.health("storage"), SERVING)
            self.assertFalse(self.logged("storage", since, "CLOCK_OFF"))

    def test_bff_whose_clock_is_wrong_makes_ids_all_the_same(self):
        sku, customer = self.product(500, pieces=10), self.wallet(5000)
        wait_until(lambda: self.ready()[0] == 200, 20, "bff is ready")
        for seconds in (-1000, 1000):
            with self.clock_off("bff", seconds):
                wait_until(lambda: self.ready()[1].get("clock") == "wrong", 20, "bff says so")
                self.assertEqual(self.ready()[0], 503)
                shown = samples(self.mesh.programs["bff"])
                self.assertEqual(shown["sagamesh_clock_fit"], 0)
                self.assertAlmostEqual(
                    shown['sagamesh_clock_off_seconds{clock="own"}'], seconds, delta=10
                )
                status, order = self.post_wallet_order(customer, sku)
                self.assertIn(status, (201, 202), order)
                self.assert_paid(order["orderNo"], total_minor=500)
            wait_until(lambda: self.ready()[0] == 200, 20, "bff is ready again")

    def test_bff_that_begins_with_a_wrong_clock_makes_ids_all_the_same(self):
        sku, customer = self.product(500, pieces=10), self.wallet(5000)
        with self.clock_off("bff", 1000):
            self.mesh.restart("bff")
            status, order = self.post_wallet_order(customer, sku)
            self.assertIn(status, (201, 202), order)
            self.assert_paid(order["orderNo"], total_minor=500)

    def test_bff_that_begins_alone_refuses_no_token_by_its_own_clock(self):
        """A 401 would end the sessions of all customers: their tokens are expired for bff's clock alone."""
        names = ("order", "storage", "account", "saga")
        answers = set()
        with self.clock_off("bff", 10 * 86400), contextlib.ExitStack() as away:
            for name in names:
                away.enter_context(self.away(name))
            self.mesh.restart("bff")
            for _ in range(2):
                status, _ = self.bff("GET", "/api/v1/orders")
                answers.add(status)
            away.close()

            def is_served():
                status, _ = self.bff("GET", "/api/v1/orders")
                answers.add(status)
                return status == 200

            wait_until(is_served, 20, "bff is served")
        self.assertEqual(answers, {200, 503})

    def test_a_database_that_is_wrong_is_an_error_and_orders_go_on(self):
        """60 days ahead: no id is too old for it, no key is forgotten, nothing is due before its time."""
        sku, customer = self.product(500, pieces=10), self.wallet(5000)
        since = {name: self.log_bytes(name) for name in PROGRAMS}
        for seconds in (60 * 86400, -60 * 86400):
            with self.clock_off("postgres", seconds):
                for name in PROGRAMS:
                    wait_until(
                        lambda: self.logged(
                            name, since[name], "level=error", "clock=database", "CLOCK_OFF"
                        ),
                        20,
                        f"{name} says that the database's clock is wrong",
                    )
                self.assert_paid(self.place(customer, [(sku, 1)]), total_minor=500)
                self.assertEqual({self.mesh.health(name) for name in PROGRAMS}, {SERVING})


class DatabaseSteps(WithClocks):
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

    def test_a_key_is_not_forgotten_before_its_time(self):
        """A repeat of the request would else be another order."""
        sku, customer, key = self.product(500, pieces=10), self.wallet(5000), uuid7()
        status, first = self.post_wallet_order(customer, sku, key)
        self.assertIn(status, (201, 202), first)
        with self.clock_off("postgres", 60 * 86400):
            self.mesh.psql(
                "orders",
                "INSERT INTO idempotency SELECT 'old', fingerprint, order_id, claimed_by,"
                " locked_until_us, http_status, body, created_at_us - 2 * 86400000000::bigint"
                f" FROM idempotency WHERE order_id = '{first['orderNo']}'",
            )
            left = "SELECT 1 FROM idempotency WHERE key = 'old'"
            wait_until(lambda: not self.mesh.psql("orders", left), 20, "keys of yesterday are gone")
            again = self.post_wallet_order(customer, sku, key)[1]
            self.assertEqual(again["orderNo"], first["orderNo"])
        self.assert_paid(first["orderNo"], total_minor=500)
        self.assert_stock(sku, free=9, sold=1)

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

    def test_the_payments_clock_is_fast(self):
        """A webhook is signed with the time: it is believed all the same."""
        self.pays_while_off("account", 400)

    def test_the_clock_of_the_database_is_fast(self):
        self.pays_while_off("postgres", 400)

    def test_the_clock_of_the_database_is_slow(self):
        self.pays_while_off("postgres", -400)

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


class Timers(story.Story):
    """They go by steady time: a step of a clock stops none, and ends none before its time."""

    def test_a_retry_comes_though_the_clock_stepped_back(self):
        sku, customer = self.product(500, pieces=10), self.wallet(5000)
        for seconds in (-120, -7200):
            with self.away("storage"):
                order_id = self.place(customer, [(sku, 1)])
                self.wait_saga(order_id, "RETRYING")
                self.mesh.move_clock("saga", seconds)
            self.assert_paid(order_id, total_minor=500)
            self.mesh.set_clocks_right()

    def test_all_clocks_step(self):
        """As on one host: sagas go on, and ids that were made before are no trouble."""
        sku, customer = self.product(500, pieces=10), self.wallet(10000)
        for seconds in (100, -100, 3600, 0):
            with self.away("storage"):
                order_id = self.place(customer, [(sku, 1)])
                self.wait_saga(order_id, "RETRYING")
                for name in story.CLOCKS:
                    self.mesh.move_clock(name, seconds)
            self.assert_paid(order_id, total_minor=500)
            self.assert_paid(self.place(customer, [(sku, 1)]), total_minor=500)

    def test_an_orchestrator_that_began_ahead_is_put_right(self):
        """Fast by four minutes from its start, and stepped right while a call is asked again."""
        sku, customer = self.product(500, pieces=10), self.wallet(5000)
        self.mesh.move_clock("saga", 240)
        self.mesh.restart("saga")
        with self.away("storage"):
            order_id = self.place(customer, [(sku, 1)])
            self.wait_saga(order_id, "RETRYING")
            self.mesh.move_clock("saga", 0)
        self.assert_paid(order_id, total_minor=500)

    def test_what_was_parked_ahead_does_not_stand_still(self):
        """All clocks are fast, as on one host, and right when the orchestrator starts again."""
        saga_id = uuid7()
        with self.away("saga"):
            for name in story.CLOCKS:
                self.mesh.move_clock(name, 3600)
        request = self.mesh.saga_pb.StartRequest(
            saga_id=saga_id, definition="short_wait", input_json="{}"
        )
        self.mesh.insist(self.mesh.sagas.Start, request)
        parked = f"SELECT 1 FROM journal_parked WHERE id = '{saga_id}'"
        wait_until(lambda: self.mesh.psql("saga", parked), story.GO_ON_SECONDS, "it is parked")
        told = "SELECT 1 FROM journal_page WHERE body <> ''"
        wait_until(lambda: not self.mesh.psql("saga", told), story.GO_ON_SECONDS, "its page is gone")
        with self.away("saga"):
            self.mesh.set_clocks_right()
        self.wait_saga(saga_id, "ENDED")
