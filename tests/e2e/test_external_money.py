"""Stories of money that goes back by other hands than ours."""

from external import External
from mesh import uuid7, wait_until


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
        order_id, sku = self.place_external(faults=["pays-late:500", "lost"])
        payment = self.waiting(order_id)
        self.mesh.cancel(order_id)
        self.assert_failed(order_id, "CANCELED")
        wait_until(
            lambda: self.provider.record(payment.id)["status"] == "SUCCEEDED", 20, "it is paid late"
        )
        self.office_refund(payment, 300)
        self.look(order_id)
        self.wait_payment(order_id, "was paid back", lambda p: p.refunds.count(" ") == 2)
        refunds = self.provider.record(payment.id)["refunds"]
        self.assertEqual(
            [(r["id"], r["amount"]) for r in refunds], [("office", 300), (payment.id, 700)]
        )
        self.assert_stock(sku, free=10)
