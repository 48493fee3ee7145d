"""Stories of an operator with many things at once: lists of any length, and all that is stuck."""

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
        ids = sorted(self.make_stuck(3), reverse=True)
        first, has_more, page = self.listed("--limit=2")
        self.assertEqual((first, has_more), (ids[:2], True))
        self.assertEqual(self.listed(f"--page={page}"), (ids[2:], False, None))
        self.assertEqual(self.listed("--all", "--limit=1"), (ids, False, None))
        self.assertEqual(self.listed("--state=MarkPaid", "--reason=sagamesh.Unknown")[0], ids)
        self.assertEqual(self.listed("--state=MarkPaid", "--limit=2"), (ids[:2], True, None))
        self.assertEqual(self.listed("--state=ConfirmStock"), ([], False, None))

        status, text = self.sagactl("list", "--phase=stuck", "--limit=2")
        self.assertEqual(status, 0, text)
        self.assertIn(f"--page={ids[1]}", text)

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
