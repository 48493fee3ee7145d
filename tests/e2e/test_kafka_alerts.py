"""Alerts on a real Kafka: three members of alerts-svc, killed thirty times while the news of simulated orders comes.

The orders, and the alerts that there must be, are those of tests/support/alerts/alerts_world.h; test-news sends their
news, late, twice and in disorder. Two members have names in the group and are back at once when they were
killed; the third is asked to end, or killed as well, so that partitions move. In the end there is exactly one
alert for each that there must be, in the database and on its topic, and those that ended are resolved.

MESH_ALERTS_ORDERS says how many orders there are: with 200000 of them 500 are wrong.
"""

import collections
import json
import os
import subprocess
import unittest

import news
from kafka_server import Kafka
from mesh import Mesh
from patience import wait_until

ORDERS = int(os.environ.get("MESH_ALERTS_ORDERS", "8000"))
WRONG_EVERY = 400 if ORDERS >= 200000 else 40
SEND_SECONDS = max(50, ORDERS // 2000)
NAMED, OTHER = ("alerts", "alerts2"), "alerts3"
ROUNDS = 14
KILLS = 30
OTHER_KILLS = KILLS - ROUNDS * len(NAMED)  # in the other rounds it is asked to end
SECONDS = 180
TOPIC = "alerts.order_payment_inconsistency.v1"
NOT_THERE = ("storage", "account", "saga", "order", "bff")

Told = collections.namedtuple("Told", "rule order is_resolved")


class KafkaAlerts(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        # The world is of the last half day: heartbeats are as old.
        flags = ["--peers=", "--silent-seconds=86400"]
        cls.mesh = Mesh(flags={"alerts": [*flags, "--group-instance=alerts"]}, without=NOT_THERE, kafka=Kafka)
        cls.enterClassContext(cls.mesh)
        for name in (NAMED[1], OTHER):
            cls.mesh.add(name, like="alerts")
            cls.mesh.flags[name] = flags + ([f"--group-instance={name}"] if name in NAMED else [])
            cls.mesh.start(name)

    def psql(self, statement):
        return self.mesh.psql("alerts", statement)

    def epochs(self):
        """How often each shard was taken over."""
        return {shard: int(epoch) for shard, epoch in self.psql("SELECT shard, epoch FROM journal_shard")}

    def pages(self):
        rows = self.psql("SELECT shard, max(page) FROM journal_page GROUP BY 1")
        return {shard: int(page) for shard, page in rows}

    def wait_written(self, before, what):
        """Until shards that wrote pages before have written more."""
        wait_until(lambda: sum(self.pages().values()) > before, SECONDS, what)

    def kill_round(self, number):
        """Members end; they are back once shards that they had are taken over, and pages are written."""
        epochs = self.epochs()
        for name in NAMED:
            self.mesh.kill(name)
        if number < OTHER_KILLS:
            self.mesh.kill(OTHER)
        else:
            self.mesh.stop(OTHER)
        for name in (OTHER, *NAMED):
            self.mesh.start(name, wait=False)
        for name in (OTHER, *NAMED):
            self.mesh.wait_ready(name)
        wait_until(
            lambda: any(epoch > epochs.get(shard, 0) for shard, epoch in self.epochs().items()),
            SECONDS, f"shards taken over after round {number}",
        )

    def start_news(self):
        """test-news; what it says is in a file."""
        words = [
            self.mesh.build / "test-news", f"--kafka={self.mesh.kafka_address()}", f"--orders={ORDERS}",
            f"--wrong-every={WRONG_EVERY}", f"--seconds={SEND_SECONDS}",
        ]
        self.said = self.mesh.directory / "test-news.out"
        with open(self.said, "w", encoding="utf-8") as said:
            sender = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=said)
        self.addCleanup(sender.kill)
        return sender

    def read_wanted(self, count):
        """Alerts by id, and until when the news goes. One that is raised and resolved has two lines."""
        *lines, last = self.said.read_text(encoding="utf-8").splitlines()
        wanted = {}
        for line in lines:
            alert, rule, order, state = line.split()
            is_resolved = wanted.get(alert, Told(rule, order, False)).is_resolved
            wanted[alert] = Told(rule, order, is_resolved or state == "resolved")
        self.assertEqual(len({told.order for told in wanted.values()}), count)
        self.assertEqual(last.split()[0], "sent")
        return wanted, int(last.split()[2])

    def rows(self):
        return {
            alert: Told(rule, order, resolved_us != "0")
            for alert, rule, order, resolved_us in self.psql("SELECT id, rule, subject, resolved_us FROM alert")
        }

    def differences(self, wanted):
        rows = self.rows()
        return [
            (alert, wanted.get(alert), rows.get(alert))
            for alert in wanted.keys() | rows.keys() if wanted.get(alert) != rows.get(alert)
        ]

    def is_all_heard(self, until_us):
        """Has each shard read the last heartbeat of each source?"""
        return self.psql(f"SELECT count(*) FROM alert_source WHERE heard_us >= {until_us}") == [
            [str(2 * news.PARTITIONS)]
        ]

    def check_events(self, wanted):
        """One event for each alert that was raised, and one for each that is resolved."""
        told = collections.Counter()
        for alert, type in self.psql("SELECT payload::json ->> 'alertId', type FROM event"):
            told[alert, type] += 1
        must = collections.Counter()
        for alert, one in wanted.items():
            must[alert, "alert.raised"] += 1
            must[alert, "alert.resolved"] += one.is_resolved
        self.assertEqual(+told, +must)
        return sum(must.values())

    def check_topic(self, wanted, count):
        """A reader that drops what is not above the last version of an order hears each once."""
        validator = news.schema(TOPIC.removesuffix(".v1"))
        heard, versions = collections.Counter(), collections.defaultdict(int)

        def read():
            return [record for record in news.read(self.mesh.kafka_address(), TOPIC)
                    if record["headers"]["ce_type"] != news.HEARTBEAT]

        def are_there():
            return len({record["headers"]["ce_id"] for record in read()}) >= count

        wait_until(are_there, SECONDS, f"{count} events of alerts on {TOPIC}")
        for record in read():
            body, version = record["value"], int(record["headers"]["ce_version"])
            self.assertEqual(record["key"], body["orderNo"])
            validator.validate(body)
            if version <= versions[record["key"]]:
                continue
            versions[record["key"]] = version
            heard[body["alertId"], body["status"]] += 1
            self.assertEqual(body["ruleId"], wanted[body["alertId"]].rule)
        self.assertEqual(sum(heard.values()), count)
        self.assertEqual(set(heard.values()), {1})

    def test_no_alert_is_lost_or_doubled_while_members_are_killed(self):
        sender = self.start_news()
        self.wait_written(0, "the first pages")
        for number in range(ROUNDS):
            before = sum(self.pages().values())
            self.kill_round(number)
            if sender.poll() is None:
                self.wait_written(before, f"pages after round {number}")
        self.assertEqual(sender.wait(), 0)
        wanted, until_us = self.read_wanted(len(range(0, ORDERS, WRONG_EVERY)))
        wait_until(lambda: self.is_all_heard(until_us), SECONDS, "all news is heard")
        wait_until(lambda: not self.differences(wanted), SECONDS, "all alerts that there must be")
        count = self.check_events(wanted)
        self.check_topic(wanted, count)
        self.assertGreater(sum(self.epochs().values()), 2 * ROUNDS, "shards were taken over")
        self.assertEqual(self.differences(wanted), [])
        self.assertEqual(self.psql("SELECT count(*) FROM dead_letter"), [["0"]])


if __name__ == "__main__":
    unittest.main()
