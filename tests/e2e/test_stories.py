"""Stories of single orders: what a customer can live through while every program is well."""

import story
from mesh import refusal, uuid7
from story import Story


class Orders(Story):
    def test_paid(self):
        sku, customer = self.product(500, pieces=10), self.wallet(2000)
        order_id = self.place(customer, [(sku, 2)])
        order = self.assert_paid(order_id, total_minor=1000)
        self.assertEqual(order.version, 2)
        self.assert_stock(sku, free=8, sold=2)
        self.assertEqual(self.mesh.balance(customer), 1000)
        events = self.mesh.events(order_id)
        self.assertEqual([event.type for event in events], ["order.placed", "order.paid"])
        self.assertEqual([event.version for event in events], [1, 2])
        saga = self.wait_saga(order_id, "ENDED")
        self.assertEqual((saga.status, saga.compensation_status), ("SU", ""))
        steps = self.mesh.saga(order_id).steps
        self.assertEqual(
            [(step.state, step.status) for step in steps],
            [(state, "SU") for state in ("ReserveStock", "ChargeWallet", "ConfirmStock", "MarkPaid")],
        )

    def test_placed_twice_is_placed_once(self):
        sku, customer = self.product(500, pieces=10), self.wallet(2000)
        request = self.mesh.place_request(customer, [(sku, 2)])
        story.shared.placed.append(request.order_id)
        for _ in range(3):
            answer = self.mesh.orders.Place(request, timeout=5)
            self.assertEqual(answer.order_id, request.order_id)
        self.assert_paid(request.order_id, total_minor=1000)
        answer = self.mesh.orders.Place(request, timeout=5)
        self.assertEqual(answer.status, self.pb.ORDER_STATUS_PAID)
        self.assertEqual(self.mesh.balance(customer), 1000)

    def test_of_several_products(self):
        tea, cup = self.product(333, pieces=5), self.product(1000, pieces=5)
        order_id = self.place(self.wallet(3000), [(tea, 3), (cup, 2)])
        self.assert_paid(order_id, total_minor=2999)

    def test_a_free_order_is_paid_with_nothing(self):
        sku, customer = self.product(0, pieces=1), self.wallet(0)
        self.assert_paid(self.place(customer, [(sku, 1)]), total_minor=0)

    def test_refused_for_stock(self):
        tea, cup, customer = self.product(500, 10), self.product(100, 1), self.wallet(9000)
        order_id = self.place(customer, [(tea, 1), (cup, 2)])
        order = self.assert_failed(order_id, "NO_STOCK")
        self.assertIn(cup, order.detail)
        self.assert_stock(tea, free=10)
        self.assertEqual(self.mesh.balance(customer), 9000)

    def test_refused_for_an_unknown_sku(self):
        order_id = self.place(self.wallet(9000), [("no-such-thing", 1)])
        self.assertIn("no-such-thing", self.assert_failed(order_id, "UNKNOWN_SKU").detail)

    def test_refused_for_another_currency(self):
        sku = self.product(500, pieces=10, currency="JPY")
        order_id = self.place(self.wallet(9000), [(sku, 1)], currency="EUR")
        self.assert_failed(order_id, "CURRENCY_MISMATCH")
        self.assert_stock(sku, free=10)

    def test_refused_for_two_currencies_in_one_order(self):
        tea, cup = self.product(500, 10), self.product(500, 10, currency="JPY")
        order_id = self.place(self.wallet(9000), [(tea, 1), (cup, 1)])
        self.assert_failed(order_id, "MIXED_CURRENCY")
        self.assert_stock(tea, free=10)

    def test_refused_for_a_sum_that_overflows(self):
        sku = self.product(10**12, pieces=10**9)
        other = [(self.product(10**12, pieces=10**9), 10**6) for _ in range(10)]
        order_id = self.place(self.wallet(1), [(sku, 10**6)] + other)
        self.assert_failed(order_id, "TOTAL_OVERFLOW")
        self.assert_stock(sku, free=10**9)

    def test_refused_for_funds_after_stock_was_held(self):
        sku, customer = self.product(500, pieces=10), self.wallet(999)
        order_id = self.place(customer, [(sku, 2)])
        order = self.assert_failed(order_id, "NO_FUNDS")
        self.assertEqual(order.total_minor, 1000)
        self.assert_stock(sku, free=10)
        self.assertEqual(self.mesh.balance(customer), 999)
        self.assertEqual(self.hold_of(order_id)[1], self.mesh.storage_pb.HOLD_STATE_RELEASED)
        saga = self.wait_saga(order_id, "ENDED")
        self.assertEqual((saga.status, saga.compensation_status), ("UN", "SU"))

    def test_refused_without_a_wallet(self):
        sku = self.product(500, pieces=10)
        self.assert_failed(self.place("nobody", [(sku, 1)]), "NO_ACCOUNT")
        self.assert_stock(sku, free=10)

    def test_the_last_piece_is_sold_once(self):
        sku = self.product(100, pieces=3)
        orders = [self.place(self.wallet(100), [(sku, 1)]) for _ in range(8)]
        final = [self.mesh.wait_final(order_id) for order_id in orders]
        self.assertEqual(sum(o.status == self.pb.ORDER_STATUS_PAID for o in final), 3)
        self.assertEqual(sum(o.reason == "NO_STOCK" for o in final), 5)
        self.assert_stock(sku, free=0, sold=3)

    def test_the_last_money_is_spent_once(self):
        sku, customer = self.product(100, pieces=100), self.wallet(350)
        orders = [self.place(customer, [(sku, 1)]) for _ in range(8)]
        final = [self.mesh.wait_final(order_id) for order_id in orders]
        self.assertEqual(sum(o.status == self.pb.ORDER_STATUS_PAID for o in final), 3)
        self.assertEqual(sum(o.reason == "NO_FUNDS" for o in final), 5)
        self.assertEqual(self.mesh.balance(customer), 50)

    def test_of_a_flow_that_nobody_knows(self):
        sku = self.product(500, pieces=10)
        order_id = self.place(self.wallet(900), [(sku, 1)], flow="no_such_saga")
        self.assertIn("no_such_saga", self.assert_failed(order_id, "UNKNOWN_DEFINITION").detail)


class Cancelled(Story):
    def test_before_anything_was_held(self):
        sku, customer = self.product(500, pieces=10), self.wallet(2000)
        with self.paused("storage"):
            order_id = self.place(customer, [(sku, 2)])
            self.assertTrue(self.mesh.cancel(order_id).cancel_requested)
        self.assert_failed(order_id, "CANCELED")
        self.assert_stock(sku, free=10)
        self.assertEqual(self.mesh.balance(customer), 2000)

    def test_while_the_charge_is_under_way(self):
        sku, customer = self.product(500, pieces=10), self.wallet(2000)
        with self.paused("account"):
            order_id = self.place(customer, [(sku, 2)])
            self.wait_hold(order_id, self.mesh.storage_pb.HOLD_STATE_HELD)
            self.mesh.cancel(order_id)
            story.wait_until(
                lambda: self.saga_if_any(order_id).cancel_requested, 20, "the saga knows"
            )
        order = self.assert_failed(order_id, "CANCELED")
        self.assertTrue(order.cancel_requested)
        self.assertEqual(
            [event.type for event in self.mesh.events(order_id)],
            ["order.placed", "order.cancel-requested", "order.failed"],
        )
        self.assert_stock(sku, free=10)
        self.assertEqual(self.mesh.balance(customer), 2000)

    def test_twice_is_once(self):
        sku = self.product(500, pieces=10)
        with self.paused("storage"):
            order_id = self.place(self.wallet(2000), [(sku, 2)])
            for _ in range(2):
                self.assertTrue(self.mesh.cancel(order_id).cancel_requested)
        self.assert_failed(order_id, "CANCELED")
        types = [event.type for event in self.mesh.events(order_id)]
        self.assertEqual(types.count("order.cancel-requested"), 1)

    def test_too_late(self):
        sku = self.product(500, pieces=10)
        order_id = self.place(self.wallet(2000), [(sku, 2)])
        self.assert_paid(order_id, total_minor=1000)
        request = self.pb.CancelRequest(request_id=uuid7(), order_id=order_id)
        for _ in range(2):
            error = refusal(self.mesh.orders.Cancel, request, timeout=5)
            self.assertEqual((error.code.name, error.reason), ("FAILED_PRECONDITION", "TOO_LATE"))
        self.assert_paid(order_id, total_minor=1000)


class Holds(Story):
    def test_expired_before_confirm_and_held_again(self):
        sku, customer = self.product(500, pieces=10), self.wallet(2000)
        with self.paused("account"):
            order_id = self.place(customer, [(sku, 4)], flow="short_hold")
            self.wait_hold(order_id, self.mesh.storage_pb.HOLD_STATE_EXPIRED)
            self.assert_stock(sku, free=10)
        self.assert_paid(order_id, total_minor=2000)
        self.assert_stock(sku, free=6, sold=4)

    def test_expired_before_confirm_and_taken_by_another(self):
        sku, customer = self.product(500, pieces=4), self.wallet(2000)
        storage, pb = self.mesh.storage, self.mesh.storage_pb
        with self.paused("account"):
            order_id = self.place(customer, [(sku, 4)], flow="short_hold")
            self.wait_hold(order_id, pb.HOLD_STATE_EXPIRED)
            taken = storage.Reserve(
                pb.ReserveRequest(
                    request_id=uuid7(),
                    reference="another",
                    lines=[pb.ReserveLine(sku=sku, quantity=1)],
                    hold_seconds=600,
                ),
                timeout=5,
            )
        self.assert_failed(order_id, "NO_STOCK")
        self.assertEqual(self.mesh.balance(customer), 2000)
        kinds = self.mesh.psql(
            "account", f"SELECT kind FROM transfer WHERE reference = '{order_id}' ORDER BY seq"
        )
        self.assertEqual(kinds, [["charge"], ["refund"]])
        saga = self.wait_saga(order_id, "ENDED")
        self.assertEqual((saga.status, saga.compensation_status), ("UN", "SU"))
        storage.Release(pb.ReleaseRequest(request_id=uuid7(), hold_id=taken.hold_id), timeout=5)
        self.assert_stock(sku, free=4)

    def test_a_late_reserve_after_its_release(self):
        sku, pb, storage = self.product(500, pieces=10), self.mesh.storage_pb, self.mesh.storage
        reserve = pb.ReserveRequest(
            request_id=uuid7(), lines=[pb.ReserveLine(sku=sku, quantity=3)], hold_seconds=600
        )
        release = pb.ReleaseRequest(request_id=uuid7(), hold_id=reserve.request_id)
        self.assertEqual(storage.Release(release, timeout=5).state, pb.HOLD_STATE_RELEASED)
        for _ in range(2):
            error = refusal(storage.Reserve, reserve, timeout=5)
            self.assertEqual((error.code.name, error.reason), ("FAILED_PRECONDITION", "HOLD_ENDED"))
            self.assertEqual(error.metadata.get("stored"), "true")
        confirm = pb.ConfirmRequest(request_id=uuid7(), hold_id=reserve.request_id)
        self.assertEqual(refusal(storage.Confirm, confirm, timeout=5).reason, "HOLD_ENDED")
        self.assertEqual(storage.Release(release, timeout=5).state, pb.HOLD_STATE_RELEASED)
        self.assert_stock(sku, free=10)

    def test_a_late_charge_after_its_refund(self):
        customer, pb, ledger = self.wallet(1000), self.mesh.ledger_pb, self.mesh.ledger
        charge = pb.ChargeRequest(
            request_id=uuid7(), customer_id=customer, amount_minor=300, currency="EUR", order_id="late"
        )
        refund = pb.RefundRequest(request_id=uuid7(), charge_id=charge.request_id)
        self.assertEqual(ledger.Refund(refund, timeout=5).transfer_id, "")
        error = refusal(ledger.Charge, charge, timeout=5)
        self.assertEqual((error.code.name, error.reason), ("FAILED_PRECONDITION", "CHARGE_UNDONE"))
        self.assertEqual(error.metadata.get("stored"), "true")
        self.assertEqual(self.mesh.balance(customer), 1000)

    def test_a_late_mark_paid_after_the_order_failed(self):
        sku, pb = self.product(500, pieces=1), self.pb
        order_id = self.place(self.wallet(1), [(sku, 1)])
        self.assert_failed(order_id, "NO_FUNDS")
        mark = pb.MarkPaidRequest(
            request_id=uuid7(), order_id=order_id, total_minor=500, currency="EUR"
        )
        error = refusal(self.mesh.orders.MarkPaid, mark, timeout=5)
        self.assertEqual((error.code.name, error.reason), ("FAILED_PRECONDITION", "TOO_LATE"))

    def test_a_late_mark_failed_after_the_order_was_paid(self):
        sku, pb = self.product(500, pieces=1), self.pb
        order_id = self.place(self.wallet(500), [(sku, 1)])
        self.assert_paid(order_id, total_minor=500)
        mark = pb.MarkFailedRequest(request_id=uuid7(), order_id=order_id, reason="LATE")
        answer = self.mesh.orders.MarkFailed(mark, timeout=5)
        self.assertEqual(answer.status, pb.ORDER_STATUS_PAID)
        self.assert_paid(order_id, total_minor=500)


class SeatSale(Story):
    def test_a_seat_is_sold_once(self):
        seat, first, second = self.product(4200, 1), self.wallet(5000), self.wallet(5000)
        order_id = self.place(first, [(seat, 1)], flow="seat_sale")
        order = self.assert_paid(order_id, total_minor=4200)
        self.assertEqual(order.flow, "seat_sale")
        self.assertEqual(self.mesh.saga(order_id).saga.definition, "seat_sale")
        late = self.place(second, [(seat, 1)], flow="seat_sale")
        self.assert_failed(late, "NO_STOCK")
        self.assertEqual(self.mesh.balance(second), 5000)
        self.assert_stock(seat, free=0, sold=1)

    def test_two_want_it_at_once(self):
        seat = self.product(4200, pieces=1)
        orders = [
            self.place(self.wallet(5000), [(seat, 1)], flow="seat_sale") for _ in range(4)
        ]
        final = [self.mesh.wait_final(order_id) for order_id in orders]
        self.assertEqual(sum(o.status == self.pb.ORDER_STATUS_PAID for o in final), 1)

    def test_a_seat_that_was_not_paid_is_free_again(self):
        seat = self.product(4200, pieces=1)
        poor = self.place(self.wallet(4199), [(seat, 1)], flow="seat_sale")
        self.assert_failed(poor, "NO_FUNDS")
        rich = self.place(self.wallet(4200), [(seat, 1)], flow="seat_sale")
        self.assert_paid(rich, total_minor=4200)
