"""Reads the news as docs/events/ tells readers to, and holds all of it against the event tables.

    news.wait_sent(mesh)
    report = news.read_all(mesh, address)      # of a broker
    assert not report.violations, report.violations

Records are read with kcat, which nobody here wrote. What must hold, whatever was killed:

  - every row of an event table is on its topic, and nothing else is;
  - a body is as its schema says, and its headers as CloudEvents want them;
  - all news of an order is in one partition;
  - a reader that drops what is not above the last version of its order or payment sees each version
    once, in order, and per key the source's sequence grows. (Versions of a payment may skip: not every
    change of it is news.) What it drops was said before, in the same words;
  - after a heartbeat nothing older comes from its source.
"""

import collections
import json
import subprocess

import external
import invariants
import jsonschema
import story

from mesh import ROOT
from patience import wait_until

# What a topic has: rows of a database's event table; members of the body that are its subject (None: the subject
# is a name of the program's own), and its key.
Kind = collections.namedtuple("Kind", "database aggregatetype subject key")
TOPICS = {
    "order-status-changed": Kind("orders", "order", "orderId", "orderId"),
    "payment-status-observed": Kind("account", "payment", "paymentId", "orderId"),
    "alerts.order_payment_inconsistency.v1": Kind("alerts", "alert", "orderNo", "orderNo"),
    "alerts.relay_silent.v1": Kind("alerts", "relay_silent", None, "source"),
}
HEARTBEAT = "sagamesh.relay.heartbeat.v1"
PARTITIONS = 12
ORDERS, PAYMENTS, ALERTS, SILENCES = TOPICS
SENT_SECONDS = 120
# An Abandon whose create is in doubt ends after a minute; when account-svc was away each time that the
# provider told of a late success, the next times are 36 and 156 s after the first.
REST_SECONDS = 240
SEPARATOR = "\x1f"
SHOWN_MAX = 10


class Report:
    def __init__(self):
        self.violations = []
        self.doubles = 0
        self.types = collections.Counter()  # ce_type: how many, doubles apart
        self.of_key = collections.defaultdict(list)  # (topic, key): bodies in order, doubles apart
        self.partitions = collections.defaultdict(set)  # of a key, on all topics
        self.heartbeats = collections.defaultdict(set)  # topic: partitions that have one


class Partition:
    """What has been read of it."""

    def __init__(self):
        self.beat_us = {}  # source: of the last heartbeat
        self.last_seq = {}  # key: of the last that was not dropped


def schema(name):
    """Of a topic, or of the heartbeat."""
    text = (ROOT / "docs" / "events" / f"{name.removesuffix('.v1')}.schema.json").read_text()
    return jsonschema.Draft202012Validator(json.loads(text))


def read(address, topic):
    """All records of a topic, partition by partition in order."""
    words = ["kcat", "-b", address, "-C", "-t", topic, "-e", "-q", "-o", "beginning"]
    words += ["-X", "isolation.level=read_committed"]
    words += ["-f", SEPARATOR.join(["%p", "%k", "%h", "%T", "%s"]) + "\n"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=True)
    return [record_of(line) for line in done.stdout.splitlines() if line]


def record_of(line):
    partition, key, headers, time_ms, value = line.split(SEPARATOR)
    names = dict(pair.split("=", 1) for pair in headers.split(",") if "=" in pair)
    return {
        "partition": int(partition),
        "key": key,
        "headers": names,
        "time_ms": int(time_ms),
        "value": json.loads(value),
    }


def wait_sent(mesh):
    """Until the relays' cursors are at the last event."""
    for database in {kind.database for kind in TOPICS.values()}:
        wait_until(
            lambda database=database: mesh.psql(
                database,
                "SELECT (SELECT seq FROM event_cursor WHERE name = 'kafka') >="
                " (SELECT coalesce(max(seq), 0) FROM event)",
            ) == [["t"]],
            SENT_SECONDS,
            f"the news of {database} sent",
        )


def read_all(mesh, address):
    report = Report()
    for topic in TOPICS:
        Topic(mesh, topic, report).check(read(address, topic))
    for key, partitions in report.partitions.items():
        if len(partitions) > 1:
            report.violations.append(f"the news of {key} is in partitions {partitions}")
    return report


class Topic:
    def __init__(self, mesh, topic, report):
        self.topic = topic
        self.report = report
        self.kind = TOPICS[topic]
        self.mesh = mesh
        self.body, self.beat = schema(topic), schema("relay-heartbeat")
        self.partitions = collections.defaultdict(Partition)
        self.versions = collections.defaultdict(list)  # of an aggregate, doubles dropped
        self.said = {}  # (aggregate, version): id and body
        self.offences = collections.Counter()

    def offend(self, rule, what):
        self.offences[rule] += 1
        if self.offences[rule] <= SHOWN_MAX:
            self.report.violations.append(f"{self.topic}: {rule}: {what}")

    def check(self, records):
        for record in records:
            if record["headers"].get("ce_type") == HEARTBEAT:
                self.take_heartbeat(record)
            else:
                self.take(record)
        self.compare_with_rows()

    def validate(self, validator, record):
        for error in validator.iter_errors(record["value"]):
            self.offend("body", f"{record['headers'].get('ce_type')}: {error.message}")

    def take_heartbeat(self, record):
        self.validate(self.beat, record)
        self.report.heartbeats[self.topic].add(record["partition"])
        source = record["headers"]["ce_source"]
        self.partitions[record["partition"]].beat_us[source] = record["value"]["timeUs"]

    def take(self, record):
        headers, value = record["headers"], record["value"]
        self.validate(self.body, record)
        aggregate, version = headers["ce_subject"], int(headers["ce_version"])
        if (headers["ce_specversion"], headers["content-type"]) != ("1.0", "application/json"):
            self.offend("headers", headers)
        subject = value[self.kind.subject] if self.kind.subject else aggregate
        if (aggregate, record["key"]) != (subject, value[self.kind.key]):
            self.offend("subject and key", record)
        self.report.partitions[record["key"]].add(record["partition"])
        said = (headers["ce_id"], value)
        if self.said.setdefault((aggregate, version), said) != said:
            self.offend("said otherwise before", f"{aggregate} {version}")
        if version > max(self.versions[aggregate], default=0):
            self.keep(record, aggregate, version)
        else:
            self.report.doubles += 1

    def keep(self, record, aggregate, version):
        headers, key = record["headers"], record["key"]
        partition, seq = self.partitions[record["partition"]], int(headers["ce_sequence"])
        if seq <= partition.last_seq.get(key, 0):
            self.offend("sequence", f"{key}: {seq} after {partition.last_seq[key]}")
        if record["time_ms"] < partition.beat_us.get(headers["ce_source"], 0) // 1000:
            self.offend("older than a heartbeat before it", f"{aggregate} {version}")
        partition.last_seq[key] = seq
        self.versions[aggregate].append(version)
        self.report.types[headers["ce_type"]] += 1
        self.report.of_key[self.topic, key].append(record["value"])

    def compare_with_rows(self):
        rows = collections.defaultdict(list)
        for aggregate, version in self.mesh.psql(
            self.kind.database,
            "SELECT aggregateid, version FROM event"
            f" WHERE aggregatetype = '{self.kind.aggregatetype}' ORDER BY aggregateid, version",
        ):
            rows[aggregate].append(int(version))
        for aggregate in rows.keys() | self.versions.keys():
            if rows.get(aggregate, []) != self.versions.get(aggregate, []):
                self.offend(
                    "not what the table has",
                    f"{aggregate}: {self.versions.get(aggregate)}, not {rows.get(aggregate)}",
                )


# ---- what is read, whatever the broker -------------------------------------------------------------


class Reading:
    """Tests of the news of orders that end in every way. For a TestCase with a mesh, and with
    broker_address()."""

    def read_news(self, orders=()):
        """Once all of it is out; orders: acknowledged ones."""
        report = invariants.check(self.mesh, orders, seconds=REST_SECONDS)
        self.assertEqual(report.violations, [], report)
        wait_sent(self.mesh)
        report = read_all(self.mesh, self.broker_address())
        self.assertEqual(report.violations, [])
        return report

    def said_of(self, report, order_id):
        """The statuses that were said of an order, and of its payment."""
        return tuple(
            [body["status"] for body in report.of_key[topic, order_id]]
            for topic in (ORDERS, PAYMENTS)
        )

    def place_external(self):
        """An order whose customer can pay now, and its payment's id."""
        order_id = self.mesh.place("nobody", [(self.sku, 1)], provider="sandbox")
        waiting = self.mesh.order_pb.ORDER_STATUS_WAITING_PAYMENT
        order = wait_until(
            lambda: (order := self.mesh.order(order_id)).status == waiting and order,
            REST_SECONDS, f"{order_id} can be paid",
        )
        return order_id, order.payment_id

    def wait_paid_back(self, payment_id):
        wait_until(lambda: self.provider.record(payment_id)["refunds"], REST_SECONDS,
                   f"{payment_id} paid back")

    def prepare_news(self):
        self.provider = external.Provider(self.mesh)
        number = next(story.numbers)
        self.sku, self.reader, self.beggar = f"tea-{number}", f"reader {number}", f"beggar {number}"
        self.mesh.put_product(self.sku, 100, pieces=100000)
        self.mesh.open_wallet(self.reader, top_up_minor=1000000)
        self.mesh.open_wallet(self.beggar, top_up_minor=1)

    def test_1_orders_paid_from_wallets(self):
        paid, failed = (
            self.mesh.place(customer, [(self.sku, 1)]) for customer in (self.reader, self.beggar)
        )
        report = self.read_news([paid, failed])
        self.assertEqual(self.said_of(report, paid), (["PENDING", "PAID"], ["SUCCEEDED"]))
        self.assertEqual(self.said_of(report, failed), (["PENDING", "FAILED"], ["FAILED"]))
        self.assertEqual(report.of_key[PAYMENTS, failed][0]["reason"], "NO_FUNDS")

    def test_2_orders_paid_at_a_provider(self):
        paid, payment = self.place_external()
        self.provider.pay(payment)
        declined, payment = self.place_external()
        self.provider.faults("declines", payment=payment)
        self.provider.pay(payment)
        late, payment = self.place_external()
        self.mesh.cancel(late)
        self.mesh.wait_final(late, seconds=REST_SECONDS)
        self.provider.press(payment, "pay-late")
        self.wait_paid_back(payment)
        report = self.read_news([paid, declined, late])
        waiting = ["PENDING", "WAITING_PAYMENT"]
        self.assertEqual(
            self.said_of(report, paid), (waiting + ["PAID"], ["CREATED", "SUCCEEDED"]))
        self.assertEqual(
            self.said_of(report, declined), (waiting + ["FAILED"], ["CREATED", "FAILED"]))
        self.assertEqual(
            self.said_of(report, late),
            (waiting + ["WAITING_PAYMENT", "FAILED"],  # the wish to cancel, and what came of it
             ["CREATED", "CANCELED", "SUCCEEDED", "REFUNDED"]))
        last = report.of_key[PAYMENTS, late][-1]
        self.assertEqual([refund["amountMinor"] for refund in last["refunds"]], [100])

    def test_3_every_partition_hears_the_heartbeat(self):
        def hears():
            try:
                report = read_all(self.mesh, self.broker_address())
            except subprocess.CalledProcessError:
                return False  # a relay has not made its topic yet
            return all(len(report.heartbeats[topic]) == PARTITIONS for topic in TOPICS)

        wait_until(hears, 30, f"a heartbeat in all {PARTITIONS} partitions")
