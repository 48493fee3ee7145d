"""The alerts that there must be: rules A, B and C once more, in Python and from the news alone.

    wanted = alerts.wanted(alerts.news_of(mesh), graces)     {alert id: Wanted}
    for offence in alerts.offences(mesh): ...                against what alerts-svc has and says

Nothing of alerts-svc is believed or used here: which alerts there are follows from what order-svc and
account-svc said, and when (the times in their news). Of an order and its payments the state is looked at
wherever it changes; as long as a rule's condition holds without a break, that is one contradiction, and one
that lasts longer than the grace is one alert, whose id is a name made of rule, order and news.

  A   a payment succeeded, and its order still waits           an alert for each payment at most
  B   an order is PAID, and no payment of it succeeded         one after the other
  C   a payment succeeded too late, or its order FAILED, and   an alert for each payment at most
      the money did not go back

What is within `slack` of its grace may be an alert or not: where clocks were moved, the times of two services
say no more than that.
"""

import collections
import dataclasses
import json
import os
import re
import time
import uuid

from patience import PATIENCE, wait_until

SPACE = uuid.UUID("8e1b5c2f-6d0a-4e93-b741-3cd852af9076")  # of the ids of alerts
SUCCESS = ("SUCCEEDED", "SUCCESS", "COMPLETED", "CAPTURED", "REFUNDED")
FAILURE = ("FAILED", "EXPIRED", "CANCELED", "CANCELLED")
OPEN = ("PENDING", "WAITING_PAYMENT")
SECOND = 1_000_000
# On top of C's grace where the order's news began it: two services' clocks may be so far apart.
APART_US = SECOND
AGE_DAYS_MAX = 45
AHEAD_DAYS_MAX = 1
# As long as a clock is wrong its times may be off by a second, and so may those of another service.
MOVED_US = 2 * SECOND
SETTLE_SECONDS = 20
# After a kill -9 Kafka gives its partitions to its successor when the session is over. Not less on the sandbox's broker,
# which lets a group wait for 3 s, nor than Kafka allows.
SESSION_MS, KAFKA_SESSION_MS = 4000, 6000

Said = collections.namedtuple("Said", "version time_us id body")  # one piece of news


def flags(grace_seconds, silent_seconds, has_kafka="MESH_KAFKA" in os.environ):
    """Of an alerts-svc whose alerts come in seconds."""
    return [
        f"--grace-a-seconds={grace_seconds}", f"--grace-b-seconds={grace_seconds}",
        f"--silent-seconds={silent_seconds}",
        f"--session-ms={KAFKA_SESSION_MS if has_kafka else SESSION_MS}",
    ]


@dataclasses.dataclass
class Graces:
    """What alerts-svc was told by its flags, in seconds."""

    a: float = 300
    b: float = 300
    c: float = 0

    @classmethod
    def of(cls, mesh):
        """Its flags; the last one counts."""
        graces = cls()
        for flag in mesh.flags_of("alerts"):
            if found := re.fullmatch("--grace-([abc])-seconds=(.*)", flag):
                setattr(graces, found[1], float(found[2]))
        return graces


@dataclasses.dataclass
class Wanted:
    rule: str
    order: str
    is_open: bool
    is_sure: bool  # False: it may be missing


# ---- news ------------------------------------------------------------------------------------------


class News:
    """Of each order its own news and that of its payments, by version."""

    def __init__(self):
        self.orders = collections.defaultdict(dict)
        self.payments = collections.defaultdict(lambda: collections.defaultdict(dict))
        self.last_us = 0

    def add_order(self, said):
        self.orders[said.body["orderId"]].setdefault(said.version, said)
        self.last_us = max(self.last_us, said.time_us)

    def add_payment(self, said):
        payments = self.payments[said.body["orderId"]]
        payments[said.body["paymentId"]].setdefault(said.version, said)
        self.last_us = max(self.last_us, said.time_us)


def news_of(mesh):
    """From the tables that the relays send: what they make of them news.py compares."""
    news = News()
    columns = "SELECT version, time_us, id, payload FROM event WHERE aggregatetype = "
    for database, kind, add in (
        ("orders", "order", news.add_order), ("account", "payment", news.add_payment)
    ):
        for version, time_us, id, payload in mesh.psql(database, f"{columns}'{kind}'"):
            add(Said(int(version), int(time_us), id, json.loads(payload)))
    return news


def is_of_order_svc(order_id, now):
    """An order number that order-svc has made, and not too long ago."""
    try:
        number = uuid.UUID(order_id)
    except ValueError:
        return False
    age_days = (now - (number.int >> 80) / 1000) / 86400
    return number.version in (7, 8) and -AHEAD_DAYS_MAX <= age_days <= AGE_DAYS_MAX


# ---- an order and its payments, at a time ----------------------------------------------------------


def newest(saids, at_us):
    """What was said last by then, by version; None."""
    known = [said for said in saids.values() if said.time_us <= at_us]
    return max(known, default=None)


def is_back(body):
    if "refunds" not in body:
        return body["status"] == "REFUNDED"
    back = sum(refund["amountMinor"] for refund in body["refunds"])
    return 0 < body["amountMinor"] <= back


class OrderNews:
    """All that was ever said of one order."""

    def __init__(self, id, saids, payments):
        self.id = id
        self.saids = saids
        self.payments = payments
        shown = [said for said in saids.values() if said.body.get("paymentExpiresAtUs")]
        self.expires_us = max(shown).body["paymentExpiresAtUs"] if shown else None

    def is_open(self, at_us):
        said = newest(self.saids, at_us)
        return bool(self.saids) and (said is None or said.body["status"] in OPEN)

    def is_failed(self, at_us):
        said = newest(self.saids, at_us)
        return said is not None and said.body["status"] == "FAILED"

    def paid(self, at_us):
        """The news that it is PAID, and costs something."""
        said = newest(self.saids, at_us)
        is_paid = said is not None and said.body["status"] == "PAID" and said.body["totalMinor"] > 0
        return said if is_paid else None

    def success(self, payment):
        """Its first version that says that it was paid."""
        saids = [said for said in self.payments[payment].values()
                 if said.body["status"] in SUCCESS or is_back(said.body)]
        return min(saids, default=None)

    def is_taken(self, payment, at_us):
        """It succeeded, stands, and did not go back."""
        saids = [said for said in self.payments[payment].values() if said.time_us <= at_us]
        success = self.success(payment)
        if success is None or success.time_us > at_us or any(is_back(said.body) for said in saids):
            return False
        return max(saids).body["status"] not in FAILURE

    def is_back(self, payment, at_us):
        return any(is_back(said.body) and said.time_us <= at_us
                   for said in self.payments[payment].values())

    def is_late(self, payment):
        """Paid at its provider after the time that the order gave."""
        success = self.success(payment)
        occurred_us = success.body.get("occurredAtUs", 0)
        return self.expires_us is not None and occurred_us > self.expires_us

    def moments(self, payment):
        """Time: (news, is it the order's) of what can begin or end a contradiction. payment None: of all."""
        saids = [(said, True) for said in self.saids.values() if said.body["status"] not in OPEN]
        for id in self.payments if payment is None else [payment]:
            success = self.success(id)
            saids += [(said, False) for said in self.payments[id].values()
                      if success is not None and said.version >= success.version]
        found = collections.defaultdict(list)
        for said, is_order in saids:
            found[said.time_us].append((said, is_order))
        return found

    def is_for_another(self, payment, at_us):
        """The order is PAID by another payment."""
        paid = self.paid(at_us)
        return paid is not None and payment != paid.body["paymentReference"]


# ---- conditions: what begins a contradiction, and what goes on with one that was raised -------------


def begins_a(order, payment, at_us):
    return order.is_taken(payment, at_us) and order.is_open(at_us)


def goes_on_a(order, payment, at_us):
    return order.is_taken(payment, at_us) and (order.is_open(at_us) or order.is_failed(at_us))


def holds_b(order, _, at_us):
    return order.paid(at_us) is not None and not any(
        order.is_taken(payment, at_us) or order.is_back(payment, at_us) for payment in order.payments)


def holds_c(order, payment, at_us):
    if not order.is_taken(payment, at_us):
        return False
    if order.is_failed(at_us):
        return True
    return order.is_late(payment) and (order.is_open(at_us) or order.is_for_another(payment, at_us))


Rule = collections.namedtuple("Rule", "name begins goes_on grace apart_us")
OF_PAYMENT = (
    Rule("RULE_A", begins_a, goes_on_a, "a", 0),
    Rule("RULE_C", holds_c, holds_c, "c", APART_US),
)
OF_ORDER = Rule("RULE_B", holds_b, holds_b, "b", 0)

Contradiction = collections.namedtuple("Contradiction", "begin begin_us end_us allowed_us")


def contradictions(order, payment, rule, graces):
    """Each with the news that began it. end_us None: it goes on."""
    moments = order.moments(payment)
    began = None
    for at_us in sorted(moments):
        if began is not None:
            is_due = at_us - began.begin_us > began.allowed_us
            if not (rule.goes_on if is_due else rule.begins)(order, payment, at_us):
                yield began._replace(end_us=at_us)
                began = None
        if began is None and rule.begins(order, payment, at_us):
            said, is_order = max(moments[at_us], key=lambda pair: (not pair[1], pair[0].version))
            allowed_us = getattr(graces, rule.grace) * SECOND + (rule.apart_us if is_order else 0)
            began = Contradiction(said, at_us, None, allowed_us)
    if began is not None:
        yield began


def longer(contradiction, now_us, slack_us):
    """Was it there for longer than allowed? None: it cannot be said for sure."""
    end_us = now_us if contradiction.end_us is None else contradiction.end_us
    over_us = end_us - contradiction.begin_us - contradiction.allowed_us
    return None if abs(over_us) < slack_us else over_us > 0


def wanted_of(order, graces, now_us, slack_us):
    """(rule, news that names it, is open, is sure) of each alert."""
    for rule in OF_PAYMENT:
        for payment in order.payments:
            found = [(one, longer(one, now_us, slack_us))
                     for one in contradictions(order, payment, rule, graces)]
            raised = [is_raised for _, is_raised in found if is_raised is not False]
            if raised:
                is_open = rule.goes_on(order, payment, float("inf"))
                yield rule.name, order.success(payment), is_open, True in raised
    for one in contradictions(order, None, OF_ORDER, graces):
        is_raised = longer(one, now_us, slack_us)
        if is_raised is not False:
            yield OF_ORDER.name, one.begin, one.end_us is None, is_raised is True


def wanted(news, graces, now_us=None, slack_us=0):
    """{alert id: Wanted} once everybody has heard everything up to now_us."""
    now_us = now_us or time.time_ns() // 1000
    found = {}
    for id in news.orders.keys() | news.payments.keys():
        if not is_of_order_svc(id, now_us / SECOND):
            continue
        order = OrderNews(id, news.orders.get(id, {}), news.payments.get(id, {}))
        for rule, said, is_open, is_sure in wanted_of(order, graces, now_us, slack_us):
            alert = str(uuid.uuid5(SPACE, f"{rule} {id} {said.id}"))
            found[alert] = Wanted(rule, id, is_open, is_sure)
    return found


# ---- against what there is -------------------------------------------------------------------------


# What alerts-svc wrote itself: a story may put in alerts that name no rule.
OWN = "payload::json ->> 'ruleId' IS NOT NULL"


def rows_offend(mesh, graces, slack_us):
    """The alerts of orders that there are, against those that there must be."""
    must = wanted(news_of(mesh), graces, slack_us=slack_us)
    rows = {
        id: (rule, subject, resolved_us == "0")
        for id, rule, subject, resolved_us in mesh.psql(
            "alerts", f"SELECT id, rule, subject, resolved_us FROM alert WHERE rule <> 'RELAY_SILENT' AND {OWN}")
    }
    for id, one in must.items():
        if id not in rows:
            if one.is_sure:
                yield f"{one.rule} of order {one.order} is missing ({id})"
        elif rows[id] != (one.rule, one.order, one.is_open):
            yield f"alert {id} (rule, order, is open) is {rows[id]}, and must be {one}"
    for id in rows.keys() - must.keys():
        yield f"alert {id} is false: {rows[id]}"


def doubles_offend(mesh):
    for rule, subject, count in mesh.psql(
        "alerts", "SELECT rule, subject, count(*) FROM alert WHERE resolved_us = 0 GROUP BY 1, 2"
        " HAVING count(*) > 1 AND rule NOT IN ('RULE_A', 'RULE_C')",  # these are of a payment
    ):
        yield f"{count} alerts {rule} of {subject} are open at once"


def silences_offend(mesh):
    """At rest every source is heard."""
    for rule, subject in mesh.psql(
        "alerts", "SELECT rule, subject FROM alert WHERE rule = 'RELAY_SILENT' AND resolved_us = 0"
    ):
        yield f"{rule} of {subject} is open, which is heard"


def events_offend(mesh):
    """An alert is told once as raised, and once as resolved, in that order."""
    told = collections.defaultdict(list)
    for _, payload in mesh.psql(
        "alerts", "SELECT version, payload FROM event ORDER BY aggregateid, version"
    ):
        body = json.loads(payload)
        told[body["alertId"]].append(body["status"])
    for id, is_open in mesh.psql("alerts", f"SELECT id, resolved_us = 0 FROM alert WHERE {OWN}"):
        statuses = told.pop(id, [])
        if statuses != (["raised"] if is_open == "t" else ["raised", "resolved"]):
            yield f"alert {id} (open: {is_open}) was told as {statuses}"
    for id, statuses in told.items():
        yield f"alert {id} was told as {statuses}, and there is none"


def offences_now(mesh, graces, slack_us):
    for offend in (
        lambda: rows_offend(mesh, graces, slack_us), lambda: doubles_offend(mesh),
        lambda: silences_offend(mesh), lambda: events_offend(mesh),
    ):
        yield from offend()


def is_heard(mesh, until_us):
    """Have the shards heard of both sources up to then?"""
    rows = mesh.psql("alerts", "SELECT source, min(heard_us), count(*) FROM alert_source GROUP BY 1")
    return len(rows) >= 2 and all(int(heard_us) >= until_us for _, heard_us, _ in rows)


def wait_heard(mesh, seconds=SETTLE_SECONDS):
    """Until alerts-svc has heard all that was said up to now: what it has not raised by then is no alert."""
    until_us = time.time_ns() // 1000
    wait_until(lambda: is_heard(mesh, until_us), seconds, f"alerts-svc has heard all news up to {until_us}")


def offences(mesh, seconds=SETTLE_SECONDS):
    """Of a mesh at rest. Waits for alerts that are to come; one that is false may still come: wait_heard()."""
    if "alerts" not in mesh.programs:
        return []
    graces = Graces.of(mesh)
    slack_us = MOVED_US if mesh.has_moved_clocks else 0
    deadline = time.monotonic() + seconds * PATIENCE
    while found := list(offences_now(mesh, graces, slack_us)):
        if time.monotonic() > deadline:
            return found
        time.sleep(0.1)
    return []
