"""Stories of traces: one trace from bff over Kafka to alerts, what a stranger's flag and a kill change of it, and a collector
that is slow, away or full, while orders go on.

The programs of all stories are started anew with a collector, and once more without it when these are over.
"""

import http.client
import random
import re
import time

import story
from collector import Collector
from external import External
from frontend import Bff
from mesh import uuid7

STRANGER = "00f067aa0ba902b7"


class Traces(Bff, External):
    @classmethod
    def setUpClass(cls):
        cls.collector = Collector()
        cls.restart(story.shared.get(), {name: cls.collector.environment() for name in cls.programs()})

    @classmethod
    def tearDownClass(cls):
        """A sanitizer looks at what the programs leave, so it is these that must end well."""
        try:
            if story.shared.mesh is not None:
                cls.restart(story.shared.mesh, {})
        finally:
            cls.collector.close()
        super().tearDownClass()

    @classmethod
    def programs(cls):
        """In the order that they start."""
        return [name for name in story.shared.get().programs if name not in ("broker", "provider")]

    @classmethod
    def restart(cls, mesh, environments, names=None):
        names = names or cls.programs()
        for name in reversed(names):
            if mesh.programs[name].process is not None:
                status = mesh.stop(name)
                assert status == 0, f"{name} ended with {status}:\n{mesh.log_tail(name, 50)}"
        for name in names:
            mesh.start(name, environment=environments.get(name))

    def setUp(self):
        if story.shared.mesh is None:  # a story before this one failed, and took its mesh along
            environments = {name: self.collector.environment() for name in self.programs()}
            self.restart(story.shared.get(), environments)
        super().setUp()

    def tearDown(self):
        self.collector.status = 200
        self.collector.hangs.clear()
        super().tearDown()
        self.assertEqual(self.collector.flaws, [])
        self.assertEqual(self.collector.doubles(), [])

    def again(self, name, **variables):
        """The program once more, with other variables beside the collector's."""
        self.restart(self.mesh, {name: self.collector.environment(**variables)}, [name])

    # -- what is asked

    def post_traced(self, customer, wish, flags="00"):
        """An order of a client that names its trace; the trace, and the answer."""
        trace = f"{random.getrandbits(128) | 1:032x}"
        answer = self.ask(
            "POST",
            "/api/v1/orders",
            wish,
            self.token(customer),
            uuid7(),
            {"traceparent": f"00-{trace}-{STRANGER}-{flags}"},
        )
        self.assertIn(answer.status, (201, 202), answer)
        story.shared.placed.append(answer.json["orderNo"])
        return trace, answer.json

    def post_paid(self, count=1):
        """Orders that are paid; the last one's trace."""
        sku, customer = self.product(500, pieces=count), self.wallet(500 * count)
        for _ in range(count):
            trace, order = self.post_traced(customer, self.wish(customer, [(sku, 1)]))
            self.wait_paid(order["orderNo"])
        return trace

    def wait_paid(self, order_id):
        order = self.mesh.wait_final(order_id)
        self.assertEqual(self.pb.OrderStatus.Name(order.status), "ORDER_STATUS_PAID")

    def metric(self, name, series):
        """A number that the program shows at its ops port."""
        port = self.mesh.programs[name].ops_port
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        try:
            connection.request("GET", "/metrics")
            text = connection.getresponse().read().decode()
        finally:
            connection.close()
        found = re.search(rf"^{re.escape(series)} ([0-9]+)$", text, re.MULTILINE)
        return int(found.group(1)) if found else None

    # -- what came

    def path(self, spans, span):
        """From the root to a span, by parents; each of them has come."""
        by_id = {span.id: span for span in spans}
        path = [f"{span.service}: {span.name}"]
        while span.parent != STRANGER:
            self.assertIn(span.parent, by_id, f"{path}: its parent has not come")
            span = by_id[span.parent]
            path.append(f"{span.service}: {span.name}")
        return list(reversed(path))

    def only(self, spans, name, kind=None):
        found = [span for span in spans if span.name == name and kind in (None, span.kind)]
        self.assertEqual(len(found), 1, f"{name}: {found}")
        return found[0]

    def assert_links(self, spans):
        """What a span has a link to has come, too."""
        there = {(span.trace, span.id) for span in self.collector.all()}
        for span in spans:
            for link in span.links:
                self.assertIn(link, there, span)

    # -- stories

    def test_one_trace_from_bff_over_kafka_to_alerts(self):
        place, pay = "sagamesh.order.v1.OrderService/Place", "sagamesh.ledger.v1.LedgerSagaService/Charge"
        trace = self.post_paid()
        spans = self.collector.wait(
            trace,
            "bff: POST /api/v1/orders",
            f"bff: {place}",
            f"order-svc: {place}",
            "order-svc: op Place",
            "order-svc: sagamesh.saga.v1.SagaControlService/Start",
            "saga-svc: sagamesh.saga.v1.SagaControlService/Start",
            "saga-svc: step ReserveStock",
            "saga-svc: step ChargeWallet",
            "saga-svc: step ConfirmStock",
            "saga-svc: step MarkPaid",
            "storage-svc: op Reserve",
            "storage-svc: op Confirm",
            "account-svc: op Charge",
            "order-svc: op MarkPaid",
            "order-svc: send order-status-changed",
            "order-svc: send order-status-changed",
            "account-svc: send payment-status-observed",
            "alerts-svc: process order-status-changed",
            "alerts-svc: process order-status-changed",
            "alerts-svc: process payment-status-observed",
        )
        charge = self.only(spans, "op Charge")
        self.assertEqual(
            self.path(spans, charge),
            [
                "bff: POST /api/v1/orders",
                f"bff: {place}",
                f"order-svc: {place}",
                "order-svc: sagamesh.saga.v1.SagaControlService/Start",
                "saga-svc: sagamesh.saga.v1.SagaControlService/Start",
                "saga-svc: step ChargeWallet",
                f"saga-svc: {pay}",
                f"account-svc: {pay}",
                "account-svc: op Charge",
            ],
        )
        sent = [span for span in spans if span.kind == "PRODUCER"]
        for span in sent:
            path = self.path(spans, span)
            self.assertEqual(path[0], "bff: POST /api/v1/orders")
            self.assertEqual(span.links, [(trace, span.parent)])  # to what made the event
            self.assertEqual(span.attributes["messaging.system"], "kafka")
        heard = [span for span in spans if span.kind == "CONSUMER"]
        self.assertEqual(sorted(span.parent for span in heard), sorted(span.id for span in sent))
        for span in heard:
            self.assertEqual(span.links, [(trace, span.parent)])  # to the sending
            self.assertEqual(span.attributes["messaging.consumer.group.name"], "sagamesh-alerts")
        root = self.only(spans, "POST /api/v1/orders")
        self.assertEqual((root.kind, root.parent), ("SERVER", STRANGER))
        self.assertEqual(root.attributes["http.response.status_code"], 201)
        self.assertEqual(root.attributes["http.route"], "/api/v1/orders")
        batch = next(span for span in self.collector.all() if (span.trace, span.id) in charge.links)
        self.assertEqual((batch.service, batch.kind), ("account-svc", "CLIENT"))
        self.assertGreaterEqual(batch.attributes["sagamesh.commit_us"], 1)
        self.assert_links(spans)

    def test_a_provider_is_called_and_its_webhook_begins_a_trace(self):
        sku, customer = self.product(500, pieces=10), f"customer {next(story.numbers)}"
        wish = self.wish(customer, [(sku, 1)], method="external", provider="sandbox")
        trace, order = self.post_traced(customer, wish)
        payment = self.waiting(order["orderNo"])
        self.provider.pay(payment.id)
        self.wait_paid(order["orderNo"])
        spans = self.collector.wait(
            trace, "account-svc: POST", "saga-svc: step WaitForPayment", "saga-svc: step MarkPaid"
        )
        call = self.only(spans, "POST", "CLIENT")
        self.assertEqual(call.attributes["sagamesh.provider"], "sandbox")
        self.assertEqual(call.attributes["sagamesh.task"], "create")
        self.assertEqual(call.attributes["server.address"], "127.0.0.1")
        self.assertNotIn(payment.id, str(call.attributes))

        def heard():
            return [
                span for span in self.collector.all() if span.name == "POST /webhooks/{provider}"
            ]

        webhooks = story.wait_until(heard, 30, "a webhook's span")
        self.assertTrue(all(span.parent == "" and span.trace != trace for span in webhooks))

    def test_a_step_is_one_span_though_its_orchestrator_is_killed(self):
        sku, customer = self.product(500, pieces=10), f"customer {next(story.numbers)}"
        wish = self.wish(customer, [(sku, 1)], method="external", provider="sandbox")
        trace, order = self.post_traced(customer, wish)
        payment = self.waiting(order["orderNo"])
        self.collector.wait(trace, "saga-svc: step MarkWaiting")
        self.mesh.kill("saga")
        self.provider.pay(payment.id)
        self.mesh.start("saga", environment=self.collector.environment())
        self.wait_paid(order["orderNo"])
        spans = self.collector.wait(trace, "saga-svc: step WaitForPayment", "saga-svc: step MarkPaid")
        self.only(spans, "step WaitForPayment")  # it began before the kill, and ended after it
        self.path(spans, self.only(spans, "step MarkPaid"))

    def test_a_strangers_flag_forces_nothing(self):
        self.again("bff", OTEL_TRACES_SAMPLER="parentbased_traceidratio", OTEL_TRACES_SAMPLER_ARG="0")
        try:
            sku, customer = self.product(500, pieces=1), self.wallet(500)
            trace, order = self.post_traced(customer, self.wish(customer, [(sku, 1)]), flags="01")
            self.wait_paid(order["orderNo"])
        finally:
            self.again("bff")
        recorded = self.post_paid()  # what was recorded before it has come when this has
        self.collector.wait(recorded, "bff: POST /api/v1/orders", "saga-svc: step MarkPaid")
        self.assertEqual(self.collector.of(trace), [])
        events = self.mesh.psql(
            "orders", f"SELECT DISTINCT traceparent FROM event WHERE aggregateid = '{order['orderNo']}'"
        )
        self.assertEqual([row[0][3:35] for row in events], [trace])  # the id is there all the same
        self.assertTrue(all(row[0].endswith("-00") for row in events), events)

    def test_a_collector_in_trouble_costs_spans_alone(self):
        """It hangs, then refuses, then is full: orders are paid at their pace, spans are dropped and counted."""
        small = {
            "OTEL_BSP_MAX_QUEUE_SIZE": "8",
            "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "4",
            "OTEL_BSP_EXPORT_TIMEOUT": "200",
        }
        full, failed = (f'otel_spans_dropped_total{{reason="{why}"}}' for why in ("queue_full", "failed"))
        self.again("account", **small)
        self.collector.hangs.set()
        began = time.monotonic()
        self.post_paid(count=20)
        hung_seconds = time.monotonic() - began
        self.wait_metric("account", full)
        self.wait_metric("account", failed)
        self.collector.hangs.clear()
        for status in (500, 429):
            before, refused = self.metric("account", failed), self.collector.refused
            self.collector.status = status
            self.post_paid(count=4)
            self.wait_metric("account", failed, more_than=before)
            self.assertGreater(self.collector.refused, refused)
        self.collector.status = 200
        began = time.monotonic()
        self.post_paid(count=20)
        well_seconds = time.monotonic() - began
        self.assertLess(hung_seconds, 10 * well_seconds + 5)
        self.wait_metric("account", "otel_spans_exported_total")
        self.collector.hangs.set()  # also at the stop
        self.again_in_time("account")

    def again_in_time(self, name):
        """A stop waits for a collector that hangs no longer than its drain."""
        began = time.monotonic()
        self.assertEqual(self.mesh.stop(name), 0)
        self.assertLess(time.monotonic() - began, 15 * story.PATIENCE)
        self.collector.hangs.clear()
        self.mesh.start(name, environment=self.collector.environment())

    def wait_metric(self, name, series, more_than=0):
        story.wait_until(
            lambda: (self.metric(name, series) or 0) > more_than, 30, f"{series} of {name} grows"
        )

    def test_a_stop_sends_what_is_there(self):
        self.again("bff", OTEL_BSP_SCHEDULE_DELAY="600000")
        trace = self.post_paid()
        self.collector.wait(trace, "saga-svc: step MarkPaid")
        self.assertEqual([span for span in self.collector.of(trace) if span.service == "bff"], [])
        self.again("bff")
        self.collector.wait(trace, "bff: POST /api/v1/orders", seconds=5)

    def test_without_a_collector_nothing_is_to_be_seen(self):
        """bff sends no spans, shows no metrics of them, and passes the trace on as not recorded."""
        self.restart(self.mesh, {}, ["bff"])
        try:
            self.assertIsNone(self.metric("bff", "otel_spans_recorded_total"))
            trace = self.post_paid()
        finally:
            self.again("bff")
        recorded = self.post_paid()
        self.collector.wait(recorded, "saga-svc: step MarkPaid")
        self.assertEqual(self.collector.of(trace), [])
