"""Stories of who answers alerts: seen, acknowledged, repaired; and of records that could not be read. Rows that a shard's
page writes are put into the database of alerts-svc by hand, so that each story has the alert that it is about; they
name no rule in what they say, and so are none of those that there must be (alerts.py), and no news."""

import json
import subprocess

from external import External
from mesh import uuid7
from patience import wait_until

TOPIC = "a-story"  # no reader of news must meet what is no news


class Alerts(External):
    def setUp(self):
        super().setUp()
        self.raised = []

    def tearDown(self):
        """Alerts put in by hand are resolved by hand."""
        for alert_id in self.raised:
            self.mesh.psql(
                "alerts",
                f"UPDATE alert SET resolved_us = 2, resolved_payload = '{self.event(alert_id, 'resolved')}'"
                f" WHERE id = '{alert_id}' AND resolved_us = 0",
            )
        super().tearDown()

    def event(self, alert_id, state, subject="", evidence=None):
        payload = {"alertId": alert_id, "status": state, "orderNo": subject, "evidence": evidence or {}}
        return json.dumps(payload)

    def raise_alert(self, rule, order_id, payment_id):
        """As the page of a shard does."""
        alert_id = uuid7()
        text = self.event(alert_id, "raised", order_id, {"paymentId": payment_id})
        self.mesh.psql(
            "alerts",
            "INSERT INTO alert (id, rule, severity, subject, payload, resolved_payload, occurred_us,"
            " detected_us, resolved_us, acknowledged_us, acknowledged_by, acknowledged_reason)"
            f" SELECT '{alert_id}', '{rule}', 'critical', '{order_id}', '{text}', '', now_us, now_us, 0, 0,"
            " '', '' FROM (SELECT (extract(epoch FROM now()) * 1000000)::bigint AS now_us) AS clock",
        )
        self.raised.append(alert_id)
        return alert_id

    def say(self, *words, status=0):
        is_status, answer = self.sagactl(*words, "--json")
        self.assertEqual(is_status, status, answer)
        return answer

    def listed(self, *words):
        return [alert["alert_id"] for alert in self.say("alerts", "--all", *words)["alerts"]]

    def repair(self, alert_id, status=0):
        return self.say(
            "alerts", "repair", alert_id, "--reason=a test", "--operator=ai", "--timeout=15", status=status
        )

    def test_an_alert_is_seen_and_acknowledged(self):
        order_id = uuid7()
        alert_id = self.raise_alert("RULE_A", order_id, uuid7())
        self.assertIn(alert_id, self.listed())
        self.assertIn(alert_id, self.listed("--rule=RULE_A"))
        self.assertNotIn(alert_id, self.listed("--rule=RULE_B"))
        self.assertNotIn(alert_id, self.listed("--age=3600"))
        status, text = self.sagactl("alerts", "ack", alert_id)
        self.assertEqual(status, 2, text)  # it wants a reason
        self.say("alerts", "ack", alert_id, "--reason=mine", "--operator=ai")
        shown = self.say("alerts", "show", alert_id)
        self.assertEqual((shown["acknowledged_by"], shown["acknowledged_reason"]), ("ai", "mine"), shown)
        self.assertEqual(shown["raised_event"]["orderNo"], order_id)
        status, text = self.sagactl("alerts", "show", alert_id)
        self.assertEqual(status, 0, text)
        self.assertIn("seen     ", text)
        answer = self.say("alerts", "show", uuid7(), status=1)
        self.assertEqual(answer["error"]["code"], "NOT_FOUND", answer)

    def test_a_payment_that_nobody_heard_of_is_asked_for(self):
        """Its webhook is lost, and the next poll is minutes away."""
        order_id, _ = self.place_external(faults=["lost"])
        payment = self.waiting(order_id)
        self.provider.pay(payment.id)
        alert_id = self.raise_alert("RULE_A", order_id, payment.id)
        answer = self.repair(alert_id)
        self.assertTrue(answer["is_done"], answer)
        self.assert_paid(order_id, total_minor=1000)
        self.assertTrue(self.repair(alert_id)["is_done"])  # said again it changes nothing
        repairs = self.say("alerts", "show", alert_id)["repairs"]
        self.assertEqual([(r["operator"], r["is_done"]) for r in repairs], [("ai", True)] * 2, repairs)
        self.assertIn("the payment's provider is asked", repairs[0]["outcome"])

    def test_a_refund_is_shown_and_what_is_not_so_is_open(self):
        order_id, _ = self.place_external()
        payment = self.waiting(order_id)
        self.provider.pay(payment.id)
        self.assert_paid(order_id, total_minor=1000)
        # It is PAID by this payment: nothing goes back.
        late = self.raise_alert("RULE_C", order_id, payment.id)
        answer = self.repair(late, status=1)
        self.assertIn("open: the order is PAID by this payment", answer["outcome"])
        self.assert_settled(order_id, "SUCCEEDED", "TAKEN")
        # And it was paid after all.
        unseen = self.raise_alert("RULE_B", order_id, payment.id)
        self.assertTrue(self.repair(unseen)["is_done"])

    def test_a_silent_source_says_what_to_look_at(self):
        alert_id = self.raise_alert("RELAY_SILENT", "order-svc", uuid7())
        answer = self.repair(alert_id, status=1)
        self.assertIn("docs/OPERATING.md#relay_silent", answer["outcome"])


class DeadLetters(External):
    def records(self, topic):
        words = ["kcat", "-b", self.mesh.kafka_address(), "-C", "-t", topic, "-e", "-q", "-o", "beginning"]
        done = subprocess.run(words + ["-f", "%p %k %s %h\n"], capture_output=True, timeout=60, check=True)
        return done.stdout.decode(errors="replace").splitlines()

    def put_letter(self, key):
        """A record that is JSON of nothing known, as the page of a shard stores one."""
        letter_id = uuid7()
        self.mesh.psql(
            "alerts",
            "INSERT INTO dead_letter (id, topic, part, place, timestamp_ms, key, value, headers, reason,"
            f" found_us) VALUES ('{letter_id}', '{TOPIC}', 3, {int(uuid7()[-12:], 16)}, 1700000000000,"
            f" '{key}', '{{}}', '\\x', 'a test', 1)",
        )
        return letter_id

    def letter(self, letter_id):
        status, shown = self.sagactl("dlq", "show", letter_id, "--json")
        self.assertEqual(status, 0, shown)
        return shown

    def test_a_dead_letter_is_sent_and_sent_again(self):
        key = uuid7()
        letter_id = self.put_letter(key)
        wait_until(lambda: self.letter(letter_id)["sent_at_us"] > 0, 30, "it is with the dead letters")
        [record] = [line for line in self.records(f"{TOPIC}.dlq") if key in line]
        self.assertIn("dlq-reason=a test", record)
        self.assertIn(f"dlq-topic={TOPIC}", record)
        self.assertIn("dlq-partition=3", record)
        status, answer = self.sagactl("dlq", "--json")
        self.assertIn(letter_id, [letter["dead_letter_id"] for letter in answer["dead_letters"]])
        status, answer = self.sagactl(
            "dlq", "send", letter_id, "--reason=mended", "--operator=ai", "--json"
        )
        self.assertEqual(status, 0, answer)
        wait_until(lambda: self.letter(letter_id)["resends"] == 1, 30, "it was sent to its topic again")
        [record] = [line for line in self.records(TOPIC) if key in line]
        self.assertTrue(record.startswith(f"3 {key} {{}} "), record)
        self.assertIn(f"dlq-resent={letter_id}", record)

    def test_one_that_kafka_refuses_is_listed_so(self):
        letter_id, words = self.put_letter(uuid7()), "a-story.dlq: Broker: Message size too large"
        wait_until(lambda: self.letter(letter_id)["sent_at_us"] > 0, 30, "it is with the dead letters")
        self.mesh.psql(
            "alerts",
            f"UPDATE dead_letter SET sent_us = 0, refused_us = 1700000000000000, refusal = '{words}'"
            f" WHERE id = '{letter_id}'",
        )
        self.assertEqual(self.letter(letter_id)["refusal"], words)
        self.assertIn(f"refused     {words}, given up ", self.sagactl("dlq", "show", letter_id)[1])
        [line] = [line for line in self.sagactl("dlq")[1].splitlines() if line.startswith(letter_id)]
        self.assertIn("  refused  ", line)
        self.assertEqual(self.sagactl("dlq", "send", letter_id, "--reason=mended", "--operator=ai")[0], 0)
        wait_until(lambda: self.letter(letter_id)["resends"] == 1, 30, "it was sent to its topic again")
        again = self.letter(letter_id)
        self.assertTrue(again["sent_at_us"] > 0 and again["refused_at_us"] == 0, again)
