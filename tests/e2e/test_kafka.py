"""News on a real Kafka: everything, in order per key, whatever is killed."""

import json
import tempfile
import unittest

import jsonschema

from kafka_server import Kafka
from mesh import ROOT, Mesh, wait_until

TOPICS = {"order-status-changed": "orders", "payment-status-observed": "account"}
HEARTBEAT = "sagamesh.relay.heartbeat.v1"


def schema(name):
    text = (ROOT / "docs" / "events" / f"{name}.schema.json").read_text()
    return jsonschema.Draft202012Validator(json.loads(text))


class News(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.scratch = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.scratch.cleanup)
        cls.kafka = Kafka(cls.scratch.name + "/kafka")
        cls.addClassCleanup(cls.kafka.close)
        cls.kafka.start()
        flag = [f"--kafka={cls.kafka.address}"]
        cls.mesh = Mesh(flags={"order": flag, "account": flag})
        cls.enterClassContext(cls.mesh)
        cls.mesh.put_product("apple", 100, pieces=100000)
        cls.mesh.open_wallet("alice", top_up_minor=1000000)

    def place_and_wait(self, count):
        orders = [self.mesh.place("alice", [("apple", 1)]) for _ in range(count)]
        for order_id in orders:
            self.assertEqual(self.mesh.wait_final(order_id).status,
                             self.mesh.order_pb.ORDER_STATUS_PAID)
        return orders

    def wait_sent(self, seconds=120):
        """Until the relays' cursors are behind the last event."""
        for database in TOPICS.values():
            wait_until(lambda database=database: self.mesh.psql(
                database, "SELECT (SELECT seq FROM event_cursor WHERE name = 'kafka') >="
                          " (SELECT coalesce(max(seq), 0) FROM event)") == [["t"]],
                       seconds, f"the news of {database} sent")

    def check_topics(self):
        """Every event row is on its topic; per key versions come in order once doubles are dropped."""
        for topic, database in TOPICS.items():
            rows = {" ".join(row) for row in self.mesh.psql(
                database, "SELECT aggregateid, version FROM event")}
            seen, newest, partitions, gaps = set(), {}, {}, []
            body, beat = schema(topic), schema("relay-heartbeat")
            for record in self.kafka.read(topic):
                headers = record["headers"]
                if headers["ce_type"] == HEARTBEAT:
                    beat.validate(record["value"])
                    continue
                body.validate(record["value"])
                self.assertEqual(headers["ce_specversion"], "1.0")
                self.assertEqual(headers["content-type"], "application/json")
                self.assertEqual(record["key"], record["value"]["orderId"])
                self.assertEqual(partitions.setdefault(record["key"], record["partition"]),
                                 record["partition"])
                aggregate, version = headers["ce_subject"], int(headers["ce_version"])
                seen.add(f"{aggregate} {version}")
                if version > newest.get(aggregate, 0) + 1:
                    gaps.append(f"{aggregate}: {version} after {newest.get(aggregate, 0)}")
                newest[aggregate] = max(version, newest.get(aggregate, 0))
            self.assertEqual(rows - seen, set(), f"lost on {topic}")
            self.assertEqual(seen - rows, set(), f"invented on {topic}")
            self.assertEqual(gaps, [], f"out of order on {topic}")

    def test_1_news_of_an_order_is_on_both_topics(self):
        (order,) = self.place_and_wait(1)
        self.wait_sent()
        self.check_topics()
        kinds = [record["headers"]["ce_type"] for record in self.kafka.read("order-status-changed")
                 if record["key"] == order]
        self.assertEqual(kinds, ["sagamesh.order.placed.v1", "sagamesh.order.paid.v1"])
        places = {record["partition"] for topic in TOPICS for record in self.kafka.read(topic)
                  if record["key"] == order}
        self.assertEqual(len(places), 1, "both topics keep an order in one partition number")

    def test_2_every_partition_hears_the_heartbeat(self):
        def hears():
            beats = [record for record in self.kafka.read("order-status-changed")
                     if record["headers"]["ce_type"] == HEARTBEAT]
            return len({record["partition"] for record in beats}) == 12

        wait_until(hears, 30, "a heartbeat in all 12 partitions")

    def test_3_kafka_killed_under_load_loses_nothing(self):
        for _ in range(2):
            self.place_and_wait(20)
            self.kafka.kill()
            self.place_and_wait(20)  # orders go on, news waits
            self.kafka.start()
            self.place_and_wait(5)
        self.wait_sent()
        self.check_topics()

    def test_4_a_relay_killed_between_send_and_cursor_repeats(self):
        for name in ("order", "account"):
            self.place_and_wait(10)
            self.mesh.kill(name)
            self.mesh.start(name)
        self.place_and_wait(5)
        self.wait_sent()
        self.check_topics()


if __name__ == "__main__":
    unittest.main()
