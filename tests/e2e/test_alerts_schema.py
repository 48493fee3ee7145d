"""The examples of alerts' events are as their schemas say, and what differs from them is not.

tests/unit/test_alerts_event.c says that alerts-svc writes the examples byte by byte.
"""

import copy
import json
import unittest

import news

from mesh import ROOT

EXAMPLES = ROOT / "docs" / "events" / "examples"
TOPICS = ("alerts.order_payment_inconsistency", "alerts.relay_silent")


def examples(topic):
    return {path.name: json.loads(path.read_text()) for path in EXAMPLES.glob(f"{topic}.*.json")}


def changed(example, path, value):
    """A copy with another value at the path, or without the last member of it."""
    copied = copy.deepcopy(example)
    inner = copied
    for name in path[:-1]:
        inner = inner[name]
    if value is None:
        del inner[path[-1]]
    else:
        inner[path[-1]] = value
    return copied


class AlertSchemas(unittest.TestCase):
    def test_examples_are_valid(self):
        for topic in TOPICS:
            found = examples(topic)
            self.assertEqual({each["status"] for each in found.values()}, {"raised", "resolved"})
            for name, example in found.items():
                with self.subTest(name):
                    news.schema(topic).validate(example)

    def test_what_differs_is_not(self):
        example = examples(TOPICS[0])["alerts.order_payment_inconsistency.raised_a.json"]
        validator = news.schema(TOPICS[0])
        for path, value in (
            (["alertId"], "019aa5f0-1c7b-7abc-8def-0123456789ab"),  # a v7 differs with each replay
            (["ruleId"], "RULE_D"),
            (["status"], "open"),
            (["orderNo"], "4711"),
            (["observed", "orderStatus"], "SHIPPED"),
            (["observed", "paymentStatus"], ""),
            (["evidence", "offset"], -1),
            (["evidence", "paymentId"], None),
            (["evidence", "topic"], "alerts"),
            (["occurredAt"], "yesterday"),
            (["runbook"], "docs/OPERATING.md"),
            (["new"], 1),
        ):
            with self.subTest(path=path):
                self.assertFalse(validator.is_valid(changed(example, path, value)))
        for member in example:
            with self.subTest(without=member):
                self.assertFalse(validator.is_valid(changed(example, [member], None)))


if __name__ == "__main__":
    unittest.main()
