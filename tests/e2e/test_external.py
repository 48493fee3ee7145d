"""Stories of orders that are paid at a provider: what its webhooks can do, and what customers can."""

import time

import external
import story
from external import External
from patience import wait_until

story.flows["pay_in_seconds"] = external.pay_in_seconds


class Paid(External):
    def test_over_http_and_a_webhook(self):
        sku = self.product(500, pieces=10)
        status, order = self.post_order(sku, 2)
        self.assertEqual((status, order["status"]), (201, "WAITING_PAYMENT"), order)
        self.assertEqual((order["total"], order["payment"]["method"]), (1000, "external"), order)
        self.assert_stock(sku, free=8, held=2)
        payment = self.waiting(order["orderNo"])
        self.assertEqual(order["payment"]["id"], payment.id)
        self.assertTrue(order["payment"]["url"].endswith(f"/checkout/{payment.id}"), order)

        self.provider.pay(payment.id)
        paid = self.assert_paid(order["orderNo"], total_minor=1000)
        self.assertEqual(paid.payment_reference, payment.id)
        settled = self.assert_settled(order["orderNo"], "SUCCEEDED", "TAKEN")
        self.assertEqual((settled.polls, settled.webhooks), (0, 1), "the webhook alone did it")
        self.assert_stock(sku, free=8, sold=2)
        status, order = self.bff("GET", f"/api/v1/orders/{order['orderNo']}")
        self.assertEqual((status, order["status"]), (200, "PAID"), order)
        types = [event.type for event in self.mesh.events(order["orderNo"])]
        self.assertEqual(types, ["order.placed", "order.waiting", "order.paid"])

    def test_the_webhook_is_lost_and_somebody_looks(self):
        sku = self.product(500, pieces=10)
        self.provider.faults("lost")
        _, order = self.post_order(sku, 2)
        payment = self.waiting(order["orderNo"])
        self.provider.pay(payment.id)
        path = f"/api/v1/orders/{order['orderNo']}"
        wait_until(
            lambda: self.bff("GET", path)[1]["status"] == "PAID", 20, "PAID for the one who looks"
        )
        self.assertEqual(self.assert_settled(order["orderNo"], "SUCCEEDED", "TAKEN").webhooks, 0)

    def test_with_a_second_card(self):
        """The first one is declined, which ends nothing: the checkout is open for another."""
        order_id, sku = self.place_external()
        payment = self.waiting(order_id)
        status, answer = self.provider.ask("POST", f"/checkout/{payment.id}/decline")
        self.assertEqual((status, answer["status"]), (200, "ATTEMPT_DECLINED"), answer)
        self.wait_payment(order_id, "heard of it", lambda p: p.observed == "PENDING")
        self.assertEqual(self.status(order_id), "WAITING_PAYMENT")
        self.provider.pay(payment.id)
        self.assert_paid(order_id, total_minor=1000)
        self.assert_stock(sku, free=8, sold=2)

    def test_though_its_cancel_does_not_work(self):
        """The customer is quicker than the cancel, of which nothing is heard: it counts."""
        order_id, sku = self.place_external(faults=["lost", "cancel-500*-1"])
        payment = self.waiting(order_id)
        self.mesh.cancel(order_id)
        wait_until(lambda: self.asked(payment, "abandon_step > 0"), 20, "it is cancelled in vain")
        self.provider.pay(payment.id)
        self.assert_paid(order_id, total_minor=1000)
        self.assert_settled(order_id, "SUCCEEDED", "TAKEN")
        self.assert_stock(sku, free=8, sold=2)

    def asked(self, payment, condition):
        sql = f"SELECT count(*) FROM provider_task WHERE payment_id = '{payment.id}' AND {condition}"
        return int(self.mesh.psql("account", sql)[0][0]) > 0

    def test_the_webhook_comes_twice(self):
        order_id, _ = self.place_external(faults=["doubled"])
        payment = self.waiting(order_id)
        self.provider.pay(payment.id)
        self.assert_paid(order_id, total_minor=1000)
        self.assert_settled(order_id, "SUCCEEDED", "TAKEN")
        wait_until(lambda: self.delivered(payment) == [200, 200], 10, "both were taken")
        self.assertEqual(self.payment(order_id).webhooks, 1)

    def test_the_webhooks_are_reordered(self):
        order_id, _ = self.place_external(faults=["reordered:200"])
        payment = self.waiting(order_id)
        self.provider.pay(payment.id)
        self.assert_paid(order_id, total_minor=1000)
        wait_until(lambda: self.delivered(payment) == [200, 200], 10, "both were taken")
        self.assertEqual(self.assert_settled(order_id, "SUCCEEDED", "TAKEN").webhooks, 2)

    def test_and_then_a_failure_is_said(self):
        order_id, _ = self.place_external()
        payment = self.waiting(order_id)
        self.provider.pay(payment.id)
        self.assert_paid(order_id, total_minor=1000)
        said = self.provider.say(
            "msg_late", id=payment.id, status="FAILED", amount=1000, currency="EUR"
        )
        self.assertEqual(said, (200, {"outcome": "STORED"}))
        self.assertEqual(self.status(order_id), "PAID")
        self.assert_settled(order_id, "SUCCEEDED", "TAKEN")

    def test_though_create_timed_out_after_doing_it(self):
        order_id, _ = self.place_external(faults=["timeout-after:200"])
        payment = self.waiting(order_id)
        self.provider.pay(payment.id)
        self.assert_paid(order_id, total_minor=1000)
        self.assert_settled(order_id, "SUCCEEDED", "TAKEN")

    def test_though_the_provider_has_trouble(self):
        order_id, _ = self.place_external(faults=["error-500*2"])
        self.provider.pay(self.waiting(order_id).id)
        self.assert_paid(order_id, total_minor=1000)
        self.assert_settled(order_id, "SUCCEEDED", "TAKEN")

    def test_the_provider_is_away_when_the_order_comes(self):
        with self.away("provider"):
            order_id, _ = self.place_external()
            self.wait_saga(order_id, "WAITING", "WaitForUrl")
        self.provider.pay(self.waiting(order_id).id)
        self.assert_paid(order_id, total_minor=1000)
        self.assert_settled(order_id, "SUCCEEDED", "TAKEN")

    def test_the_webhook_finds_account_away(self):
        """Nothing is promised to the provider until it is stored, so it comes again."""
        order_id, _ = self.place_external()
        payment = self.waiting(order_id)
        with self.away("account"):
            self.provider.pay(payment.id)
            wait_until(lambda: self.attempts(payment) > 0, 20, "the provider has tried")
            self.assertNotIn(200, self.delivered(payment))
        self.assert_paid(order_id, total_minor=1000)
        self.assert_settled(order_id, "SUCCEEDED", "TAKEN")

    def delivered(self, payment):
        """The statuses that its webhooks were answered with."""
        webhooks = self.provider.record(payment.id)["webhooks"]
        return [webhook["httpStatus"] for webhook in webhooks]

    def attempts(self, payment):
        return sum(webhook["attempts"] for webhook in self.provider.record(payment.id)["webhooks"])


class NotPaid(External):
    def test_declined(self):
        order_id, sku = self.place_external(faults=["declines"])
        self.provider.pay(self.waiting(order_id).id)
        self.assert_failed(order_id, "PAYMENT_FAILED")
        self.assert_settled(order_id, "FAILED", "ABANDONED")
        self.assert_stock(sku, free=10)

    def test_refused_with_its_words(self):
        order_id, sku = self.place_external(faults=["refuses"])
        order = self.assert_failed(order_id, "PAYMENT_REFUSED")
        self.assertEqual(
            order.detail,
            "the provider refused to make it: RISK_REJECTED: this is what was asked for: refuses",
        )
        self.assert_stock(sku, free=10)

    def test_the_order_waits_no_longer(self):
        order_id, sku = self.place_external(flow="pay_in_seconds")
        self.waiting(order_id)
        self.assert_failed(order_id, "PAYMENT_CANCELED")
        self.assert_settled(order_id, "CANCELED", "ABANDONED")
        self.assert_stock(sku, free=10)

    def test_cancelled_while_it_waits(self):
        order_id, sku = self.place_external()
        payment = self.waiting(order_id)
        self.mesh.cancel(order_id)
        order = self.assert_failed(order_id, "CANCELED")
        self.assertTrue(order.cancel_requested)
        self.assert_settled(order_id, "CANCELED", "ABANDONED")
        self.assert_stock(sku, free=10)
        get = self.mesh.payment_pb.GetRequest(payment_id=payment.id)
        self.assertEqual(self.mesh.payments.Get(get, timeout=5).payment.url, "")
        status, answer = self.provider.ask("POST", f"/checkout/{payment.id}/pay")
        self.assertEqual(status, 409, answer)

    def test_cancelled_when_it_had_been_paid(self):
        """Only the provider knew of the payment: it counts, and the cancel came too late."""
        order_id, sku = self.place_external(faults=["lost"])
        self.provider.pay(self.waiting(order_id).id)
        self.mesh.cancel(order_id)
        order = self.assert_paid(order_id, total_minor=1000)
        self.assertTrue(order.cancel_requested)
        self.assert_settled(order_id, "SUCCEEDED", "TAKEN")
        self.assert_stock(sku, free=8, sold=2)

    def test_paid_after_it_failed_is_paid_back_once(self):
        order_id, sku = self.place_external(faults=["doubled"])
        payment = self.waiting(order_id)
        self.mesh.cancel(order_id)
        self.assert_failed(order_id, "CANCELED")
        self.provider.press(payment.id, "pay-late")
        self.wait_payment(order_id, "was paid after all", lambda p: p.observed == "SUCCEEDED")
        settled = self.assert_settled(order_id, "SUCCEEDED", "ABANDONED", refunded_minor=1000)
        for number in range(2):
            self.provider.say(
                f"msg_again_{number}", id=settled.id, status="SUCCEEDED", amount=1000, currency="EUR"
            )
        self.assert_settled(order_id, "SUCCEEDED", "ABANDONED", refunded_minor=1000)
        self.assertEqual(self.status(order_id), "FAILED")
        self.assert_stock(sku, free=10)


class NotBelieved(External):
    def test_a_wrong_amount_that_the_books_do_not_have(self):
        order_id, _ = self.place_external(faults=["wrong-amount"])
        self.provider.pay(self.waiting(order_id).id)
        self.assert_paid(order_id, total_minor=1000)
        settled = self.assert_settled(order_id, "SUCCEEDED", "TAKEN")
        self.assertFalse(settled.is_quarantined)
        self.assertGreater(settled.polls, 0)

    def test_a_wrong_amount_in_the_books_too(self):
        """A person must look: the payment is kept apart, and the order does not get it."""
        order_id, sku = self.place_external(faults=["wrong-amount-books"])
        payment = self.waiting(order_id)
        self.provider.pay(payment.id)
        kept = self.wait_payment(order_id, "is quarantined", lambda p: p.is_quarantined)
        self.assertEqual((kept.observed, kept.claim), ("CREATED", "OPEN"))
        self.assertEqual(self.status(order_id), "WAITING_PAYMENT")
        self.mesh.cancel(order_id)
        self.assert_failed(order_id, "CANCELED")
        self.assertEqual(self.payment(order_id).refunds, "")
        self.assert_stock(sku, free=10)

    def test_a_wrong_signature(self):
        order_id, _ = self.place_external()
        payment = self.waiting(order_id)
        paid = dict(id=payment.id, status="SUCCEEDED", amount=1000, currency="EUR")
        before = self.stored()
        now, other = time.time(), "whsec_" + "A" * 43 + "="
        rows = (
            ("another secret", dict(secret=other)),
            ("ten minutes old", dict(timestamp=int(now) - 600)),
            ("ten minutes ahead", dict(timestamp=int(now) + 600)),
        )
        for name, options in rows:
            with self.subTest(name):
                status, answer = self.provider.say("msg_forged", **options, **paid)
                self.assertEqual((status, answer["code"]), (401, "BAD_SIGNATURE"), answer)
        self.assertEqual(self.stored(), before)
        self.assertEqual(self.status(order_id), "WAITING_PAYMENT")
        self.provider.faults("wrong-signature:200", payment=payment.id)
        self.provider.pay(payment.id)
        self.assert_paid(order_id, total_minor=1000)
        self.assertEqual(self.assert_settled(order_id, "SUCCEEDED", "TAKEN").webhooks, 1)

    def stored(self):
        """What webhooks change."""
        return self.mesh.psql(
            "account",
            "SELECT (SELECT count(*) FROM payment_inbox), (SELECT sum(version) FROM payment),"
            " (SELECT count(*) FROM event)",
        )
