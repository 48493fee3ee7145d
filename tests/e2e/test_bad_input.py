"""What strangers send: each is refused with the right status, the field and the rule, and nothing
changes. Then what a well-behaved caller sees of a program in trouble."""


import bad_input
import grpc
from bad_input import DAY_MS, TRUTHS, BadInput, contents, id_from_now, uuid4
from lock import Lock
from mesh import Refusal, error_details_pb2, order_service_pb2, refusal, uuid7
from patience import wait_until

MESSAGE_BYTES_MAX = 1 << 20
ITEMS_MAX = 1024
SERVICES = ("storage", "account", "saga", "order")


def setUpModule():
    mesh = bad_input.open_mesh()
    mesh.put_product("tea", 500, pieces=10)
    mesh.put_product("yen-tea", 500, pieces=10, currency="JPY")
    mesh.put_product("gold", 10**12, pieces=10**9)
    mesh.open_wallet("ada", top_up_minor=1000)


tearDownModule = bad_input.close_mesh


# ---- requests that are malformed: (row, change to a good request, field, what the rule says) ---------


def place(**change):
    pb = order_service_pb2
    fields = dict(
        order_id=uuid7(),
        customer_id="ada",
        currency="EUR",
        lines=[pb.OrderLine(sku="tea", quantity=1)],
    )
    return pb.PlaceRequest(**{**fields, **change})


def lines(*pairs):
    return [order_service_pb2.OrderLine(sku=sku, quantity=quantity) for sku, quantity in pairs]


class Place(BadInput):
    def test_malformed(self):
        rows = (
            ("no id", dict(order_id=""), "order_id", "is missing"),
            ("an id that is none", dict(order_id="order-1"), "order_id", "36-character"),
            ("an id in capitals", dict(order_id=uuid7().upper()), "order_id", "lower-case"),
            ("an id of another version", dict(order_id=uuid4()), "order_id", "UUIDv7"),
            ("nobody's", dict(customer_id=""), "customer_id", "1 to 64 bytes"),
            ("a name too long", dict(customer_id="a" * 65), "customer_id", "1 to 64 bytes"),
            ("a name with a slash", dict(customer_id="a/b"), "customer_id", "'/'"),
            ("a name with a newline", dict(customer_id="a\nb"), "customer_id", "control"),
            ("no currency", dict(currency=""), "currency", "three upper-case"),
            ("a currency in small letters", dict(currency="eur"), "currency", "three upper-case"),
            ("a currency too long", dict(currency="EURO"), "currency", "three upper-case"),
            ("no lines", dict(lines=[]), "lines", "1 to 100"),
            (
                "too many lines",
                dict(lines=lines(*[(f"sku-{i}", 1) for i in range(101)])),
                "lines",
                "1 to 100",
            ),
            ("no sku", dict(lines=lines(("", 1))), "lines[0].sku", "1 to 64 characters"),
            ("a sku too long", dict(lines=lines(("s" * 65, 1))), "lines[0].sku", "1 to 64"),
            ("a sku with a space", dict(lines=lines(("a b", 1))), "lines[0].sku", "printable"),
            ("a sku that is not ASCII", dict(lines=lines(("thé", 1))), "lines[0].sku", "ASCII"),
            ("zero pieces", dict(lines=lines(("tea", 0))), "lines[0].quantity", "1 to 1000000"),
            ("negative", dict(lines=lines(("tea", -1))), "lines[0].quantity", "1 to 1000000"),
            ("too many", dict(lines=lines(("tea", 10**6 + 1))), "lines[0].quantity", "1 to 1000000"),
            ("huge", dict(lines=lines(("tea", 2**63 - 1))), "lines[0].quantity", "1 to 1000000"),
            (
                "the same sku twice",
                dict(lines=lines(("tea", 1), ("gold", 1), ("tea", 2))),
                "lines[2].sku",
                "lines[0] already",
            ),
            ("cash", dict(payment_method="cash"), "payment_method", "wallet"),
            ("a flow that is no name", dict(flow="a b"), "flow", "printable"),
            ("a flow too long", dict(flow="f" * 200), "flow", "characters"),
        )
        before = contents()
        for row, change, field, rule in rows:
            with self.subTest(row):
                self.check(
                    row,
                    self.mesh.orders.Place,
                    place(**change),
                    "INVALID_ARGUMENT",
                    "BAD_REQUEST",
                    field=field,
                    rule=rule,
                )
        self.assertEqual(contents(), before)

    def test_an_id_from_the_future(self):
        """A clock is wrong, the client's or the service's: that is trouble, and no refusal."""
        before = contents()
        request = place(order_id=id_from_now(6 * 60 * 1000))
        self.check(
            "early", self.mesh.orders.Place, request, "UNAVAILABLE", "TOO_EARLY",
            field="order_id", nothing_done="true",
        )
        self.assertEqual(contents(), before)

    def test_an_id_that_is_older_than_records(self):
        before = contents()
        request = place(order_id=id_from_now(-46 * DAY_MS))
        self.check("old", self.mesh.orders.Place, request, "FAILED_PRECONDITION", "ID_TOO_OLD")
        self.assertEqual(contents(), before)

    def test_an_id_that_was_used_for_something_else(self):
        first = place()
        self.mesh.orders.Place(first, timeout=5)
        self.mesh.wait_final(first.order_id)
        settle(self.mesh, first.order_id)
        before = contents()
        for change in (
            dict(customer_id="eve"),
            dict(currency="JPY"),
            dict(lines=lines(("tea", 2))),
            dict(flow="seat_sale"),
        ):
            request = place(order_id=first.order_id, **change)
            self.check(
                str(change), self.mesh.orders.Place, request, "ALREADY_EXISTS", "ID_REUSED"
            )
        self.assertEqual(contents(), before)


def settle(mesh, order_id):
    """Until the saga's end is written too."""
    wait_until(
        lambda: mesh.psql("saga", f"SELECT 1 FROM journal_final WHERE id = '{order_id}'"),
        10,
        "the saga's end",
    )


class OtherCalls(BadInput):
    def rows(self):
        """what, call, field, rule, the request's fields beside an id of its own"""
        some, s = uuid7(), self.mesh.storage_pb
        reserve = dict(lines=[s.ReserveLine(sku="tea", quantity=1)], hold_seconds=9)
        charge = dict(customer_id="ada", amount_minor=1, currency="EUR")
        top_up = dict(customer_id="ada", currency="EUR")
        put = dict(sku="x", currency="EUR")
        start = dict(saga_id=some, definition="order_create_saga", input_json="{}")
        return (
            ("no id", "orders.Get", "order_id", "missing", dict()),
            ("too long", "orders.Get", "wait_ms", "60000", dict(order_id=some, wait_ms=60001)),
            ("negative", "orders.Get", "wait_ms", "0 to", dict(order_id=some, wait_ms=-1)),
            ("a page too large", "orders.List", "page_size", "1000", dict(page_size=1001)),
            ("no token", "orders.List", "page_token", "next_page", dict(page_token="next")),
            ("no order", "orders.Cancel", "order_id", "missing", dict()),
            (
                "negative",
                "orders.MarkPaid",
                "total_minor",
                "0 to",
                dict(order_id=some, total_minor=-1, currency="EUR"),
            ),
            (
                "negative",
                "storage.PutProduct",
                "unit_price_minor",
                "0 to",
                dict(put, unit_price_minor=-1),
            ),
            (
                "huge",
                "storage.PutProduct",
                "unit_price_minor",
                "0 to",
                dict(put, unit_price_minor=10**12 + 1),
            ),
            ("nothing", "storage.Restock", "quantity", "not be 0", dict(sku="tea")),
            ("huge", "storage.Restock", "quantity", "10000", dict(sku="tea", quantity=2**62)),
            ("nothing", "storage.Reserve", "lines", "1 to 100", dict(reserve, lines=[])),
            ("no time", "storage.Reserve", "hold_seconds", "1 to", dict(reserve, hold_seconds=0)),
            (
                "too much time",
                "storage.Reserve",
                "hold_seconds",
                "1 to 604800",
                dict(reserve, hold_seconds=604801),
            ),
            ("too long", "storage.Reserve", "reference", "64", dict(reserve, reference="r" * 65)),
            ("nothing", "storage.Confirm", "hold_id", "missing", dict()),
            ("no id", "storage.Release", "hold_id", "36-character", dict(hold_id="1")),
            (
                "a kind that is not in the chart",
                "ledger.OpenAccount",
                "account",
                "",
                dict(account="piggybank/ada", currency="EUR"),
            ),
            (
                "nobody's",
                "ledger.OpenAccount",
                "account",
                "",
                dict(account="wallet", currency="EUR"),
            ),
            ("nothing", "ledger.TopUp", "amount_minor", "1 to", top_up),
            ("huge", "ledger.TopUp", "amount_minor", "1 to", dict(top_up, amount_minor=10**15 + 1)),
            ("negative", "ledger.Charge", "amount_minor", "0 to", dict(charge, amount_minor=-1)),
            ("huge", "ledger.Charge", "amount_minor", "0 to", dict(charge, amount_minor=2**63 - 1)),
            ("none", "ledger.Charge", "currency", "three", dict(charge, currency="")),
            ("no charge", "ledger.Refund", "charge_id", "missing", dict()),
            ("cut short", "sagas.Start", "input_json", "must be whole JSON", dict(start, input_json="{")),
            ("a list", "sagas.Start", "input_json", "JSON object", dict(start, input_json="[]")),
            (
                "too much",
                "sagas.Start",
                "input_json",
                "bytes",
                dict(start, input_json='{"a":"' + "a" * 65536 + '"}'),
            ),
            ("no name", "sagas.Start", "definition", "characters", dict(start, definition="")),
            (
                "too long",
                "sagas.Retry",
                "comment",
                "200 bytes",
                dict(saga_id=some, comment="c" * 201),
            ),
        )

    def call(self, name, fields):
        """The stub's method and the request of that name, with a request_id where it has one."""
        service, method = name.split(".")
        messages = {
            "orders": self.mesh.order_pb,
            "storage": self.mesh.storage_pb,
            "ledger": self.mesh.ledger_pb,
            "sagas": self.mesh.saga_pb,
        }
        request = getattr(messages[service], f"{method}Request")(**fields)
        if "request_id" in request.DESCRIPTOR.fields_by_name:
            request.request_id = uuid7()
        return getattr(getattr(self.mesh, service), method), request

    def test_malformed(self):
        before = contents()
        for what, name, field, rule, fields in self.rows():
            with self.subTest(f"{name}: {field}: {what}"):
                call, request = self.call(name, fields)
                self.check(
                    what, call, request, "INVALID_ARGUMENT", "BAD_REQUEST", field=field, rule=rule
                )
        self.assertEqual(contents(), before)

    def test_changing_calls_without_an_id(self):
        before = contents()
        for name in (
            "orders.Cancel",
            "orders.MarkFailed",
            "storage.PutProduct",
            "storage.Reserve",
            "storage.Release",
            "ledger.Charge",
            "ledger.Refund",
            "ledger.TopUp",
            "sagas.Cancel",
            "sagas.Compensate",
        ):
            with self.subTest(name):
                call, request = self.call(name, {})
                request.request_id = ""
                self.check(
                    name,
                    call,
                    request,
                    "INVALID_ARGUMENT",
                    "BAD_REQUEST",
                    field="request_id",
                    rule="is missing",
                )
        self.assertEqual(contents(), before)

    def test_what_is_not_there(self):
        mesh, some = self.mesh, uuid7()
        rows = (
            (mesh.orders.Get, mesh.order_pb.GetRequest(order_id=some)),
            (mesh.storage.GetProduct, mesh.storage_pb.GetProductRequest(sku="nothing")),
            (mesh.storage.GetHold, mesh.storage_pb.GetHoldRequest(hold_id=some)),
            (mesh.ledger.Balance, mesh.ledger_pb.BalanceRequest(customer_id="x", currency="EUR")),
            (mesh.ledger.GetTransfer, mesh.ledger_pb.GetTransferRequest(transfer_id=some)),
            (mesh.sagas.Get, mesh.saga_pb.GetRequest(saga_id=some)),
            (mesh.sagas.Cancel, mesh.saga_pb.CancelRequest(request_id=uuid7(), saga_id=some)),
            (mesh.sagas.Retry, mesh.saga_pb.RetryRequest(request_id=uuid7(), saga_id=some)),
            (mesh.orders.Cancel, mesh.order_pb.CancelRequest(request_id=uuid7(), order_id=some)),
        )
        for call, request in rows:
            with self.subTest(type(request).__name__):
                self.check("", call, request, "NOT_FOUND", "NOT_FOUND")

    def test_a_request_older_than_answers_are_kept(self):
        mesh = self.mesh
        mesh.orders.Place(place(order_id=(order_id := uuid7())))
        settle(mesh, order_id)
        old = id_from_now(-60 * DAY_MS)
        for name in ("Cancel", "Retry", "Compensate"):
            with self.subTest(name):
                request = getattr(mesh.saga_pb, name + "Request")(request_id=old, saga_id=order_id)
                self.check(
                    name,
                    getattr(mesh.sagas, name),
                    request,
                    "FAILED_PRECONDITION",
                    "ID_TOO_OLD",
                    field="request_id",
                )

    def test_a_definition_that_nobody_knows(self):
        start = self.mesh.saga_pb.StartRequest(saga_id=uuid7(), definition="x", input_json="{}")
        before = contents()
        self.check("", self.mesh.sagas.Start, start, "NOT_FOUND", "UNKNOWN_DEFINITION")
        self.assertEqual(contents(), before)

    def test_rules_refuse_and_the_refusal_is_stored(self):
        mesh, s, l = self.mesh, self.mesh.storage_pb, self.mesh.ledger_pb

        def reserve(*pairs, **change):
            return s.ReserveRequest(
                request_id=uuid7(),
                lines=[s.ReserveLine(sku=sku, quantity=quantity) for sku, quantity in pairs],
                hold_seconds=60,
                **change,
            )

        def money(kind, **change):
            fields = dict(request_id=uuid7(), customer_id="ada", amount_minor=1, currency="EUR")
            return kind(**{**fields, **change})

        overflow = [("gold", 10**6)] + [(f"gold-{i}", 10**6) for i in range(9)]
        for sku, _ in overflow[1:]:
            mesh.put_product(sku, 10**12, pieces=10**9)
        rows = (
            (mesh.storage.Reserve, reserve(("tea", 11)), "NO_STOCK"),
            (mesh.storage.Reserve, reserve(("tea", 1), ("nothing", 1)), "UNKNOWN_SKU"),
            (mesh.storage.Reserve, reserve(("tea", 1), ("yen-tea", 1)), "MIXED_CURRENCY"),
            (mesh.storage.Reserve, reserve(("tea", 1), currency="USD"), "CURRENCY_MISMATCH"),
            (mesh.storage.Reserve, reserve(*overflow), "TOTAL_OVERFLOW"),
            (mesh.storage.Confirm, s.ConfirmRequest(request_id=uuid7(), hold_id=uuid7()), "HOLD_ENDED"),
            (mesh.storage.Restock, s.RestockRequest(request_id=uuid7(), sku="tea", quantity=-11), "NO_STOCK"),
            (
                mesh.storage.PutProduct,
                s.PutProductRequest(request_id=uuid7(), sku="tea", currency="USD"),
                "CURRENCY_FIXED",
            ),
            (mesh.ledger.Charge, money(l.ChargeRequest, amount_minor=10**6), "NO_FUNDS"),
            (mesh.ledger.Charge, money(l.ChargeRequest, customer_id="x"), "NO_ACCOUNT"),
            (mesh.ledger.TopUp, money(l.TopUpRequest, currency="XXX"), "NO_ACCOUNT"),
        )
        before = contents(TRUTHS)
        for call, request, reason in rows:
            with self.subTest(reason):
                first = self.check(reason, call, request, "FAILED_PRECONDITION", reason)
                again = self.check(
                    reason, call, request, "FAILED_PRECONDITION", reason, stored="true"
                )
                self.assertEqual(first.message, again.message)
                self.assertEqual(first.metadata, again.metadata)
        self.assertEqual(contents(TRUTHS), before)


class Bytes(BadInput):
    """What no stub would send."""

    PLACE = "/sagamesh.order.v1.OrderService/Place"

    def send(self, method, data, **options):
        call = self.mesh.channel("order").unary_unary(method)
        return refusal(call, data, timeout=5, **options)

    def test_truncated(self):
        good = place().SerializeToString()
        before = contents()
        # What is cut between two fields is a shorter message; it lacks what it needs.
        for count in range(1, len(good)):
            error = self.send(self.PLACE, good[:count])
            self.assertEqual(
                (error.code.name, error.reason), ("INVALID_ARGUMENT", "BAD_REQUEST"), error
            )
        self.assertEqual(contents(), before)

    def test_no_protobuf_at_all(self):
        for data in (b"\xff" * 100, b"hello", b"\x0a\xff\xff\xff\xff\x0f", b"\x0b" * 1000):
            error = self.send(self.PLACE, data)
            self.assertEqual(
                (error.code.name, error.reason), ("INVALID_ARGUMENT", "BAD_REQUEST"), error
            )

    def test_text_that_is_not_utf8(self):
        bad = place(customer_id="XXXX").SerializeToString().replace(b"XXXX", b"\xc3\x28\xa0\xff")
        error = self.send(self.PLACE, bad)
        self.assertEqual((error.code.name, error.reason), ("INVALID_ARGUMENT", "BAD_REQUEST"))
        self.assertEqual(error.metadata["field"], "customer_id", error)
        self.assertIn("UTF-8", error.metadata["rule"])

    def test_a_null_character(self):
        error = self.send(self.PLACE, place(customer_id="a\0b").SerializeToString())
        self.assertEqual((error.code.name, error.reason), ("INVALID_ARGUMENT", "BAD_REQUEST"))
        self.assertEqual(error.metadata["field"], "customer_id", error)

    def test_messages_at_the_limit_and_over_it(self):
        before = contents()
        for extra, code in ((0, "INVALID_ARGUMENT"), (1, "RESOURCE_EXHAUSTED")):
            request = place(customer_id="")
            room = MESSAGE_BYTES_MAX + extra - request.ByteSize()
            request.customer_id = "a" * (room - 4)  # a tag and a length of three bytes
            self.assertEqual(request.ByteSize(), MESSAGE_BYTES_MAX + extra)
            error = self.send(self.PLACE, request.SerializeToString())
            self.assertEqual(error.code.name, code, error)
        self.assertEqual(contents(), before)

    def test_a_method_that_is_not_there(self):
        for method in ("/sagamesh.order.v1.OrderService/Steal", "/no.Such/Call"):
            error = self.send(method, b"")
            self.assertEqual((error.code.name, error.reason), ("UNIMPLEMENTED", "UNIMPLEMENTED"))

    def test_it_still_works_afterwards(self):
        order_id = self.mesh.place("ada", [("tea", 1)])
        self.assertEqual(self.mesh.wait_final(order_id).status, self.mesh.order_pb.ORDER_STATUS_PAID)
        settle(self.mesh, order_id)


class Envelope(BadInput):
    def call(self, *items, name="order", seconds=5):
        """Code, ErrorInfo and bytes of each result."""
        request = self.mesh.batch_pb.CallRequest(items=items)
        results = self.mesh.batch(name).Call(request, timeout=seconds).results
        self.assertEqual(len(results), len(items))
        found = []
        for result in results:
            info = error_details_pb2.ErrorInfo()
            for detail in result.status.details:
                detail.Unpack(info)
            code = next(c for c in grpc.StatusCode if c.value[0] == result.status.code)
            found.append((code.name, info.reason, dict(info.metadata), result.response))
        return found

    def item(self, method, request, **fields):
        data = request if isinstance(request, bytes) else request.SerializeToString()
        return self.mesh.batch_pb.CallItem(method=method, request=data, **fields)

    def test_each_item_has_its_own_answer(self):
        place_method = "sagamesh.order.v1.OrderService/Place"
        good = place()
        found = self.call(
            self.item(place_method, good),
            self.item(place_method, place(currency="")),
            self.item(place_method, b"\xff\xff"),
            self.item("sagamesh.order.v1.OrderService/Steal", b""),
            self.item("grpc.health.v1.Health/Watch", b""),
            self.item("sagamesh.batch.v1.BatchService/Call", b""),
            self.item(place_method, place(), timeout_ms=-1),
            self.item(place_method, good),
            self.item(
                "sagamesh.order.v1.OrderService/Get",
                self.mesh.order_pb.GetRequest(order_id=uuid7()),
            ),
        )
        self.assertEqual(
            [(code, reason) for code, reason, _, _ in found],
            [
                ("OK", ""),
                ("INVALID_ARGUMENT", "BAD_REQUEST"),
                ("INVALID_ARGUMENT", "BAD_REQUEST"),
                ("UNIMPLEMENTED", "UNIMPLEMENTED"),
                ("UNIMPLEMENTED", "UNIMPLEMENTED"),
                ("UNIMPLEMENTED", "UNIMPLEMENTED"),
                ("INVALID_ARGUMENT", "BAD_REQUEST"),
                ("OK", ""),
                ("NOT_FOUND", "NOT_FOUND"),
            ],
        )
        self.assertEqual(found[1][2]["field"], "currency")
        answer = self.mesh.order_pb.PlaceResponse.FromString(found[0][3])
        self.assertEqual(answer.order_id, good.order_id)
        self.mesh.wait_final(good.order_id)
        settle(self.mesh, good.order_id)

    def test_an_empty_one_has_no_answers(self):
        self.assertEqual(self.call(), [])

    def test_too_many_items(self):
        items = [self.item("x/y", b"")] * (ITEMS_MAX + 1)
        request = self.mesh.batch_pb.CallRequest(items=items)
        self.check(
            "", self.mesh.batch("order").Call, request, "INVALID_ARGUMENT", "BAD_REQUEST", field="items"
        )
        codes = {code for code, _, _, _ in self.call(*items[:ITEMS_MAX])}
        self.assertEqual(codes, {"UNIMPLEMENTED"})


class Trouble(BadInput):
    """A database that is away, and a store that is held up, on programs of their own settings."""

    def test_the_database_is_away(self):
        mesh = self.mesh
        calls = (
            (mesh.orders.Place, place()),
            (mesh.orders.List, mesh.order_pb.ListRequest()),
            (
                mesh.storage.Restock,
                mesh.storage_pb.RestockRequest(request_id=uuid7(), sku="tea", quantity=1),
            ),
            (mesh.storage.GetProduct, mesh.storage_pb.GetProductRequest(sku="tea")),
            (
                mesh.ledger.OpenWallet,
                mesh.ledger_pb.OpenWalletRequest(request_id=uuid7(), customer_id="b", currency="EUR"),
            ),
            (
                mesh.sagas.Start,
                mesh.saga_pb.StartRequest(
                    saga_id=uuid7(), definition="order_create_saga", input_json="{}"
                ),
            ),
        )
        before = contents()
        mesh.stop("postgres")
        try:
            for call, request in calls:
                with self.subTest(type(request).__name__):
                    self.check(
                        "", call, request, "UNAVAILABLE", "STORE_DOWN", nothing_done="true"
                    )
        finally:
            mesh.start("postgres")
        for name in SERVICES:
            wait_until(lambda: mesh.health(name) == 1, 20, f"{name} serves again")
        self.assertEqual(contents(), before)
        # Nothing was done, so each may simply be made again.
        for call, request in calls[:-1]:
            call(request, timeout=5)
        mesh.wait_final(calls[0][1].order_id)
        settle(mesh, calls[0][1].order_id)

    def test_the_queue_is_full(self):
        mesh, pb = self.mesh, self.mesh.storage_pb
        self.mesh.flags["storage"] = ["--queue-max=1", "--batch-max=1"]
        mesh.stop("storage")
        floor = mesh.psql("storage", "SELECT floor_us FROM sweep")
        mesh.start("storage")
        # Its first walk moves the floor by an op, which has a place in the queue too.
        wait_until(lambda: mesh.psql("storage", "SELECT floor_us FROM sweep") != floor, 20, "the first walk")

        def restock():
            return pb.RestockRequest(request_id=uuid7(), sku="tea", quantity=1)

        try:
            free = mesh.product("tea").free
            with Lock(mesh, "storage", "SELECT FROM product WHERE sku = 'tea' FOR UPDATE"):
                waiting = [mesh.storage.Restock.future(restock(), timeout=20)]
                wait_until(lambda: lock_waiters(mesh, "storage"), 10, "the store thread waits")
                waiting += [mesh.storage.Restock.future(restock(), timeout=20) for _ in range(5)]
                wait_until(lambda: sum(call.done() for call in waiting) >= 4, 10, "four are refused")
                item = mesh.batch_pb.CallItem(
                    method="sagamesh.storage.v1.StorageService/Restock",
                    request=restock().SerializeToString(),
                )
                refused = [Refusal(call.exception()) for call in waiting if call.done()]
                results = mesh.batch("storage").Call(
                    mesh.batch_pb.CallRequest(items=[item] * 3), timeout=5
                ).results
            for error in refused:
                self.assertEqual((error.code.name, error.reason), ("RESOURCE_EXHAUSTED", "BUSY"))
                self.assertEqual(error.metadata["nothing_done"], "true")
            self.assertEqual({r.status.code for r in results}, {8})  # RESOURCE_EXHAUSTED
            done = [call for call in waiting if call.exception() is None]
            self.assertEqual((len(done), len(refused)), (2, 4))
            self.assertEqual(mesh.product("tea").free, free + len(done))
        finally:
            del self.mesh.flags["storage"]
            mesh.stop("storage")
            mesh.start("storage")

    def test_a_deadline_that_passes_in_the_queue(self):
        mesh, pb = self.mesh, self.mesh.storage_pb
        free = mesh.product("tea").free

        def item(timeout_ms=0):
            request = pb.RestockRequest(request_id=uuid7(), sku="tea", quantity=1)
            return mesh.batch_pb.CallItem(
                method="sagamesh.storage.v1.StorageService/Restock",
                request=request.SerializeToString(),
                timeout_ms=timeout_ms,
            )

        with Lock(mesh, "storage", "SELECT FROM product WHERE sku = 'tea' FOR UPDATE"):
            first = mesh.storage.Restock.future(
                pb.RestockRequest(request_id=uuid7(), sku="tea", quantity=1), timeout=20
            )
            wait_until(lambda: lock_waiters(mesh, "storage"), 10, "the store thread waits")
            short = mesh.batch("storage").Call.future(
                mesh.batch_pb.CallRequest(items=[item(timeout_ms=1), item()]), timeout=20
            )
            error = refusal(
                mesh.storage.Restock,
                pb.RestockRequest(request_id=uuid7(), sku="tea", quantity=1),
                timeout=0.3,
            )
            # Set aside until shortly before its deadline, and not done.
            self.assertIn(error.code.name, ("RESOURCE_EXHAUSTED", "DEADLINE_EXCEEDED"))
        first.result()
        results = short.result().results
        info = error_details_pb2.ErrorInfo()
        self.assertEqual(results[0].status.code, 4)  # DEADLINE_EXCEEDED
        self.assertTrue(results[0].status.details[0].Unpack(info))
        self.assertEqual((info.reason, info.metadata["nothing_done"]), ("EXPIRED", "true"))
        self.assertEqual(results[1].status.code, 0)
        # The one that waited, and the item that had time; never those whose time was over.
        self.assertEqual(mesh.product("tea").free, free + 2)


def lock_waiters(mesh, database):
    return mesh.psql(
        "postgres",
        "SELECT pid FROM pg_stat_activity"
        f" WHERE datname = '{database}' AND wait_event_type = 'Lock'",
    )
