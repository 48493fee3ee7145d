"""The model of the alerts' rules that whole meshes are held against (alerts.py), by itself."""

import time
import unittest
import uuid

import alerts

S = alerts.SECOND
GRACES = alerts.Graces(a=10, b=20, c=0)
EXPIRES = 600


class Told:
    """News of one order and its payments; times in seconds after it was placed."""

    def __init__(self):
        self.base_us = time.time_ns() // 1000 - 3600 * S
        ms = self.base_us // 1000
        self.order = str(uuid.UUID(int=(ms << 80) | (7 << 76) | (2 << 62) | 1))
        self.news = alerts.News()
        self.versions = {}

    def said(self, of, at, body):
        self.versions[of] = self.versions.get(of, 0) + 1
        body = {"orderId": self.order, **body}
        return alerts.Said(self.versions[of], self.base_us + round(at * S), str(uuid.uuid4()), body)

    def tell_order(self, at, status, total=100, by="p"):
        body = {"status": status, "totalMinor": total, "paymentReference": by}
        if status == "WAITING_PAYMENT":
            body["paymentExpiresAtUs"] = self.base_us + EXPIRES * S
        self.news.add_order(self.said("order", at, body))

    def tell_payment(self, at, status, payment="p", back=0, occurred=0):
        body = {
            "paymentId": payment, "status": status, "amountMinor": 100,
            "occurredAtUs": self.base_us + occurred * S,
            "refunds": [{"refundId": "r", "amountMinor": back}] if back else [],
        }
        self.news.add_payment(self.said(payment, at, body))

    def wanted(self, at, slack=0):
        found = alerts.wanted(self.news, GRACES, self.base_us + round(at * S), round(slack * S))
        return sorted((one.rule, one.is_open, one.is_sure) for one in found.values())


O, P = Told.tell_order, Told.tell_payment
PLACED = [(O, 0, "PENDING"), (O, 1, "WAITING_PAYMENT"), (P, 1, "CREATED")]
PAID_AT_5 = PLACED + [(P, 5, "SUCCEEDED")]
MICRO = 1e-6

# what it is | what was told | when it is looked at | rule, is open
ROWS = (
    ("nothing happened yet", PLACED, 100, []),
    ("paid at once", PAID_AT_5 + [(O, 6, "PAID")], 100, []),
    ("a: at the end of the grace", PAID_AT_5, 15, []),
    ("a: after it", PAID_AT_5, 15 + MICRO, [("RULE_A", True)]),
    ("a: ended just in time", PAID_AT_5 + [(O, 15, "PAID")], 100, []),
    ("a: ended too late", PAID_AT_5 + [(O, 15 + MICRO, "PAID")], 100, [("RULE_A", False)]),
    ("a: failed in time, and then c", PAID_AT_5 + [(O, 7, "FAILED")], 100, [("RULE_C", True)]),
    ("a: goes on when it failed", PAID_AT_5 + [(O, 50, "FAILED")], 100,
     [("RULE_A", True), ("RULE_C", True)]),
    ("a and c end with the refund",
     PAID_AT_5 + [(O, 50, "FAILED"), (P, 60, "REFUNDED", "p", 100)], 100,
     [("RULE_A", False), ("RULE_C", False)]),
    ("a: two payments of one order", PAID_AT_5 + [(P, 6, "SUCCEEDED", "q")], 100,
     [("RULE_A", True), ("RULE_A", True)]),
    ("b: never paid", PLACED + [(O, 5, "PAID")], 100, [("RULE_B", True)]),
    ("b: at the end of the grace", PLACED + [(O, 5, "PAID")], 25, []),
    ("b: the success comes in time", PLACED + [(O, 5, "PAID"), (P, 25, "SUCCEEDED")], 100, []),
    ("b: it comes too late", PLACED + [(O, 5, "PAID"), (P, 26, "SUCCEEDED")], 100,
     [("RULE_B", False)]),
    ("b: the payment failed", PLACED + [(P, 4, "FAILED"), (O, 5, "PAID")], 100, [("RULE_B", True)]),
    ("b: no news of a payment at all", PLACED[:1] + [(O, 5, "PAID")], 100, [("RULE_B", True)]),
    ("b: free", PLACED[:1] + [(O, 5, "PAID", 0)], 100, []),
    ("b: the money went back later", PAID_AT_5 + [(O, 6, "PAID"), (P, 9, "REFUNDED", "p", 100)],
     100, []),
    ("c: paid after it failed", PLACED + [(O, 5, "FAILED"), (P, 9, "SUCCEEDED")], 100,
     [("RULE_C", True)]),
    ("c: and refunded",
     PLACED + [(O, 5, "FAILED"), (P, 9, "SUCCEEDED"), (P, 9.5, "REFUNDED", "p", 100)], 100,
     [("RULE_C", False)]),
    ("c: a part went back",
     PLACED + [(O, 5, "FAILED"), (P, 9, "SUCCEEDED"), (P, 9.5, "SUCCEEDED", "p", 99)], 100,
     [("RULE_C", True)]),
    ("c: success and refund are one piece of news",
     PLACED + [(O, 5, "FAILED"), (P, 9, "SUCCEEDED", "p", 100)], 100, []),
    ("c: paid before it failed, back within what clocks are apart",
     PAID_AT_5 + [(O, 6, "FAILED"), (P, 7, "REFUNDED", "p", 100)], 100, []),
    ("c: back after it",
     PAID_AT_5 + [(O, 6, "FAILED"), (P, 7 + MICRO, "REFUNDED", "p", 100)], 100, [("RULE_C", False)]),
    ("c: paid after its time, and it waits", PLACED + [(P, 700, "SUCCEEDED", "p", 0, 601)], 701,
     [("RULE_C", True)]),
    ("c: paid after its time, and it is PAID",
     PLACED + [(P, 700, "SUCCEEDED", "p", 0, 601), (O, 702, "PAID")], 800, [("RULE_C", False)]),
    ("paid in time, and heard of after it",
     PLACED + [(P, 700, "SUCCEEDED", "p", 0, 599), (O, 702, "PAID")], 800, []),
    ("c: PAID by another payment, and paid after its time",
     PAID_AT_5 + [(O, 6, "PAID"), (P, 700, "SUCCEEDED", "q", 0, 601)], 800, [("RULE_C", True)]),
)


class Model(unittest.TestCase):
    def test_rules_and_their_boundaries(self):
        for what, steps, at, wanted in ROWS:
            with self.subTest(what):
                told = Told()
                for tell, *arguments in steps:
                    tell(told, *arguments)
                found = [(rule, is_open) for rule, is_open, _ in told.wanted(at)]
                self.assertEqual(found, wanted)

    def test_the_same_in_any_order_and_twice(self):
        told, again = Told(), alerts.News()
        for tell, *arguments in PAID_AT_5 + [(O, 50, "FAILED")]:
            tell(told, *arguments)
        for said in [*told.news.orders[told.order].values()][::-1] * 2:
            again.add_order(said)
        for said in [*told.news.payments[told.order]["p"].values()][::-1] * 2:
            again.add_payment(said)
        now_us = told.base_us + 100 * S
        found = [alerts.wanted(news, GRACES, now_us) for news in (told.news, again)]
        self.assertEqual(len(found[0]), 2)
        self.assertEqual(*found)

    def test_what_is_close_to_the_grace_is_not_sure_where_clocks_move(self):
        for end, wanted in ((12, []), (14, [("RULE_A", False, False)]), (16, [("RULE_A", False, False)]),
                            (17, [("RULE_A", False, True)])):
            told = Told()
            for tell, *arguments in PAID_AT_5 + [(O, end, "PAID")]:
                tell(told, *arguments)
            self.assertEqual(told.wanted(100, slack=2), wanted, end)

    def test_numbers_that_order_svc_has_not_made_are_nobodys(self):
        for number in ("another", str(uuid.uuid4()), "01000000-0000-7000-8000-000000000001"):
            news = alerts.News()
            body = {"orderId": number, "status": "PAID", "totalMinor": 1, "paymentReference": ""}
            news.add_order(alerts.Said(1, 1, "x", body))
            self.assertEqual(alerts.wanted(news, GRACES), {}, number)


if __name__ == "__main__":
    unittest.main()
