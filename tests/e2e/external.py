"""What stories of external payments have in common: the sandbox provider as its payers and its operator
see it, bff over HTTP, and a look at our own books.

    payment = self.waiting(order_id)          # once the customer can pay
    self.provider.pay(payment.id)
    self.assert_paid(order_id, total_minor=1000)
"""

import base64
import collections
import hashlib
import hmac
import http.client
import json
import time

import frontend
import story
from mesh import uuid7
from patience import wait_until

Payment = collections.namedtuple(
    "Payment", "id order_id observed claim is_quarantined amount_minor refunds url polls webhooks"
)
OBSERVED = ("", "CREATED", "PENDING", "AUTHORIZED", "FAILED", "EXPIRED", "CANCELED", "SUCCEEDED")
CLAIMS = ("", "OPEN", "TAKEN", "ABANDONED", "RETURNED")
# When the service itself looks after a payment that nobody else looks at, and some time to say so.
EXPIRES_SECONDS = 60
OWN_POLL_SECONDS = 75


def http_json(address, method, path, body=None, headers=(), timeout=20, mesh=None):
    """(status, what was said as JSON, or as text). mesh: of bff or provider, which speak TLS where it has TLS."""
    connection = mesh.connect(address, timeout) if mesh else http.client.HTTPConnection(address, timeout=timeout)
    headers = dict(headers)
    if isinstance(body, dict):
        headers.setdefault("Content-Type", "application/json")
        body = json.dumps(body)
    try:
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        text = answer.read().decode()
    finally:
        connection.close()
    is_json = (answer.getheader("Content-Type") or "").split(";")[0].endswith("json")
    return answer.status, json.loads(text) if is_json and text else text


class Provider:
    """The sandbox, at the addresses of a mesh."""

    def __init__(self, mesh):
        self.mesh = mesh

    def ask(self, method, path, body=None):
        key = (self.mesh.secrets / "provider-key").read_text().strip()
        headers = {"Authorization": f"Bearer {key}", "Accept": "application/json"}
        return http_json(self.mesh.address("provider"), method, path, body, headers, mesh=self.mesh)

    def press(self, payment_id, button):
        status, answer = self.ask("POST", f"/checkout/{payment_id}/{button}")
        assert status == 200, (status, answer)
        return answer["status"]

    def pay(self, payment_id):
        return self.press(payment_id, "pay")

    def faults(self, *faults, payment="*", times=1, tell=False):
        """For a payment, or for the next ones. tell: it says by webhook how that payment stands."""
        body = {"payment": payment, "faults": list(faults)}
        if tell:
            body["tell"] = True
        if payment == "*":
            body["times"] = times
        status, answer = self.ask("POST", "/faults", body)
        assert status == 204, (status, answer)

    def record(self, payment_id):
        """A payment in its books."""
        status, record = self.ask("GET", f"/books/{payment_id}")
        assert status == 200, (status, record)
        return record

    def say(self, event_id, secret=None, timestamp=None, **data):
        """Posts a webhook of our own making, signed as the provider signs. Status and answer."""
        body = json.dumps({"type": "payment.updated", "data": data})
        headers = self.signed(event_id, body, secret, timestamp)
        port = self.mesh.webhook_port
        answer = frontend.ask(self.mesh, "POST", "/webhooks/sandbox", body, headers, port)
        return answer.status, answer.json

    def signed(self, event_id, body, secret=None, timestamp=None):
        """The headers of a webhook, as the provider signs them."""
        if secret is None:
            secret = (self.mesh.secrets / "webhook-secret").read_text().strip()
        stamp = str(int(time.time()) if timestamp is None else timestamp)
        key = base64.b64decode(secret.removeprefix("whsec_"))
        signed = hmac.new(key, f"{event_id}.{stamp}.{body}".encode(), hashlib.sha256).digest()
        return {
            "Content-Type": "application/json",
            "webhook-id": event_id,
            "webhook-timestamp": stamp,
            "webhook-signature": "v1," + base64.b64encode(signed).decode(),
        }


def pay_within_a_minute(states):
    states["CreatePayment"]["Input"][0]["expiresSeconds"] = EXPIRES_SECONDS


def pay_in_seconds(states):
    """The order waits this long only, whatever the provider says."""
    states["WaitForPayment"]["TimeoutSeconds"] = 2
    del states["WaitForPayment"]["Deadline"]


class External(story.Story):
    def setUp(self):
        super().setUp()
        self.provider = Provider(self.mesh)

    # -- making

    def place_external(self, pieces=2, unit_price_minor=500, faults=(), **options):
        """An order of a customer who pays at the provider; its id and its product."""
        sku = self.product(unit_price_minor, pieces=10)
        if faults:
            self.provider.faults(*faults)
        customer = f"customer {next(story.numbers)}"
        return self.place(customer, [(sku, pieces)], provider="sandbox", **options), sku

    def bff(self, method, path, body=None, customer="ada", headers=()):
        """Status and answer, which the document allows."""
        headers = {"Authorization": f"Bearer {self.mesh.token(customer)}", **dict(headers)}
        if body is not None:
            headers["Content-Type"] = "application/json"
            body = json.dumps(body)
        answer = frontend.ask(self.mesh, method, path, body, headers)
        return answer.status, answer.json

    def post_order(self, sku, quantity, customer="ada"):
        """Over HTTP; the answer's status and body."""
        body = {
            "customerId": customer,
            "currency": "EUR",
            "items": [{"sku": sku, "quantity": quantity}],
            "payment": {"method": "external", "provider": "sandbox"},
        }
        key = {"Idempotency-Key": uuid7()}
        status, order = self.bff("POST", "/api/v1/orders", body, customer, key)
        if "orderNo" in order:
            story.shared.placed.append(order["orderNo"])
        return status, order

    # -- looking

    def payment(self, order_id):
        """Our books' payment of an order, or None."""
        rows = self.mesh.psql(
            "account",
            "SELECT p.id, p.order_id, p.observed, p.claim, p.is_quarantined, p.amount_minor,"
            " replace(p.refunds, E'\\n', ';'), p.url, t.polls,"
            " (SELECT count(*) FROM payment_inbox i WHERE i.payment_id = p.id)"
            " FROM payment p LEFT JOIN provider_task t ON t.payment_id = p.id"
            f" WHERE p.order_id = '{order_id}'",
        )
        self.assertLessEqual(len(rows), 1)
        if not rows:
            return None
        id, order, observed, claim, quarantined, amount, refunds, url, polls, webhooks = rows[0]
        return Payment(
            id, order, OBSERVED[int(observed)], CLAIMS[int(claim)], quarantined == "t",
            int(amount), refunds, url, int(polls), int(webhooks),
        )

    def wait_payment(self, order_id, what, condition, seconds=20):
        def met():
            payment = self.payment(order_id)
            return payment if payment and condition(payment) else None

        return wait_until(met, seconds, f"the payment of {order_id} {what}")

    def waiting(self, order_id, seconds=20):
        """The payment, once the order says that it can be paid, and where."""
        wait_until(
            lambda: self.status(order_id) == "WAITING_PAYMENT", seconds, f"{order_id} can be paid"
        )
        payment, order = self.payment(order_id), self.mesh.order(order_id)
        self.assertEqual((payment.observed, payment.claim), ("CREATED", "OPEN"))
        self.assertEqual((order.payment_id, order.payment_url), (payment.id, payment.url))
        return payment

    def assert_settled(self, order_id, observed, claim, refunded_minor=0):
        """So it stands in our books; and the provider's say the same."""
        payment = self.wait_payment(
            order_id,
            f"{observed} {claim}, refunded {refunded_minor}",
            lambda p: (p.observed, p.claim, bool(p.refunds)) == (observed, claim, refunded_minor > 0),
        )
        record = self.provider.record(payment.id)
        self.assertEqual(record["status"], observed, record)
        self.assertEqual(
            [refund["amount"] for refund in record["refunds"]],
            [refunded_minor] if refunded_minor else [],
        )
        return payment
