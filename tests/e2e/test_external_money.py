"""Stories of money that goes back by other hands than ours, and of what only a person can decide."""

from external import External
from mesh import uuid7
from patience import wait_until


class Office(External):
    """The provider's back office refunds too."""

    def office_refund(self, payment, amount_minor, refund_id="office"):
        path = f"/v1/payments/{payment.id}/refunds"
        status, answer = self.provider.ask("POST", path, {"id": refund_id, "amount": amount_minor})
        self.assertEqual((status, answer["status"]), (200, "SUCCEEDED"), answer)

    def look(self, order_id):
        """Somebody who looks makes us ask."""
        return self.mesh.payments.Observe(
            self.mesh.payment_pb.ObserveRequest(
                request_id=uuid7(),
                hint=self.mesh.payment_pb.PaymentHint(
                    payment_id=self.payment(order_id).id, hint="HINT_RETURNED"
                ),
            ),
            timeout=5,
        )

    def test_all_of_it_before_the_order_knew(self):
        """It was paid, and paid back: the order has nothing to take, and nothing goes back twice."""
        order_id, sku = self.place_external(faults=["lost"])
        payment = self.waiting(order_id)
        self.provider.pay(payment.id)
        self.office_refund(payment, 1000)
        self.look(order_id)
        self.assert_failed(order_id, "PAYMENT_REFUNDED")
        self.assert_settled(order_id, "SUCCEEDED", "ABANDONED", refunded_minor=1000)
        self.assertEqual(self.payment(order_id).refunds, "1000 office")
        self.assert_stock(sku, free=10)

    def test_some_of_it_before_ours(self):
        """Ours gives back what the office has left."""
        order_id, sku = self.place_external(faults=["lost"])
        payment = self.waiting(order_id)
        self.mesh.cancel(order_id)
        self.assert_failed(order_id, "CANCELED")
        self.provider.press(payment.id, "pay-late")
        self.office_refund(payment, 300)
        self.look(order_id)
        self.wait_payment(order_id, "was paid back", lambda p: p.refunds.count(" ") == 2)
        refunds = self.provider.record(payment.id)["refunds"]
        self.assertEqual(
            [(r["id"], r["amount"]) for r in refunds], [("office", 300), (payment.id, 700)]
        )
        self.assert_stock(sku, free=10)


class Person(External):
    """What sagactl lists, and pays back."""

    def ctl(self, *words):
        return self.sagactl(*words, "--json")

    def troubled(self, payment_id):
        """What is listed of it, or None."""
        status, answer = self.ctl("payments", "--limit=1000")
        self.assertEqual((status, answer["has_more"]), (0, False), answer)
        return {p["payment_id"]: p for p in answer["payments"]}.get(payment_id)

    def test_refunds_what_a_quarantined_one_took(self):
        """The provider took 1001 for 1000: the order does not get it, and a person pays 1001 back."""
        order_id, sku = self.place_external(faults=["wrong-amount-books"])
        payment = self.waiting(order_id)
        self.assertEqual(self.ctl("refund", payment.id)[1]["error"]["code"], "NOT_TROUBLED")
        self.provider.pay(payment.id)
        self.wait_payment(order_id, "is quarantined", lambda p: p.is_quarantined)
        listed = self.troubled(payment.id)
        self.assertEqual((listed["why"], listed["order_id"]), ("QUARANTINED", order_id))
        self.assertEqual((listed["amount_minor"], listed["booked_minor"]), (1000, 1001))

        request = f"--request-id={uuid7()}"
        for _ in range(2):
            said = self.ctl("refund", payment.id, request, "--comment=test: the customer called")
            self.assertEqual(said, (0, {"payment_id": payment.id, "claim": "ABANDONED"}))
        self.assert_failed(order_id, "PAYMENT_QUARANTINED")
        self.assert_stock(sku, free=10)
        wait_until(lambda: self.troubled(payment.id) is None, 20, "nobody is needed any more")
        refunds = self.provider.record(payment.id)["refunds"]
        self.assertEqual([(r["id"], r["amount"]) for r in refunds], [(payment.id, 1001)])
        self.assertEqual(self.payment(order_id).refunds, f"1001 {payment.id}")
        status, answer = self.ctl("refund", payment.id)
        self.assertEqual((status, answer["error"]["code"]), (1, "NOT_TROUBLED"))

    def test_is_told_what_the_order_has(self):
        order_id, _ = self.place_external()
        payment = self.waiting(order_id)
        self.provider.pay(payment.id)
        self.assert_paid(order_id, total_minor=1000)
        status, answer = self.ctl("refund", payment.id)
        self.assertEqual((status, answer["error"]["code"]), (1, "PAYMENT_TAKEN"), answer)
        self.assertEqual(self.provider.record(payment.id)["refunds"], [])
