"""What must be true once everything has drained: each check is a row, and returns what is wrong."""

SHOW_MAX = 5


def rows_by_id(rows):
    return {row[0]: row[1:] for row in rows}


class Books:
    """What the four databases say, read once."""

    def __init__(self, mesh):
        self.mesh = mesh
        self.orders = rows_by_id(
            mesh.psql("orders", "SELECT id, status, total_minor, currency, version FROM orders")
        )
        # Charges that were posted and not reversed: [reference, amount].
        self.charges = mesh.psql(
            "account",
            "SELECT reference, amount_minor, right(debit_key, 3) FROM transfer"
            " WHERE kind = 'charge' AND state = 1 AND reversed_by IS NULL",
        )
        self.sold = mesh.psql("storage", "SELECT reference, total_minor FROM hold WHERE state = 2")

    def ids_in(self, status):
        return {order_id for order_id, order in self.orders.items() if order[0] == status}


PAID, FAILED = "3", "4"


def acknowledged_orders_are_final(books, load):
    wrong = []
    for order_id, placed in load.orders.items():
        status = books.orders.get(order_id, ["not there"])[0]
        if placed.is_acknowledged and status not in (PAID, FAILED):
            wrong.append(f"{order_id}: {status}")
    return wrong


def no_order_from_nowhere(books, load):
    return [order_id for order_id in books.orders if order_id not in load.orders]


def pieces_add_up(books, load):
    return books.mesh.psql(
        "storage",
        "SELECT p.sku, p.on_hand, p.free, p.held, p.sold, h.sold FROM product p LEFT JOIN"
        " (SELECT split_part(line, ' ', 3) AS sku, sum(split_part(line, ' ', 1)::bigint) AS sold"
        "  FROM hold, regexp_split_to_table(lines, E'\\n') AS line"
        "  WHERE state = 2 AND line <> '' GROUP BY 1) h ON h.sku = p.sku"
        " WHERE p.on_hand <> p.free + p.held + p.sold OR p.sold <> coalesce(h.sold, 0)",
    )


def sold_is_what_paid_orders_say(books, load):
    ordered = books.mesh.psql(
        "orders",
        "SELECT split_part(line, ' ', 2) AS sku, sum(split_part(line, ' ', 1)::bigint)"
        " FROM orders, regexp_split_to_table(lines, E'\\n') AS line"
        " WHERE status = 3 AND line <> '' GROUP BY 1",
    )
    sold = books.mesh.psql("storage", "SELECT sku, sold FROM product WHERE sold <> 0")
    return sorted(set(map(tuple, ordered)) ^ set(map(tuple, sold)))


def nothing_is_held(books, load):
    return books.mesh.psql(
        "storage",
        "SELECT 'product', sku, held FROM product WHERE held <> 0 UNION ALL"
        " SELECT 'hold', id::text, until_us FROM hold WHERE state = 1",
    )


def one_confirmed_hold_a_paid_order(books, load):
    held = [(reference, total) for reference, total in books.sold]
    paid = [(order_id, books.orders[order_id][1]) for order_id in books.ids_in(PAID)]
    return differences(paid, held)


def ledger_agrees_with_itself(books, load):
    return books.mesh.psql("account", "SELECT * FROM ledger_check()")


def one_charge_a_paid_order_and_none_a_failed(books, load):
    charged = [(reference, amount, currency) for reference, amount, currency in books.charges]
    paid = [(order_id, *books.orders[order_id][1:3]) for order_id in books.ids_in(PAID)]
    return differences(paid, charged)


def differences(wanted, found):
    """What is in one list and not in the other, and what is in the second twice."""
    wrong = [f"only ordered: {one}" for one in set(wanted) - set(found)]
    wrong += [f"only booked: {one}" for one in set(found) - set(wanted)]
    if len(found) != len(set(found)):
        wrong.append(f"{len(found) - len(set(found))} are booked twice")
    return wrong


def every_version_is_there_once(books, load):
    return books.mesh.psql(
        "orders",
        "SELECT o.id, o.version, e.count, e.last FROM orders o LEFT JOIN"
        " (SELECT aggregateid, count(*) AS count, max(version) AS last FROM event GROUP BY 1) e"
        " ON e.aggregateid = o.id"
        " WHERE e.count IS DISTINCT FROM o.version OR e.last IS DISTINCT FROM o.version",
    )


def last_event_says_what_the_order_says(books, load):
    return books.mesh.psql(
        "orders",
        "SELECT o.id, o.status, count(*) FILTER (WHERE e.type = 'order.paid'),"
        " count(*) FILTER (WHERE e.type = 'order.failed')"
        " FROM orders o JOIN event e ON e.aggregateid = o.id GROUP BY o.id"
        " HAVING count(*) FILTER (WHERE e.type = 'order.paid') <> (o.status = 3)::int"
        " OR count(*) FILTER (WHERE e.type = 'order.failed') <> (o.status = 4)::int",
    )


def every_saga_has_ended(books, load):
    pb = books.mesh.saga_pb
    open_sagas = books.mesh.insist(books.mesh.sagas.List, pb.ListRequest(page_size=100)).sagas
    wrong = [f"{s.saga_id} {pb.SagaPhase.Name(s.phase)} in {s.state}" for s in open_sagas]
    wrong += books.mesh.psql("saga", "SELECT id, phase FROM journal_parked")
    ended = {row[0] for row in books.mesh.psql("saga", "SELECT id FROM journal_final")}
    # An order whose Start was refused has none; here no definition is unknown.
    wrong += [f"no saga: {order_id}" for order_id in books.orders.keys() - ended]
    return wrong


CHECKS = (
    ("every acknowledged order is there and final", acknowledged_orders_are_final),
    ("no order that nobody placed", no_order_from_nowhere),
    ("every saga has ended, none is stuck", every_saga_has_ended),
    ("stock: on hand = free + held + sold, and sold is what holds say", pieces_add_up),
    ("stock: sold is what paid orders say", sold_is_what_paid_orders_say),
    ("stock: nothing is held", nothing_is_held),
    ("stock: a paid order has one confirmed hold, others none", one_confirmed_hold_a_paid_order),
    ("money: the ledger agrees with its transfers", ledger_agrees_with_itself),
    ("money: a paid order has one charge, a failed one none",
     one_charge_a_paid_order_and_none_a_failed),
    ("events: every version of an order once", every_version_is_there_once),
    ("events: paid or failed, as the order says", last_event_says_what_the_order_says),
)


def check_all(mesh, load, prefix=""):
    """Prints a line for each check; how many passed and failed."""
    books = Books(mesh)
    passed = failed = 0
    for text, check in CHECKS:
        wrong = check(books, load)
        if not wrong:
            passed += 1
            print(f"{prefix}{text}: yes", flush=True)
            continue
        failed += 1
        print(f"{prefix}{text}: NO, {len(wrong)} are wrong:", flush=True)
        for one in list(wrong)[:SHOW_MAX]:
            print(f"    {one}", flush=True)
    return passed, failed
