"""What strangers send about payments, and to sagas that wait: refused with the right status, the field
and the rule, and nothing changes."""

import bad_input
import external
from bad_input import DAY_MS, BadInput, contents, id_from_now, uuid4
from mesh import payment_service_pb2, saga_service_pb2, uuid7
from patience import wait_until

WEBHOOK_BYTES_MAX = 256 << 10
PAYLOAD_BYTES_MAX = 16 << 10
REST_SECONDS = 20

waiting = None  # an order that waits for its payment
paid = None  # one that is PAID, and its saga's end is written
paid_payment = None


def order_with_payment(mesh):
    """An order that can be paid, and the payment."""
    order_id = mesh.place("eve", [("tea", 1)], provider="sandbox")
    order = wait_until(
        lambda: (order := mesh.order(order_id)).payment_url and order, REST_SECONDS, "it can be paid"
    )
    return order_id, order.payment_id


def setUpModule():
    global waiting, paid, paid_payment
    mesh = bad_input.open_mesh()
    mesh.put_product("tea", 500, pieces=10)
    paid, paid_payment = order_with_payment(mesh)
    external.Provider(mesh).pay(paid_payment)
    mesh.wait_final(paid)
    statement = f"SELECT 1 FROM journal_final WHERE id = '{paid}'"
    wait_until(lambda: mesh.psql("saga", statement), REST_SECONDS, "the saga's end")
    waiting, _ = order_with_payment(mesh)


tearDownModule = bad_input.close_mesh


def create(**change):
    fields = dict(
        request_id=uuid7(), order_id=uuid7(), provider="sandbox", amount_minor=500, currency="EUR",
        description="tea", expires_seconds=600,
    )
    return payment_service_pb2.CreateRequest(**{**fields, **change})


def webhook(**change):
    fields = dict(provider="sandbox", body=b"{}")
    return dict(webhook=payment_service_pb2.Webhook(**{**fields, **change}))


def hint(**change):
    fields = dict(payment_id=paid_payment, hint=payment_service_pb2.HINT_RETURNED)
    return dict(hint=payment_service_pb2.PaymentHint(**{**fields, **change}))


def observe(**what):
    return payment_service_pb2.ObserveRequest(**{"request_id": uuid7(), **what})


def headers(count):
    return [payment_service_pb2.Header(name=f"x-{i}", value="1") for i in range(count)]


def signal(**change):
    fields = dict(
        request_id=uuid7(), saga_id=waiting, name="payment", version=10**6, payload_json="{}"
    )
    return saga_service_pb2.SignalRequest(**{**fields, **change})


class Payments(BadInput):
    def setUp(self):
        super().setUp()
        # What waits is asked after from time to time, which changes its rows; it is looked at apart.
        where = f"payment_id <> '{self.mesh.order(waiting).payment_id}'"
        self.tables = {
            **bad_input.TABLES,
            "account": bad_input.TABLES["account"][:-1]
            + (f"(SELECT * FROM provider_task WHERE {where})",),
            "saga": ("journal_final", "op"),
        }
        self.before = contents(self.tables)

    def tearDown(self):
        self.assertEqual(contents(self.tables), self.before)

    def test_create(self):
        rows = (
            ("none", dict(request_id=""), "request_id", "is missing"),
            ("of another version", dict(request_id=uuid4()), "request_id", "UUIDv7"),
            ("none", dict(order_id=""), "order_id", "is missing"),
            ("no id", dict(order_id="order-1"), "order_id", "36-character"),
            ("too long", dict(provider="p" * 33), "provider", "1 to 32"),
            ("with a space", dict(provider="a b"), "provider", "printable"),
            ("nothing", dict(amount_minor=0), "amount_minor", "1 to"),
            ("negative", dict(amount_minor=-1), "amount_minor", "1 to"),
            ("huge", dict(amount_minor=10**15 + 1), "amount_minor", "1 to 1000000000000000"),
            ("none", dict(currency=""), "currency", "three upper-case"),
            ("in small letters", dict(currency="eur"), "currency", "three upper-case"),
            ("too long", dict(description="d" * 201), "description", "200"),
            ("with a newline", dict(description="a\nb"), "description", "control"),
            ("too short", dict(expires_seconds=59), "expires_seconds", "60 to 86400"),
            ("too long", dict(expires_seconds=86401), "expires_seconds", "60 to 86400"),
            ("too long", dict(return_url="u" * 501), "return_url", "500"),
            ("no URL", dict(return_url="shop.example"), "return_url", "http:// or https://"),
            ("a quotation mark", dict(return_url='https://a/">x'), "return_url", "character 10"),
        )
        self.refuse(rows, self.mesh.payments.Create, create)

    def test_create_with_an_id_of_another_time_or_content(self):
        call = self.mesh.payments.Create
        old = create(request_id=id_from_now(-46 * DAY_MS))
        self.check("old", call, old, "FAILED_PRECONDITION", "ID_TOO_OLD", rule="45 days")
        known = dict(request_id=paid_payment, order_id=paid)
        for change in (dict(amount_minor=501), dict(currency="JPY"), dict(order_id=uuid7())):
            request = create(**{**known, **change})
            self.check(str(change), call, request, "ALREADY_EXISTS", "ID_REUSED")

    def test_a_provider_that_nobody_configured(self):
        for name in ("paypay", "Sandbox"):
            error = self.check(
                name, self.mesh.payments.Create, create(provider=name), "FAILED_PRECONDITION",
                "UNKNOWN_PROVIDER", field="provider",
            )
            self.assertIn(f"'{name}'", error.message)
            self.check(
                name, self.mesh.payments.Observe, observe(**webhook(provider=name)), "NOT_FOUND",
                "UNKNOWN_PROVIDER", field="webhook.provider",
            )

    def test_observe(self):
        large = webhook(body=b" " * (WEBHOOK_BYTES_MAX + 1))
        rows = (
            ("none", dict(request_id="", **hint()), "request_id", "is missing"),
            ("nothing", dict(), "what", "a webhook or a hint"),
            ("none", hint(payment_id=""), "hint.payment_id", "is missing"),
            ("no id", hint(payment_id="1"), "hint.payment_id", "36-character"),
            ("none", hint(hint=0), "hint.hint", "RETURNED or WATCHED"),
            ("unknown", hint(hint=3), "hint.hint", "RETURNED or WATCHED"),
            ("too large", large, "webhook.body", f"{WEBHOOK_BYTES_MAX} bytes"),
            ("too many", webhook(headers=headers(101)), "webhook.headers", "100"),
        )
        self.refuse(rows, self.mesh.payments.Observe, observe)

    def test_a_webhook_that_nobody_signed(self):
        for what in (webhook(), webhook(headers=headers(3)), webhook(body=b"")):
            self.check(
                "", self.mesh.payments.Observe, observe(**what), "UNAUTHENTICATED", "BAD_SIGNATURE"
            )

    def test_a_hint_at_a_payment_that_is_not_there(self):
        """A hint is nobody's word; there is nothing to ask a provider for."""
        request = observe(**hint(payment_id=uuid7()))
        answer = self.mesh.payments.Observe(request, timeout=5)
        self.assertEqual(answer.outcome, payment_service_pb2.OBSERVE_OUTCOME_UNKNOWN_PAYMENT)

    def test_reads(self):
        pb = payment_service_pb2
        rows = (
            (self.mesh.payments.Get, pb.GetRequest, "payment_id"),
            (self.mesh.payments.List, pb.ListRequest, "order_id"),
        )
        for call, request_of, field in rows:
            self.refuse(
                (
                    ("none", {}, field, "is missing"),
                    ("no id", {field: "1"}, field, "36-character"),
                    ("of another version", {field: uuid4()}, field, "UUIDv7"),
                ),
                call, request_of,
            )
        self.check("", rows[0][0], pb.GetRequest(payment_id=uuid7()), "NOT_FOUND", "NOT_FOUND")
        empty = self.mesh.payments.List(pb.ListRequest(order_id=uuid7()), timeout=5)
        self.assertEqual(len(empty.payments), 0)

    def test_abandon_and_refund(self):
        pb = payment_service_pb2
        for name in ("Abandon", "Refund"):
            kind = getattr(pb, f"{name}Request")

            def undo(**change):
                return kind(**{**dict(request_id=uuid7(), payment_id=paid_payment), **change})

            call = getattr(self.mesh.payments, name)
            rows = (
                ("none", dict(request_id=""), "request_id", "is missing"),
                ("none", dict(payment_id=""), "payment_id", "is missing"),
                ("no id", dict(payment_id="1"), "payment_id", "36-character"),
            )
            self.refuse(rows, call, undo)
            old = undo(request_id=id_from_now(-46 * DAY_MS))
            self.check(name, call, old, "FAILED_PRECONDITION", "ID_TOO_OLD")


class Sagas(BadInput):
    def setUp(self):
        super().setUp()
        self.version = self.mesh.saga(waiting).saga.version

    def tearDown(self):
        self.assertEqual(self.mesh.saga(waiting).saga.version, self.version)

    def test_signal(self):
        large = '{"a":"' + "a" * PAYLOAD_BYTES_MAX + '"}'
        rows = (
            ("none", dict(request_id=""), "request_id", "is missing"),
            ("none", dict(saga_id=""), "saga_id", "is missing"),
            ("no id", dict(saga_id="1"), "saga_id", "36-character"),
            ("none", dict(name=""), "name", "1 to 64"),
            ("too long", dict(name="n" * 65), "name", "1 to 64"),
            ("none", dict(version=0), "version", "1 to"),
            ("negative", dict(version=-1), "version", "1 to"),
            ("none", dict(payload_json=""), "payload_json", "must not be empty"),
            ("cut short", dict(payload_json='{"a":'), "payload_json", "must be whole JSON"),
            ("a list", dict(payload_json="[]"), "payload_json", "JSON object"),
            ("too large", dict(payload_json=large), "payload_json", f"at most {PAYLOAD_BYTES_MAX}"),
            ("too deep", dict(payload_json='{"a":' * 40 + "1" + "}" * 40), "payload_json", "deep"),
        )
        self.refuse(rows, self.mesh.sagas.Signal, signal)

    def test_signal_of_nothing(self):
        call = self.mesh.sagas.Signal
        self.check("", call, signal(saga_id=uuid7()), "NOT_FOUND", "NOT_FOUND", field="saga_id")
        self.check(
            "", call, signal(name="weather"), "FAILED_PRECONDITION", "UNKNOWN_EVENT", field="name"
        )

    def test_signal_of_a_saga_that_has_ended(self):
        before = contents({"saga": ("journal_final", "op")})
        answer = self.mesh.sagas.Signal(signal(saga_id=paid), timeout=5)
        self.assertEqual(answer.outcome, saga_service_pb2.SIGNAL_OUTCOME_DROPPED)
        self.assertEqual(contents({"saga": ("journal_final", "op")}), before)

    def test_watch(self):
        def watch(**change):
            fields = dict(saga_id=waiting, known_version=self.version, wait_ms=1)
            return saga_service_pb2.WatchRequest(**{**fields, **change})

        rows = (
            ("none", dict(saga_id=""), "saga_id", "is missing"),
            ("no id", dict(saga_id="1"), "saga_id", "36-character"),
            ("negative", dict(known_version=-1), "known_version", "0 to"),
            ("negative", dict(wait_ms=-1), "wait_ms", "0 to 20000"),
            ("too long", dict(wait_ms=20001), "wait_ms", "0 to 20000"),
        )
        self.refuse(rows, self.mesh.sagas.Watch, watch)
        self.check("", self.mesh.sagas.Watch, watch(saga_id=uuid7()), "NOT_FOUND", "NOT_FOUND")
