"""Stories of PostgreSQL being away, as those see it who come over HTTP: 503 and when to come again,
nothing is lost, and all is well once it is back."""

import base64
import hashlib
import hmac
import json
import time

import story
import test_bff
from external import External
from mesh import uuid7
from patience import wait_until
from story import GO_ON_SECONDS, Away


class PostgresAway(test_bff.Bff, External):
    def setUp(self):
        super().setUp()
        self.customer = f"customer {next(story.numbers)}"

    def without_postgres(self):
        return Away(lambda: self.mesh.stop("postgres"), lambda: self.mesh.start("postgres"))

    def order(self, sku, key):
        """The answer to an order of two pieces, paid at the provider."""
        wish = self.wish(self.customer, [(sku, 2)], method="external", provider="sandbox")
        return self.post(self.customer, wish, key)

    def get(self, path):
        return self.ask("GET", path, token=self.token(self.customer))

    def assert_come_again(self, answer):
        self.assertEqual((answer.status, answer.type), (503, "application/problem+json"), answer)
        self.assertGreater(int(answer.headers["Retry-After"]), 0, answer)

    def until_back(self, send, status):
        """The answer, once it is no longer 503."""
        answer = wait_until(
            lambda: (answer := send()).status != 503 and answer, GO_ON_SECONDS, "bff serves again"
        )
        self.assertEqual(answer.status, status, answer)
        return answer

    def orders_of_customer(self):
        statement = f"SELECT id FROM orders WHERE customer_id = '{self.customer}'"
        return [row[0] for row in self.mesh.psql("orders", statement)]

    def test_an_order_is_placed_and_looked_at(self):
        sku, key, other_key = self.product(500, pieces=10), uuid7(), uuid7()
        first = self.order(sku, key).json
        path = f"/api/v1/orders/{first['orderNo']}"
        with self.without_postgres():
            self.assert_come_again(self.order(sku, other_key))  # a new one
            self.assert_come_again(self.order(sku, key))  # one that was answered before
            self.assert_come_again(self.get(path))
            self.assert_come_again(self.ask("POST", f"{path}/cancel", token=self.token(self.customer)))
            self.assert_come_again(self.get("/api/v1/products"))
        self.assertEqual(
            self.until_back(lambda: self.get(path), 200).json["status"],
            "WAITING_PAYMENT",
        )
        self.assertEqual(self.orders_of_customer(), [first["orderNo"]])
        again = self.until_back(lambda: self.order(sku, key), 201)
        self.assertEqual(again.json["orderNo"], first["orderNo"])
        second = self.until_back(lambda: self.order(sku, other_key), 201)
        self.assertEqual(
            sorted(self.orders_of_customer()), [first["orderNo"], second.json["orderNo"]])
        for order in (first, second.json):
            self.provider.pay(self.waiting(order["orderNo"]).id)
            self.assert_paid(order["orderNo"], total_minor=1000)
        self.assert_stock(sku, free=6, sold=4)

    def test_a_webhook_comes(self):
        """The provider's own comes again by itself; ours is not stored, and then it is, once."""
        sku = self.product(500, pieces=10)
        order = self.order(sku, uuid7()).json
        payment = self.waiting(order["orderNo"])
        said = dict(id=payment.id, status="PENDING", amount=1000, currency="EUR")
        with self.without_postgres():
            self.provider.pay(payment.id)
            self.assert_come_again(self.webhook("msg_away", **said))
            wait_until(lambda: self.attempts(payment) > 0, GO_ON_SECONDS, "the provider has tried")
        answer = self.until_back(lambda: self.webhook("msg_away", **said), 200)
        self.assertEqual(answer.json, {"outcome": "STORED"})
        self.assertEqual(self.webhook("msg_away", **said).json, {"outcome": "DUPLICATE"})
        self.assert_paid(order["orderNo"], total_minor=1000)
        settled = self.assert_settled(order["orderNo"], "SUCCEEDED", "TAKEN")
        self.assertEqual(settled.webhooks, 2, "ours and the provider's")

    def webhook(self, event_id, **data):
        """Signed as the provider signs; the answer with its headers."""
        body = json.dumps({"type": "payment.updated", "data": data}).encode()
        secret = (self.mesh.secrets / "webhook-secret").read_text().strip()
        key, stamp = base64.b64decode(secret.removeprefix("whsec_")), str(int(time.time()))
        signed = hmac.new(key, f"{event_id}.{stamp}.".encode() + body, hashlib.sha256).digest()
        headers = {
            "webhook-id": event_id,
            "webhook-timestamp": stamp,
            "webhook-signature": "v1," + base64.b64encode(signed).decode(),
        }
        return self.ask("POST", "/webhooks/sandbox", body, headers=headers, port=self.mesh.webhook_port)

    def attempts(self, payment):
        webhooks = self.provider.record(payment.id)["webhooks"]
        return sum(webhook["attempts"] for webhook in webhooks)
