"""Metrics of a mesh: what docs/METRICS.md says and what programs show are the same, and numbers are exact."""

import alerts
import metrics
from external import External, http_json
from mesh import uuid7
from patience import wait_until

PLACE = 'rpc_server_call_duration_seconds_count{method="sagamesh.order.v1.OrderService/Place",code="OK"}'
CHARGE = 'rpc_client_call_duration_seconds_count{method="sagamesh.ledger.v1.LedgerSagaService/Charge",code="OK"}'
DEFINITION = 'definition="order_create_saga"'


class Metrics(External):
    def scrape(self, program):
        return metrics.scrape(self.mesh, program)

    def grown(self, program, before, *series):
        """By how much these numbers of a program are larger than they were."""
        after = self.scrape(program)
        return [after[name] - before[name] for name in series]

    def wait_shown(self, program, series, value):
        wait_until(lambda: self.scrape(program)[series] == value, 30, f"{program} shows {series} {value}")

    def test_programs_show_what_the_document_says(self):
        self.placed_and_paid_in_all_ways()
        for program, says in metrics.described().items():
            if program not in self.mesh.programs:
                continue
            with self.subTest(program):
                shown = self.scrape(program).metrics
                self.assertEqual(sorted(set(says) - set(shown)), [], "are not shown")
                self.assertEqual(sorted(set(shown) - set(says)), [], "are not described")
                for name, metric in shown.items():
                    self.assertEqual(metric.type, says[name].type, name)
                    if metric.labels is not None:  # it has a series
                        self.assertEqual(metric.labels, says[name].labels, name)

    def placed_and_paid_in_all_ways(self):
        """Two orders that are paid from a wallet and one that fails, one at a provider."""
        sku, customer = self.product(500, pieces=100), self.wallet(5000)
        for _ in range(2):
            self.assert_paid(self.place(customer, [(sku, 1)]), total_minor=500)
        self.assert_failed(self.place(customer, [(sku, 1000)]), "NO_STOCK")
        order_id = self.place(customer, [(sku, 2)], provider="sandbox")
        self.provider.pay(self.waiting(order_id).id)
        self.assert_paid(order_id, total_minor=1000)
        return order_id

    def test_orders_and_what_they_set_off_are_counted_exactly(self):
        names = ("order", "saga", "account", "storage", "bff", "provider")
        before = {name: self.scrape(name) for name in names}
        self.placed_and_paid_in_all_ways()
        self.assertEqual(
            self.grown(
                "order",
                before["order"],
                PLACE,
                "sagamesh_orders_placed_total",
                'sagamesh_order_duration_seconds_count{status="PAID"}',
                'sagamesh_order_duration_seconds_count{status="FAILED"}',
            ),
            [4, 4, 3, 1],
        )
        wait_until(
            lambda: self.grown(
                "saga",
                before["saga"],
                f"sagamesh_sagas_started_total{{{DEFINITION}}}",
                f'sagamesh_saga_duration_seconds_count{{{DEFINITION},status="SU",compensation=""}}',
            )
            == [4, 3],
            20,
            "the sagas have ended",
        )
        self.assertEqual(self.grown("saga", before["saga"], CHARGE), [2])
        # Two charges, and the payment that was taken.
        events = self.grown("account", before["account"], "sagamesh_batch_commits_total")[0]
        self.assertGreaterEqual(events, 3)
        tasks = [
            f'sagamesh_provider_request_duration_seconds_count{{provider="sandbox",task="{task}",outcome="known"}}'
            for task in ("create",)
        ]
        self.assertEqual(self.grown("account", before["account"], *tasks), [1])
        taken = "sagamesh_sandbox_payments"
        self.assertEqual(self.grown("provider", before["provider"], taken), [1])

    def test_webhooks_are_counted_by_outcome(self):
        def of(outcome):
            return f'{{provider="sandbox",outcome="{outcome}"}}'

        self.provider.say(f"msg_{uuid7()}", secret="whsec_" + "A" * 32)  # from here on they are shown
        bff, account = self.scrape("bff"), self.scrape("account")
        event = f"msg_{uuid7()}"
        for _ in range(2):
            status, _ = self.provider.say(event, id=uuid7(), status="COMPLETED")
            self.assertEqual(status, 200)
        self.assertEqual(self.provider.say(f"msg_{uuid7()}", secret="whsec_" + "A" * 32)[0], 401)
        self.assertEqual(
            self.grown("bff", bff, *(f"sagamesh_webhooks_total{of(word)}" for word in ("UNKNOWN_PAYMENT", "BAD_SIGNATURE"))),
            [1, 1],
        )
        words = ("UNKNOWN_PAYMENT", "DUPLICATE", "REFUSED")
        grown = self.grown("account", account, *(f"sagamesh_payment_webhooks_total{of(word)}" for word in words))
        self.assertEqual((grown[0], grown[2]), (1, 1))
        self.assertGreaterEqual(grown[1], 1)  # the provider may repeat one of an earlier story

    def test_news_that_waits_is_shown_until_it_is_out(self):
        sku, customer = self.product(500, pieces=10), self.wallet(5000)
        self.wait_shown("order", "sagamesh_outbox_unsent", 0)
        alerts.wait_heard(self.mesh)
        before = self.scrape("order")
        with self.paused("broker"):
            self.assert_paid(self.place(customer, [(sku, 1)]), total_minor=500)
            wait_until(lambda: self.scrape("order")["sagamesh_outbox_unsent"] >= 2, 30, "two events wait")
            wait_until(
                lambda: self.scrape("order")["sagamesh_outbox_oldest_seconds"] >= 5, 60, "the oldest is 5 s old"
            )
            wait_until(lambda: self.scrape("order")["sagamesh_kafka_producer_up"] == 0, 60, "Kafka is away")
            for program in ("order", "alerts"):
                self.wait_ready_with_kafka(program, "away")
            wait_until(lambda: self.scrape("alerts")["sagamesh_kafka_consumer_up"] == 0, 60, "alerts-svc is deaf")
        for program in ("order", "alerts"):
            self.wait_ready_with_kafka(program, "reached")
        self.wait_shown("order", "sagamesh_outbox_unsent", 0)
        self.wait_shown("order", "sagamesh_outbox_oldest_seconds", 0)
        self.wait_shown("order", "sagamesh_kafka_producer_up", 1)
        self.assertEqual(self.grown("order", before, "sagamesh_relay_events_total"), [2])
        self.assertEqual(self.scrape("order")["sagamesh_relay_owner"], 1)

    def wait_ready_with_kafka(self, program, word):
        """Kafka is shown, and /readyz does not depend on it: neither calls nor operators need it."""

        def shown():
            status, answer = http_json(self.mesh.programs[program].ops, "GET", "/readyz")
            return (status, answer["status"], answer["kafka"]) == (200, "ready", word)

        wait_until(shown, 60, f"{program} is ready, with Kafka {word}")

    def test_a_saga_that_is_stuck_is_shown_until_it_goes_on(self):
        stuck = 'sagamesh_sagas{definition="short_budget",phase="stuck"}'
        was = self.scrape("saga")[stuck]
        saga_ids = self.make_stuck()
        self.wait_shown("saga", stuck, was + len(saga_ids))
        for saga_id in saga_ids:
            self.sagactl("retry", saga_id, "--comment=test")
        self.wait_shown("saga", stuck, was)
