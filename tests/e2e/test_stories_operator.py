"""Stories of an operator: lists of any length, all that is stuck at once, and what was lost is said again."""

from external import External
from patience import wait_until
from story import Story


class Many(Story):
    def listed(self, *words):
        status, answer = self.sagactl("list", "--phase=stuck", "--json", *words)
        self.assertEqual(status, 0, answer)
        ids = [saga["saga_id"] for saga in answer["sagas"]]
        return ids, answer["has_more"], answer.get("next_page")

    def retry_all(self, *words):
        status, answer = self.sagactl("retry", "--all", "--json", *words)
        self.assertEqual((status, answer["is_whole"], answer["refusals"]), (0, True, []), answer)
        return answer["moved"], answer["refused"], answer["gone"]

    def test_all_that_are_stuck_are_listed_and_retried(self):
        stuck = self.make_stuck(3)
        ids = self.listed("--all")[0]
        self.assertEqual(sorted(ids), sorted(stuck))
        first, has_more, page = self.listed("--limit=2")
        self.assertEqual((first, has_more), (ids[:2], True))
        self.assertEqual(self.listed(f"--page={page}"), (ids[2:], False, None))
        self.assertEqual(self.listed("--all", "--limit=1"), (ids, False, None))
        self.assertEqual(self.listed("--state=MarkPaid", "--reason=sagamesh.Unknown")[0], ids)
        self.assertEqual(self.listed("--state=MarkPaid", "--limit=2"), (ids[:2], True, None))
        self.assertEqual(self.listed("--state=ConfirmStock"), ([], False, None))

        status, text = self.sagactl("list", "--phase=stuck", "--limit=2")
        self.assertEqual(status, 0, text)
        self.assertIn(f"--page={page}", text)

        self.assertEqual(self.retry_all("--state=ConfirmStock"), (0, 0, 0))
        self.assertEqual(self.retry_all("--reason=NO_STOCK"), (0, 0, 0))
        kind = ("--state=MarkPaid", "--reason=sagamesh.Unknown", "--comment=test: order-svc is back")
        self.assertEqual(self.retry_all(*kind), (3, 0, 0))
        for order_id in ids:
            self.assert_paid(order_id, total_minor=1000)
            self.wait_saga(order_id, "ENDED")
        self.assertEqual(self.retry_all(*kind), (0, 0, 0))

    def test_what_is_refused_is_counted(self):
        [order_id] = self.make_stuck()
        status, answer = self.sagactl("compensate", "--all", "--json")
        self.assertEqual((status, answer["moved"], answer["refused"]), (1, 0, 1), answer)
        self.assertEqual(answer["refusals"][0]["saga_id"], order_id)
        self.assertEqual(answer["refusals"][0]["code"], "TOO_LATE")
        self.assertEqual(self.retry_all(), (1, 0, 0))
        self.assert_paid(order_id, total_minor=1000)

    def test_which_ones_must_be_said(self):
        for words in (["retry"], ["compensate"], ["retry", "--all", self.sagactl("id")[1].strip()]):
            status, answer = self.sagactl(*words, "--json")
            self.assertEqual((status, answer["error"]["code"]), (2, "BAD_REQUEST"), words)

    def test_nobody_answers(self):
        with self.away("saga"):
            status, text = self.sagactl("retry", "--all")
            self.assertEqual(status, 3, text)
            self.assertIn("say it again", text)
            status, answer = self.sagactl("list", "--json")
            self.assertEqual((status, answer["sagas"]), (3, []), answer)
            self.assertEqual(answer["error"]["code"], "UNREACHABLE", answer)


class Again(External):
    def say(self, *words):
        return self.sagactl(*words, "--comment=test: it was lost", "--json")

    def place_waiting(self):
        order_id, sku = self.place_external()
        return order_id, sku, self.waiting(order_id)

    def test_a_payment_is_told_again(self):
        """Its signal is lost: it counts as acknowledged, and the saga has never heard it."""
        order_id, _, payment = self.place_waiting()
        with self.away("saga"):
            self.provider.pay(payment.id)
            self.wait_payment(order_id, "taken", lambda payment: payment.claim == "TAKEN")
            self.mesh.psql(
                "account",
                f"UPDATE payment SET signaled_version = version WHERE id = '{payment.id}'",
            )
        status, answer = self.say("tell", payment.id)
        self.assertEqual(status, 0, answer)
        self.assertEqual((answer["saga_id"], answer["is_acknowledged"]), (order_id, True), answer)
        self.assert_paid(order_id, total_minor=1000)
        self.assertEqual(self.say("tell", payment.id)[0], 0, "repeating it is fine")

        status, answer = self.say("tell", order_id)
        self.assertEqual((status, answer["error"]["code"]), (1, "NOT_FOUND"), answer)

    def in_journal(self, saga_id):
        """In how many pages and rows."""
        return self.mesh.psql(
            "saga",
            f"SELECT (SELECT count(*) FROM journal_page WHERE body LIKE '%{saga_id}%'),"
            f" (SELECT count(*) FROM journal_parked WHERE id = '{saga_id}')",
        )

    def test_a_saga_is_asked_for_again(self):
        """It is lost, and the order knows where to pay: it goes on with the same hold and payment."""
        order_id, sku, payment = self.place_waiting()
        hold = self.hold_of(order_id)
        wait_until(lambda: self.in_journal(order_id) == [["0", "1"]], 30, "it is only parked")
        with self.away("saga"):
            self.mesh.psql("saga", f"DELETE FROM journal_parked WHERE id = '{order_id}'")
        status, answer = self.say("show", order_id)
        self.assertEqual((status, answer["error"]["code"]), (1, "NOT_FOUND"), answer)

        status, answer = self.say("ask", order_id)
        self.assertEqual((status, answer["order_id"]), (0, order_id), answer)
        self.wait_saga(order_id, "WAITING", "WaitForPayment")
        self.assertEqual(self.hold_of(order_id), hold)
        self.assertEqual(self.payment(order_id).id, payment.id)
        self.assertEqual(self.say("ask", order_id), (0, {"order_id": order_id, "phase": "waiting"}))
        self.provider.pay(payment.id)
        self.assert_paid(order_id, total_minor=1000)
        self.assert_stock(sku, free=8, sold=2)

        status, answer = self.say("ask", order_id)
        self.assertEqual((status, answer["error"]["code"]), (1, "TOO_LATE"), answer)
