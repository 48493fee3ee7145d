"""Stories of an auditor: a mesh that works has nothing to be found, and each kind of fault is found, and
repaired by the word that the audit names."""

import threading

import audit
import story
from external import External
from mesh import uuid7
from patience import wait_until


def reserves_in_parts(states):
    """The first line of an order in a hold of its own, and the second in another."""
    for state, index, following in (("ReserveStock", 0, "ReserveRest"), ("ReserveRest", 1, "ChargeWallet")):
        states[state] = {
            **states["ReserveStock"],
            "Input": [{**states["ReserveStock"]["Input"][0], "lines": [f"$.[lines][{index}]"]}],
            "CompensateState": f"Release{state}",
            "Output": {f"total{index}": "$.[totalMinor]"},
            "Next": following,
        }
        states[f"Release{state}"] = {
            **states["ReleaseStock"],
            "Input": [{"holdId": f"$.[{state}_business_key_]"}],
        }
    states["ConfirmRest"] = {
        **states["ConfirmStock"],
        "Input": [{"holdId": "$.[ReserveRest_business_key_]"}],
    }
    for unused in ("Pivot", "Catch"):
        del states["ConfirmRest"][unused]
    states["ConfirmStock"]["Next"] = "ConfirmRest"
    states["ChargeWallet"]["Input"][0]["amountMinor"] = "$.[total0] + [total1]"
    states["MarkPaid"]["Input"][0]["totalMinor"] = "$.[total0] + [total1]"
    for unused in ("ReleaseStock", "ChoosePayment"):
        del states[unused]


story.flows["two_holds"] = reserves_in_parts


class Audit(External):
    def audit(self, *words):
        """What is found, by (code, id)."""
        return {(f["code"], f["id"]): f for f in audit.findings(self.mesh, *words)}

    def repair(self, finding):
        """Runs the word that it names."""
        words = finding["repair"].split()
        self.assertEqual(words.pop(0), "sagactl", finding)
        status, answer = self.sagactl(*words, "--comment=test: as the audit said", "--json")
        self.assertEqual(status, 0, answer)

    def assert_found(self, *codes_and_ids):
        found = self.audit()
        self.assertEqual(set(found), set(codes_and_ids))
        return [found[key] for key in codes_and_ids]

    def assert_clean(self):
        self.assertEqual(self.audit(), {})

    def account(self, statement):
        return self.mesh.psql("account", statement)

    def paid_order(self, unit_price_minor=500):
        sku, customer = self.product(unit_price_minor, pieces=10), self.wallet(5000)
        order_id = self.place(customer, [(sku, 2)])
        return self.assert_paid(order_id, total_minor=2 * unit_price_minor), sku, customer

    # -- what works

    def test_a_mesh_that_works_has_no_findings(self):
        """Orders of all kinds come and go while it is looked at, and nothing is taken for a fault."""
        sku, customer = self.product(100, pieces=1000), self.wallet(10000)
        poor = self.wallet(50)
        is_over = threading.Event()

        def load():
            while not is_over.is_set():
                for name in (customer, poor):
                    self.place(name, [(sku, 1)])
                order_id, _ = self.place_external()
                self.mesh.cancel(order_id)
                is_over.wait(0.02)

        thread = threading.Thread(target=load)
        thread.start()
        try:
            for _ in range(2):
                status, answer = self.sagactl("audit", "--json", "--pause=1")
                self.assertEqual((status, answer["findings"]), (0, []), answer)
        finally:
            is_over.set()
            thread.join()
        for kind in ("orders", "holds", "charges", "payments"):
            self.assertGreater(answer[kind], 0, kind)

    def pages(self, call, request, page_size):
        """What a list has, asked for in pages of a size; each page is bounded by it."""
        rows, token = [], ""
        while True:
            page = self.mesh.insist(call, request(page_size=page_size, page_token=token))
            [field] = [f.name for f in page.DESCRIPTOR.fields if f.name != "next_page_token"]
            self.assertLessEqual(len(getattr(page, field)), page_size)
            rows += getattr(page, field)
            token = page.next_page_token
            if not token:
                return rows

    def test_the_lists_it_reads_go_on_page_by_page(self):
        open_orders = [self.place_external()[0] for _ in range(3)]
        for order_id in open_orders:
            self.waiting(order_id)
        self.paid_order()
        mesh = self.mesh
        lists = (
            (mesh.orders.ListOpen, mesh.order_pb.ListOpenRequest),
            (mesh.storage.ListHolds, mesh.storage_pb.ListHoldsRequest),
            (mesh.ledger.ListCharges, mesh.ledger_pb.ListChargesRequest),
            (mesh.payments.ListAll, mesh.payment_pb.ListAllRequest),
        )
        for call, request in lists:
            with self.subTest(request.DESCRIPTOR.name):
                whole = self.pages(call, request, 1000)
                self.assertGreater(len(whole), 0)
                self.assertEqual(self.pages(call, request, 2), whole)
        listed = [order.order_id for order in self.pages(*lists[0], 1)]
        self.assertEqual(listed, open_orders[::-1])
        status, answer = self.sagactl("orders", "--json", "--limit=2")
        self.assertEqual((status, answer["has_more"]), (0, True), answer)
        self.assertEqual([o["order_id"] for o in answer["orders"]], listed[:2])
        status, text = self.sagactl("orders", "--all", "--limit=1")
        self.assertEqual((status, [id in text for id in listed]), (0, [True] * 3), text)
        for order_id in open_orders:
            self.mesh.cancel(order_id)
            self.assert_failed(order_id, "CANCELED")
        self.assertEqual(self.sagactl("orders"), (0, "all orders have ended\n"))

    def test_it_could_not_look(self):
        for name in ("order", "storage", "account", "saga"):
            self.place(self.wallet(100), [(self.product(1, pieces=10), 1)])
            with self.away(name):
                status, answer = self.sagactl("audit", "--json", "--timeout=1")
                self.assertEqual((status, answer["error"]["code"]), (2, "UNREACHABLE"), name)

    # -- orders and sagas

    def test_an_order_that_stays_open(self):
        with self.away("saga"):
            order_id = self.place(self.wallet(100), [(self.product(1, pieces=10), 1)])
        # It is asked for again by itself; a WAITING order whose saga is lost is not.
        lost, _ = self.place_external()
        self.waiting(lost)
        self.assert_paid(order_id, total_minor=1)
        wait_until(lambda: self.in_journal(lost) == [["0", "1"]], 30, "it is only parked")
        with self.away("saga"):
            self.mesh.psql("saga", f"DELETE FROM journal_parked WHERE id = '{lost}'")
        self.set_order(lost, "payment_expires_at_us = placed_at_us")
        [finding] = self.assert_found(("ORDER_WITHOUT_SAGA", lost))
        self.repair(finding)
        self.assert_found(("ORDER_LATE", lost))
        self.provider.pay(self.payment(lost).id)
        self.assert_paid(lost, total_minor=1000)
        self.wait_saga(lost, "ENDED")
        self.assert_clean()

    def in_journal(self, saga_id):
        return self.mesh.psql(
            "saga",
            f"SELECT (SELECT count(*) FROM journal_page WHERE body LIKE '%{saga_id}%'),"
            f" (SELECT count(*) FROM journal_parked WHERE id = '{saga_id}')",
        )

    def set_order(self, order_id, change):
        self.mesh.psql("orders", f"UPDATE orders SET {change} WHERE id = '{order_id}'")

    def test_a_stuck_saga(self):
        [order_id] = self.make_stuck()
        found = self.audit()
        self.assertEqual(set(found), {("SAGA_STUCK", order_id)})
        self.assertEqual(self.sagactl("retry", order_id)[0], 0)
        self.assert_paid(order_id, total_minor=1000)
        self.wait_saga(order_id, "ENDED")
        self.assert_clean()

    def test_an_order_that_is_not_what_others_say(self):
        order, sku, _ = self.paid_order()
        id, charge, hold = order.order_id, order.payment_reference, self.hold_of(order.order_id)[0]
        self.set_order(id, f"payment_reference = '{uuid7()}'")
        self.assert_found(("ORDER_UNPAID", id), ("CHARGED_TWICE", charge))
        self.set_order(id, f"payment_reference = '{charge}', total_minor = total_minor + 1")
        self.assert_found(
            ("ORDER_UNPAID", id), ("SOLD_AT_ANOTHER_TOTAL", id), ("SUM", id)
        )
        self.set_order(id, "total_minor = total_minor - 1")
        self.mesh.psql("storage", f"UPDATE hold SET currency = 'JPY' WHERE id = '{hold}'")
        self.assert_found(("SOLD_AT_ANOTHER_TOTAL", id))
        self.mesh.psql("storage", f"UPDATE hold SET currency = 'EUR', state = 3 WHERE id = '{hold}'")
        self.assert_found(("ORDER_UNSOLD", id), ("SUM", sku))
        status, answer = self.sagactl("sell", id, "--json")
        self.assertEqual((status, answer["error"]["code"]), (1, "NOT_FOUND"), answer)
        self.mesh.psql("storage", f"UPDATE hold SET state = 1 WHERE id = '{hold}'")
        change = "UPDATE product SET held = held + 2, sold = sold - 2"
        self.mesh.psql("storage", f"{change} WHERE sku = '{sku}'")
        unsold, left_over = self.assert_found(("ORDER_UNSOLD", id), ("HOLD_LEFT_OVER", hold))
        self.assertEqual(unsold["repair"], left_over["repair"])
        self.repair(unsold)
        self.assert_clean()
        status, answer = self.sagactl("sell", id, "--json")
        self.assertEqual((status, answer["error"]["code"]), (1, "ALREADY_SOLD"), answer)
        self.set_order(id, "status = 2")
        left_open, _ = self.assert_found(("ORDER_LEFT_OPEN", id), ("SUM", id))
        self.repair(left_open)
        self.assert_paid(id, total_minor=1000)
        self.assert_clean()
        status, answer = self.sagactl("end", id, "--json")
        self.assertEqual((status, answer["error"]["code"]), (1, "TOO_LATE"), answer)

    def unsell(self, hold, sku):
        """As a restore of storage-svc's database does."""
        self.mesh.psql("storage", f"UPDATE hold SET state = 1 WHERE id = '{hold}'")
        change = "UPDATE product SET held = held + 1, sold = sold - 1"
        self.mesh.psql("storage", f"{change} WHERE sku = '{sku}'")

    def test_an_order_of_two_holds(self):
        """It is sold under one --request-id, also when a try had sold one of the two."""
        skus = [self.product(price, pieces=10) for price in (300, 700)]
        id = self.place(self.wallet(5000), [(sku, 1) for sku in skus], flow="two_holds")
        self.assert_paid(id, total_minor=1000)
        self.wait_saga(id, "ENDED")
        rows = self.mesh.psql(
            "storage", f"SELECT id FROM hold WHERE reference = '{id}' ORDER BY total_minor"
        )
        holds = [row[0] for row in rows]
        words = ["sell", id, f"--request-id={uuid7()}", "--json"]
        for unsold in ([0, 1], [1]):
            for i in unsold:
                self.unsell(holds[i], skus[i])
            status, answer = self.sagactl(*words)
            self.assertEqual((status, answer.get("holds")), (0, len(unsold)), answer)
            words[2] = f"--request-id={uuid7()}"
            self.assert_clean()
        status, answer = self.sagactl(*words)
        self.assertEqual((status, answer["error"]["code"]), (1, "ALREADY_SOLD"), answer)
        self.set_order(id, "total_minor = 1700")
        self.unsell(holds[1], skus[1])
        status, answer = self.sagactl(*words)
        self.assertEqual((status, answer["error"]["code"]), (1, "OTHER_TOTAL"), answer)
        self.set_order(id, "total_minor = 1000")
        [left] = [f for (code, _), f in self.audit().items() if code == "HOLD_LEFT_OVER"]
        self.repair(left)
        self.assert_clean()

    def test_an_order_whose_saga_ended_without_it(self):
        """As after a restore of orders alone: one that failed, and one that was paid at a provider."""
        failed = self.place(self.wallet(10), [(self.product(500, pieces=10), 2)])
        self.assert_failed(failed, "NO_FUNDS")
        paid, _ = self.place_external()
        self.provider.pay(self.waiting(paid).id)
        self.assert_paid(paid, total_minor=1000)
        for order_id in (failed, paid):
            self.wait_saga(order_id, "ENDED")
            self.set_order(order_id, "status = 1, failure_reason = '', failure_detail = ''")
            self.repair(self.audit()["ORDER_LEFT_OPEN", order_id])
            self.assert_clean()
        self.assert_failed(failed, "NO_FUNDS")
        self.assert_paid(paid, total_minor=1000)

    def test_an_order_whose_saga_was_settled(self):
        [order_id] = self.make_stuck()
        words = ("settle", order_id, "ended", "--comment=test: it was paid by hand", "--json")
        status, answer = self.sagactl(*words)
        self.assertEqual((status, answer["phase"]), (0, "ended"), answer)
        self.assertIn(("ORDER_LEFT_OPEN", order_id), self.audit())
        status, answer = self.sagactl("end", order_id, "--json")
        self.assertEqual((status, answer["error"]["code"]), (1, "BAD_REQUEST"), answer)
        status, answer = self.sagactl("end", order_id, "paid", "--json")
        self.assertEqual((status, answer["status"]), (0, "PAID"), answer)
        self.assert_paid(order_id, total_minor=1000)
        self.assert_clean()
        # The story's own look at the end takes no person's word.
        final = f"UPDATE journal_final SET body = replace(body, '%s', '%s') WHERE id = '{order_id}'"
        self.mesh.psql("saga", final % ('"status":"UN"', '"status":"SU"'))

    def test_a_saga_that_ended_otherwise(self):
        order, _, _ = self.paid_order()
        id = order.order_id
        self.wait_saga(id, "ENDED")
        final = f"UPDATE journal_final SET body = replace(body, '%s', '%s') WHERE id = '{id}'"
        su = '"phase":"ENDED","status":"SU"'
        fa = '"phase":"ENDED","status":"FA","compensationStatus":"FA"'
        self.mesh.psql("saga", final % (su, fa))
        self.assert_found(("SAGA_DISAGREES", id), ("SAGA_NOT_UNDONE", id))
        self.mesh.psql("saga", final % (fa, su))
        self.assert_clean()

    # -- what a dead order has left

    def test_goods_of_an_order_that_is_dead(self):
        sku = self.product(500, pieces=10)
        failed = self.place(self.wallet(10), [(sku, 2)])
        self.assert_failed(failed, "NO_FUNDS")
        nobody = uuid7()
        holds = [self.reserve(sku, reference) for reference in (failed, nobody, "by hand")]
        first, second = self.assert_found(
            ("HOLD_OF_FAILED_ORDER", holds[0]), ("HOLD_WITHOUT_ORDER", holds[1])
        )
        for finding in (first, second):
            self.repair(finding)
        self.assert_clean()
        self.assert_stock(sku, free=9, held=1)
        self.mesh.psql("storage", f"UPDATE hold SET until_us = 1 WHERE id = '{holds[2]}'")
        status, answer = self.sagactl("release", holds[2], "--json")
        self.assertEqual(status, 0, answer)

        order, sold, _ = self.paid_order()
        status, answer = self.sagactl("release", self.hold_of(order.order_id)[0], "--json")
        self.assertEqual((status, answer["error"]["code"]), (1, "ORDER_PAID"), answer)
        self.assert_stock(sold, free=8, sold=2)

    def reserve(self, sku, reference):
        pb = self.mesh.storage_pb
        request = pb.ReserveRequest(
            request_id=uuid7(), reference=reference, hold_seconds=600,
            lines=[pb.ReserveLine(sku=sku, quantity=1)],
        )
        return self.mesh.insist(self.mesh.storage.Reserve, request).hold_id

    def test_money_of_an_order_that_is_dead(self):
        sku, customer = self.product(500, pieces=10), self.wallet(800)
        failed = self.place(customer, [(sku, 2)])
        self.assert_failed(failed, "NO_FUNDS")
        nobody = uuid7()
        order, _, payer = self.paid_order()
        charges = [
            self.charge(who, 100, reference)
            for who, reference in ((customer, failed), (customer, nobody), (payer, order.order_id))
        ]
        findings = self.assert_found(
            ("CHARGE_OF_FAILED_ORDER", charges[0]),
            ("CHARGE_WITHOUT_ORDER", charges[1]),
            ("CHARGED_TWICE", charges[2]),
        )
        for finding in findings:
            self.repair(finding)
        self.assert_clean()
        self.assertEqual((self.mesh.balance(customer), self.mesh.balance(payer)), (800, 4000))
        status, answer = self.sagactl("refund-charge", order.payment_reference, "--json")
        self.assertEqual((status, answer["error"]["code"]), (1, "ORDER_PAID"), answer)

    def charge(self, customer, amount_minor, order_id):
        request = self.mesh.ledger_pb.ChargeRequest(
            request_id=uuid7(), customer_id=customer, amount_minor=amount_minor, currency="EUR",
            order_id=order_id,
        )
        return self.mesh.insist(self.mesh.ledger.Charge, request).transfer_id

    # -- payments

    def test_a_payment_that_its_order_does_not_know_of(self):
        order_id, _ = self.place_external()
        payment = self.waiting(order_id)
        with self.away("saga"):
            self.provider.pay(payment.id)
            self.wait_payment(order_id, "taken", lambda payment: payment.claim == "TAKEN")
            self.account(
                f"UPDATE payment SET signaled_version = version WHERE id = '{payment.id}'"
            )
        self.set_order(order_id, "payment_expires_at_us = placed_at_us")
        taken, _ = self.assert_found(("PAYMENT_TAKEN", payment.id), ("ORDER_LATE", order_id))
        self.repair(taken)
        self.assert_paid(order_id, total_minor=1000)
        self.wait_saga(order_id, "ENDED")
        self.assert_clean()

    def test_money_at_a_provider_for_an_order_that_is_dead(self):
        order_id, _ = self.place_external()
        payment = self.waiting(order_id)
        self.provider.pay(payment.id)
        self.assert_paid(order_id, total_minor=1000)
        self.wait_saga(order_id, "ENDED")
        before = "status = 3, failure_reason = '', payment_reference = '%s'" % payment.id
        self.set_order(order_id, f"payment_reference = '{uuid7()}', payment_id = ''")
        self.assert_found(("ORDER_UNPAID", order_id), ("PAID_TWICE", payment.id))
        self.set_order(order_id, before)
        self.account(f"UPDATE payment SET claim = 3 WHERE id = '{payment.id}'")
        self.assertIn(("PAYMENT_NOT_PAID_BACK", payment.id), self.audit())
        self.account(f"UPDATE payment SET claim = 2, needs_person = true WHERE id = '{payment.id}'")
        self.assert_found(("PAYMENT_NEEDS_PERSON", payment.id))
        self.account(f"UPDATE payment SET needs_person = false WHERE id = '{payment.id}'")
        untold = "version = version + 1, signal_due_us = 9e15"  # at once: the sweep must not come between
        self.account(f"UPDATE payment SET {untold} WHERE id = '{payment.id}'")
        self.assert_found(("PAYMENT_UNTOLD", payment.id))
        self.account(f"UPDATE payment SET version = version - 1 WHERE id = '{payment.id}'")
        self.assert_clean()

    def test_payments_of_an_order_that_is_dead(self):
        order_id, _ = self.place_external()
        self.waiting(order_id)
        self.mesh.cancel(order_id)
        self.assert_failed(order_id, "CANCELED")
        for is_paid in (False, True):
            id = self.create_payment(order_id)
            # The order was final before the payment came, so nothing else gives it back.
            wait_until(lambda: self.url_of(id), 20, "it can be paid")
            if is_paid:
                self.provider.pay(id)
                wait_until(lambda: self.claim_of(id) == "2", 20, "it is taken")
            [finding] = self.assert_found(("PAYMENT_OF_FAILED_ORDER", id))
            self.repair(finding)
            wait_until(lambda: self.audit("--skip-sums") == {}, 30, "it has gone back")
            refunds = [refund["amount"] for refund in self.provider.record(id)["refunds"]]
            self.assertEqual(refunds, [1000] if is_paid else [])

    def create_payment(self, order_id):
        request = self.mesh.payment_pb.CreateRequest(
            request_id=uuid7(), order_id=order_id, provider="sandbox", amount_minor=1000,
            currency="EUR", expires_seconds=600,
        )
        return self.mesh.insist(self.mesh.payments.Create, request).payment_id

    def url_of(self, payment_id):
        rows = self.account(f"SELECT url FROM payment WHERE id = '{payment_id}' AND url <> ''")
        return rows and rows[0][0]

    def claim_of(self, payment_id):
        return self.account(f"SELECT claim FROM payment WHERE id = '{payment_id}'")[0][0]

    # -- sums

    def test_sums_that_do_not_add_up(self):
        order, sku, customer = self.paid_order()
        self.mesh.psql(
            "storage",
            "UPDATE product SET held = held + 1, sold = sold - 1 WHERE sku = '%s'" % sku,
        )
        self.account(
            f"UPDATE account SET credits_minor = credits_minor + 5 WHERE key = 'wallet/{customer} EUR'"
        )
        found = self.audit()
        self.assertEqual(
            set(found), {("SUM", sku), ("SUM", f"wallet/{customer} EUR"), ("SUM", "EUR")}
        )
        self.assertIn("stored", found["SUM", sku]["what"])
        self.assertEqual(self.audit("--skip-sums"), {})
        change = "UPDATE product SET held = held - 1, sold = sold + %d, free = free - %d"
        self.mesh.psql("storage", f"{change % (2, 1)} WHERE sku = '{sku}'")
        self.assertIn("sold", self.audit()["SUM", sku]["what"])
        change = "UPDATE product SET sold = sold - 1, free = free + 1"
        self.mesh.psql("storage", f"{change} WHERE sku = '{sku}'")
        self.account(
            f"UPDATE account SET credits_minor = credits_minor - 5 WHERE key = 'wallet/{customer} EUR'"
        )
        self.assert_clean()
