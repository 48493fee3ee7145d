"""What must be true of a mesh whenever it has come to rest, whatever was done to it before.

    report = invariants.check(mesh, acknowledged=ids)
    assert not report.violations, report

    python3 tests/e2e/invariants.py      the same of the mesh that ./dev up runs

Reads the five databases through psql and joins what they say here: no service is asked, and nothing
that a service believes is believed. Payments are held against the provider's own books too. check()
first waits until every order and its saga have ended, and no refund or signal is open; what has not
ended by then is a violation too.

A row of RULES is one thing that must hold: a function that is given the Facts and yields a text for
each offence. A test that changes stock or money past orders undoes it before it checks.
"""

import collections
import dataclasses
import json
import pathlib
import subprocess
import sys
import time

import alerts

PENDING, WAITING, PAID, FAILED = 1, 2, 3, 4
STATUS_NAMES = {PENDING: "PENDING", WAITING: "WAITING_PAYMENT", PAID: "PAID", FAILED: "FAILED"}
REFUSED, HELD, CONFIRMED, RELEASED, EXPIRED = 0, 1, 2, 3, 4
SUCCEEDED = 7  # of what is observed
OPEN, TAKEN, ABANDONED, RETURNED = 1, 2, 3, 4

FREE = "free"  # what paid an order that costs nothing

# An order of a definition that nobody knows has no saga, and needs none: nothing was begun.
REASONS_WITHOUT_SAGA = ("UNKNOWN_DEFINITION",)
# Flows that reserve the lines of an order in several holds.
FLOWS_OF_PARTS = ("two_holds",)
# Of each rule so many offences are spelled out.
SHOWN_MAX = 20

Order = collections.namedtuple(
    "Order", "status version total currency reason payment customer method flow"
)
Saga = collections.namedtuple("Saga", "phase status compensation")
Hold = collections.namedtuple("Hold", "id state total currency")
Charge = collections.namedtuple("Charge", "id amount currency customer is_reversed")
Payment = collections.namedtuple(
    "Payment", "order observed claim amount currency is_quarantined refunds may_be_asked"
)
Booked = collections.namedtuple("Booked", "status amount currency refunds")


@dataclasses.dataclass
class Report:
    counts: dict = dataclasses.field(default_factory=dict)
    violations: list = dataclasses.field(default_factory=list)

    def __str__(self):
        counts = ", ".join(f"{count} {what}" for what, count in self.counts.items())
        return "\n".join([counts] + [f"VIOLATED {text}" for text in self.violations])


# ---- facts -----------------------------------------------------------------------------------------


class Facts:
    """What the databases say. The saga's is read last: it ends after its order."""

    def __init__(self, mesh, acknowledged):
        self.mesh = mesh
        self.psql = mesh.psql
        self.acknowledged = list(acknowledged)
        self.orders = {
            row[0]: Order(int(row[1]), int(row[2]), int(row[3]), *row[4:])
            for row in mesh.psql(
                "orders",
                "SELECT id, status, version, total_minor, currency, failure_reason,"
                " payment_reference, customer_id, payment_method, flow FROM orders",
            )
        }
        self.holds = by_first(
            (row[0], Hold(row[1], int(row[2]), int(row[3]), row[4]))
            for row in mesh.psql(
                "storage", "SELECT reference, id, state, total_minor, currency FROM hold"
            )
        )
        self.charges = by_first(
            (row[0], Charge(row[1], int(row[2]), row[3], row[4], row[5] == "t"))
            for row in mesh.psql(
                "account",
                # 'wallet/ada EUR'
                "SELECT reference, id, amount_minor, right(debit_key, 3),"
                " substr(debit_key, 8, length(debit_key) - 11), reversed_by IS NOT NULL"
                " FROM transfer WHERE kind = 'charge' AND state = 1",
            )
        )
        self.payments = {
            row[0]: Payment(
                row[1], int(row[2]), int(row[3]), int(row[4]), row[5], row[6] == "t",
                read_refunds(row[7]), row[8] == "t",
            )
            for row in mesh.psql(
                "account",
                "SELECT p.id, p.order_id, p.observed, p.claim, p.amount_minor, p.currency,"
                " p.is_quarantined, replace(p.refunds, E'\\n', ';'), NOT t.last_query_done"
                " FROM payment p JOIN provider_task t ON t.payment_id = p.id"
                " WHERE p.fingerprint <> 0 AND p.reason = ''",
            )
        }
        self.payment_ids = by_first((payment.order, id) for id, payment in self.payments.items())
        self.books = read_books(mesh)
        self.parked = mesh.psql("saga", "SELECT id, phase FROM journal_parked")
        self.finals = {
            row[0]: Saga(*row[1:])
            for row in mesh.psql(
                "saga",
                "SELECT id, phase, coalesce(body::json->>'status', ''),"
                " coalesce(body::json->>'compensationStatus', '') FROM journal_final",
            )
        }

    def with_status(self, status):
        return ((id, order) for id, order in self.orders.items() if order.status == status)

    def holds_of(self, reference, *states):
        return [hold for hold in self.holds.get(reference, ()) if hold.state in states]

    def payments_of(self, order_id, *claims):
        ids = self.payment_ids.get(order_id, ())
        payments = {id: self.payments[id] for id in ids}
        return {id: payment for id, payment in payments.items() if payment.claim in claims}

    def charges_of(self, reference):
        """Those that stand."""
        return [charge for charge in self.charges.get(reference, ()) if not charge.is_reversed]


def by_first(pairs):
    lists = collections.defaultdict(list)
    for key, value in pairs:
        lists[key].append(value)
    return lists


def read_refunds(text):
    """Amounts by refund id; a line of the column is "amount id"."""
    pairs = (line.split(" ", 1) for line in text.split(";") if line)
    return {id: int(amount) for amount, id in pairs}


def read_books(mesh):
    """What the provider says of the payments that it knows, by our id; it must run."""
    key = (mesh.secrets / "provider-key").read_text().strip()
    connection = mesh.connect(mesh.address("provider"), 20)
    try:
        connection.request("GET", "/books", headers={"Authorization": f"Bearer {key}"})
        answer = connection.getresponse()
        text = answer.read()
    finally:
        connection.close()
    assert answer.status == 200, text
    return {
        record["id"]: Booked(
            record["status"], record["amount"], record["currency"],
            {refund["id"]: refund["amount"] for refund in record["refunds"]},
        )
        for record in json.loads(text)["payments"]
        if record["isMade"]
    }


def has_saga(order):
    return not (order.status == FAILED and order.reason in REASONS_WITHOUT_SAGA)


def is_at_rest(mesh, acknowledged_count):
    """No order is open, each that needs a saga has one that ended, nothing is parked, and payments
    have no claim, refund or signal open, and need nobody unless they are quarantined."""
    reasons = ", ".join(f"'{reason}'" for reason in REASONS_WITHOUT_SAGA)
    orders = mesh.psql(
        "orders",
        "SELECT count(*), count(*) FILTER (WHERE status < 3),"
        f" count(*) FILTER (WHERE failure_reason NOT IN ({reasons})) FROM orders",
    )
    total, open_count, sagas = map(int, orders[0])
    if open_count or total < acknowledged_count:
        return False
    unsettled = mesh.psql(
        "account",
        "SELECT count(*) FROM payment WHERE reason = '' AND fingerprint <> 0 AND (claim = 1"
        " OR signaled_version < version OR (needs_person AND NOT is_quarantined)"
        " OR (observed = 7 AND claim IN (3, 4) AND refunds = '' AND NOT is_quarantined))",
    )
    if int(unsettled[0][0]):
        return False
    ended = mesh.psql(
        "saga", "SELECT (SELECT count(*) FROM journal_final), (SELECT count(*) FROM journal_parked)"
    )
    final, parked = map(int, ended[0])
    return final >= sagas and parked == 0


def wait_for_rest(mesh, acknowledged_count, seconds):
    deadline = time.monotonic() + seconds
    while not is_at_rest(mesh, acknowledged_count) and time.monotonic() < deadline:
        time.sleep(0.1)


# ---- rules -----------------------------------------------------------------------------------------


def acknowledged_orders_exist(facts):
    for id in facts.acknowledged:
        if id not in facts.orders:
            yield f"order {id} was acknowledged and is gone"


def orders_are_final(facts):
    for id, order in facts.orders.items():
        if order.status not in (PAID, FAILED):
            yield f"order {id} is {STATUS_NAMES[order.status]}"


def stock_adds_up(facts):
    for row in facts.psql(
        "storage",
        "SELECT sku, on_hand, free, held, sold FROM product WHERE on_hand <> free + held + sold"
        " OR free < 0 OR held < 0 OR sold < 0",
    ):
        yield "product {}: on_hand {} is not free {} + held {} + sold {}".format(*row)


def stock_agrees_with_holds(facts):
    for row in facts.psql(
        "storage",
        r"""
        WITH line AS (
            SELECT state, split_part(line, ' ', 1)::bigint AS quantity,
                   split_part(line, ' ', 3) AS sku
            FROM hold, regexp_split_to_table(rtrim(lines, E'\n'), E'\n') AS line
            WHERE state IN (1, 2)),
        summed AS (
            SELECT sku, coalesce(sum(quantity) FILTER (WHERE state = 1), 0) AS held,
                   coalesce(sum(quantity) FILTER (WHERE state = 2), 0) AS sold
            FROM line GROUP BY sku)
        SELECT coalesce(p.sku, s.sku), p.held, s.held, p.sold, s.sold
        FROM product p FULL JOIN summed s ON s.sku = p.sku
        WHERE (p.held, p.sold) IS DISTINCT FROM (coalesce(s.held, 0), coalesce(s.sold, 0))
        """,
    ):
        yield "product {}: held {}, by its holds {}; sold {}, by its holds {}".format(*row)


def sold_is_what_paid_orders_say(facts):
    ordered = facts.psql(
        "orders",
        "SELECT split_part(line, ' ', 2), sum(split_part(line, ' ', 1)::bigint)"
        r" FROM orders, regexp_split_to_table(rtrim(lines, E'\n'), E'\n') AS line"
        " WHERE status = 3 GROUP BY 1",
    )
    sold = facts.psql("storage", "SELECT sku, sold FROM product WHERE sold > 0")
    for sku, count in sorted(set(map(tuple, ordered)) ^ set(map(tuple, sold))):
        yield f"product {sku}: {count} are sold, or in PAID orders, and not in the other"


def nothing_is_held(facts):
    for reference in facts.holds:
        for hold in facts.holds_of(reference, HELD):
            yield f"hold {hold.id} of '{reference}' is still held"


def ledger_agrees_with_transfers(facts):
    for row in facts.psql("account", "SELECT * FROM ledger_check()"):
        yield "{}: {}: stored {}, computed {}".format(*row)


def debits_equal_credits(facts):
    for row in facts.psql(
        "account",
        "SELECT right(key, 3), sum(debits_minor), sum(credits_minor) FROM account"
        " GROUP BY 1 HAVING sum(debits_minor) <> sum(credits_minor)",
    ):
        yield "{}: debits {} and credits {}".format(*row)


def no_wallet_is_negative(facts):
    for row in facts.psql(
        "account",
        "SELECT key, credits_minor - debits_minor FROM account"
        " WHERE key LIKE 'wallet/%' AND credits_minor < debits_minor",
    ):
        yield "{} has {}".format(*row)


def free_orders_have_no_payment(facts):
    for id, order in facts.with_status(PAID):
        charges, taken = facts.charges_of(id), facts.payments_of(id, TAKEN)
        if order.total == 0 and (order.payment != FREE or charges or taken):
            yield f"PAID order {id} costs nothing: {order}, charged {charges}, took {taken}"


def paid_orders_have_one_charge(facts):
    for id, order in facts.with_status(PAID):
        charges = facts.charges_of(id)
        if order.total == 0:
            continue
        if order.method == "external":
            if charges:
                yield f"PAID order {id} was paid at a provider, and charged: {charges}"
            continue
        if len(charges) != 1:
            yield f"PAID order {id} has {len(charges)} charges"
            continue
        charge = charges[0]
        said = (charge.amount, charge.currency, charge.customer, charge.id)
        if said != (order.total, order.currency, order.customer, order.payment):
            yield f"PAID order {id}: {order}, charged as {charge}"


def paid_orders_have_one_payment(facts):
    for id, order in facts.with_status(PAID):
        taken = facts.payments_of(id, TAKEN)
        if order.total == 0:
            continue
        if order.method != "external":
            if taken:
                yield f"PAID order {id} was paid from a wallet, and took {taken}"
            continue
        if list(taken) != [order.payment]:
            yield f"PAID order {id} names payment {order.payment} and took {taken}"
            continue
        payment = taken[order.payment]
        said = (payment.observed, payment.amount, payment.currency, payment.refunds)
        if said != (SUCCEEDED, order.total, order.currency, {}):
            yield f"PAID order {id}: {order}, paid by {payment}"


def failed_orders_have_no_payment(facts):
    for id, order in facts.with_status(FAILED):
        for payment_id, payment in facts.payments_of(id, OPEN, TAKEN).items():
            yield f"FAILED order {id} ({order.reason}) has payment {payment_id}: {payment}"


def unwanted_payments_are_paid_back(facts):
    for id, payment in facts.payments.items():
        if payment.is_quarantined:
            continue
        is_due = payment.observed == SUCCEEDED and payment.claim in (ABANDONED, RETURNED)
        # By our one refund, of what the provider's back office has left.
        back = sum(payment.refunds.values())
        if back != (payment.amount if is_due else 0):
            yield f"payment {id}: {payment}, of which is due back: {is_due}"


def payments_have_orders(facts):
    for id, payment in facts.payments.items():
        order = facts.orders.get(payment.order)
        if order is None or order.method != "external":
            yield f"payment {id} is for {payment.order}, which is {order}"


def books_agree_with_the_provider(facts):
    """Until a payment's last query is over, the provider may know of a success that we do not. What is
    quarantined is left to a person."""
    for id in facts.books.keys() - facts.payments.keys():
        yield f"the provider has payment {id}, and we do not: {facts.books[id]}"
    for id, payment in facts.payments.items():
        booked = facts.books.get(id)
        if booked is None:
            if payment.observed == SUCCEEDED or payment.claim == TAKEN:
                yield f"payment {id} is not in the provider's books: {payment}"
            continue
        if payment.is_quarantined:
            continue
        is_paid = booked.status == "SUCCEEDED"
        if is_paid != (payment.observed == SUCCEEDED) and not (is_paid and payment.may_be_asked):
            yield f"payment {id}: the provider says {booked}, we {payment}"
        if (booked.amount, booked.currency) != (payment.amount, payment.currency):
            yield f"payment {id}: the provider took {booked}, and we asked for {payment}"
        if booked.refunds != payment.refunds:
            yield f"payment {id}: the provider paid back {booked}, and we {payment}"


def paid_orders_have_one_sale(facts):
    for id, order in facts.with_status(PAID):
        holds = facts.holds_of(id, CONFIRMED)
        total = sum(hold.total for hold in holds)
        if len(holds) != 1 and not (holds and order.flow in FLOWS_OF_PARTS):
            yield f"PAID order {id} has {len(holds)} confirmed holds"
        elif total != order.total or {hold.currency for hold in holds} != {order.currency}:
            yield f"PAID order {id}: {order}, sold as {holds}"


def failed_orders_have_nothing(facts):
    for id, order in facts.with_status(FAILED):
        for charge in facts.charges_of(id):
            yield f"FAILED order {id} ({order.reason}) was charged: {charge}"
        for hold in facts.holds_of(id, HELD, CONFIRMED):
            yield f"FAILED order {id} ({order.reason}) has a hold: {hold}"


def charges_have_orders(facts):
    for reference in facts.charges:
        if reference not in facts.orders and facts.charges_of(reference):
            yield f"a charge for '{reference}', which is no order"


def sales_have_orders(facts):
    for reference in facts.holds:
        if reference not in facts.orders and facts.holds_of(reference, CONFIRMED):
            yield f"a sale for '{reference}', which is no order"


def events_have_no_gap(facts):
    seen = {}
    for row in facts.psql(
        "orders",
        "SELECT aggregateid, count(*), count(DISTINCT version), min(version), max(version),"
        " (array_agg(payload::json->>'status' ORDER BY version DESC))[1],"
        " (array_agg(payload::json->>'totalMinor' ORDER BY version DESC))[1]"
        " FROM event GROUP BY aggregateid",
    ):
        id, count, distinct, least, most = row[0], *map(int, row[1:5])
        seen[id] = (most, row[5], int(row[6]))
        if not (count == distinct == most and least == 1):
            yield f"order {id} has {count} events, versions {least} to {most}"
        if id not in facts.orders:
            yield f"events of {id}, which is no order"
    for id, order in facts.orders.items():
        said = (order.version, STATUS_NAMES[order.status], order.total)
        if seen.get(id) != said:
            yield f"order {id} is {said}, its last event says {seen.get(id)}"


def sagas_have_ended(facts):
    for id, phase in facts.parked:
        yield f"saga {id} is parked: {phase}"
    for id, order in facts.orders.items():
        if has_saga(order) and id not in facts.finals:
            yield f"order {id} is {STATUS_NAMES[order.status]}, and its saga has not ended"


def sagas_agree_with_orders(facts):
    for id, order in facts.orders.items():
        saga = facts.finals.get(id)
        if saga is None:
            continue
        if (saga.status == "SU") != (order.status == PAID):
            yield f"order {id} is {STATUS_NAMES[order.status]}, its saga {saga}"
        if saga.compensation not in ("", "SU"):
            yield f"order {id}: its saga was not undone: {saga}"


def alerts_are_those_that_there_must_be(facts):
    yield from alerts.offences(facts.mesh)


RULES = (
    acknowledged_orders_exist,
    orders_are_final,
    stock_adds_up,
    stock_agrees_with_holds,
    sold_is_what_paid_orders_say,
    nothing_is_held,
    ledger_agrees_with_transfers,
    debits_equal_credits,
    no_wallet_is_negative,
    free_orders_have_no_payment,
    paid_orders_have_one_charge,
    paid_orders_have_one_payment,
    failed_orders_have_no_payment,
    unwanted_payments_are_paid_back,
    payments_have_orders,
    books_agree_with_the_provider,
    paid_orders_have_one_sale,
    failed_orders_have_nothing,
    charges_have_orders,
    sales_have_orders,
    events_have_no_gap,
    sagas_have_ended,
    sagas_agree_with_orders,
    alerts_are_those_that_there_must_be,
)


# ---- check -----------------------------------------------------------------------------------------


def count_all(facts):
    holds = [hold.state for holds in facts.holds.values() for hold in holds]
    charges = [charge.is_reversed for charges in facts.charges.values() for charge in charges]
    return {
        "orders": len(facts.orders),
        "acknowledged": len(facts.acknowledged),
        "PAID": sum(1 for _ in facts.with_status(PAID)),
        "FAILED": sum(1 for _ in facts.with_status(FAILED)),
        "events": int(facts.psql("orders", "SELECT count(*) FROM event")[0][0]),
        "holds confirmed": holds.count(CONFIRMED),
        "released": holds.count(RELEASED),
        "expired": holds.count(EXPIRED),
        "refused": holds.count(REFUSED),
        "charges": charges.count(False),
        "reversed": charges.count(True),
        "payments": len(facts.payments),
        "taken": sum(payment.claim == TAKEN for payment in facts.payments.values()),
        "paid back": sum(bool(payment.refunds) for payment in facts.payments.values()),
        "quarantined": sum(payment.is_quarantined for payment in facts.payments.values()),
        "sagas ended": len(facts.finals),
    }


def check(mesh, acknowledged=(), seconds=30):
    """mesh: anything with psql(database, statement) -> rows of texts. acknowledged: the ids of orders
    whose Place was answered. Waits up to seconds for all of it to come to rest."""
    wait_for_rest(mesh, len(set(acknowledged)), seconds)
    facts = Facts(mesh, acknowledged)
    report = Report(counts=count_all(facts))
    for rule in RULES:
        offences = list(rule(facts))
        name = rule.__name__.replace("_", " ")
        report.violations += [f"{name}: {offence}" for offence in offences[:SHOWN_MAX]]
        if len(offences) > SHOWN_MAX:
            report.violations.append(f"{name}: {len(offences) - SHOWN_MAX} more")
    return report


class RunningMesh:
    """The mesh of ./dev up."""

    run = pathlib.Path(__file__).resolve().parents[2] / ".run"
    secrets = run / "secrets"
    has_moved_clocks = False
    programs = ("alerts",)  # with a part in these rules

    def flags_of(self, name):
        """As ./dev up starts it; it has none that matter here."""
        return ()

    def address(self, name):
        return "127.0.0.1:" + (self.run / "ports" / name).read_text().strip()

    def psql(self, database, statement):
        dev = pathlib.Path(__file__).resolve().parents[2] / "dev"
        service = "order" if database == "orders" else database
        done = subprocess.run(
            [str(dev), "psql", service, "-q", "-A", "-t", "-F", "\t", "-v", "ON_ERROR_STOP=1"]
            + ["-c", statement],
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        return [line.split("\t") for line in done.stdout.splitlines() if line]


def main():
    report = check(RunningMesh())
    print(report)
    sys.exit(1 if report.violations else 0)


if __name__ == "__main__":
    main()
