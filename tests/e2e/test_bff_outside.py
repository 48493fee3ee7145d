"""bff between providers, services and those who watch over it: payments, webhooks, health, metrics."""

import concurrent.futures
import http.client
import json
import signal
import socket

import external
from frontend import Bff
from mesh import PLACE_WAIT_SECONDS, uuid7
from patience import wait_until
from watch import samples


class AtTheProvider(Bff):
    def setUp(self):
        super().setUp()
        self.provider = external.Provider(self.mesh)

    def post_external(self, **payment):
        """(customer, order as answered)"""
        sku, customer = self.product(500, pieces=10), f"c-{uuid7()}"
        wish = self.wish(customer, [(sku, 2)], method="external", provider="sandbox", **payment)
        answer = self.post(customer, wish)
        self.assertEqual((answer.status, answer.json["status"]), (201, "WAITING_PAYMENT"), answer)
        return customer, answer.json

    def look_until_paid(self, customer, order_no, seconds):
        path, token = f"/api/v1/orders/{order_no}", self.token(customer)
        return wait_until(
            lambda: (lambda order: order if order["status"] != "WAITING_PAYMENT" else None)(
                self.ask("GET", path, token=token).json
            ),
            seconds,
            "decided",
        )

    def test_paid(self):
        customer, order = self.post_external(returnUrl="https://shop.example/back")
        self.assertEqual((order["total"], order["payment"]["status"]), (1000, "WAITING"))
        self.assertIn(self.mesh.address("provider"), order["payment"]["url"])
        self.assertGreater(order["payment"]["expiresAt"], order["placedAt"])
        self.provider.pay(order["payment"]["id"])
        paid = self.look_until_paid(customer, order["orderNo"], 20)
        self.assertEqual((paid["status"], paid["payment"]["status"]), ("PAID", "PAID"))
        self.assertNotIn("url", paid["payment"])

    def test_somebody_who_looks_needs_no_webhook(self):
        customer, order = self.post_external()
        payment = order["payment"]["id"]
        self.provider.faults("lost", payment=payment)
        self.provider.pay(payment)
        # The service itself would ask after a minute.
        paid = self.look_until_paid(customer, order["orderNo"], 30)
        self.assertEqual(paid["status"], "PAID")

    def test_the_customer_who_returns_needs_no_webhook(self):
        customer, order = self.post_external(returnUrl="https://shop.example/back")
        payment = order["payment"]["id"]
        self.provider.faults("lost", payment=payment)
        self.provider.pay(payment)
        answer = self.ask(
            "POST", f"/api/v1/orders/{order['orderNo']}/returned", {}, self.token(customer)
        )
        self.assertEqual(answer.status, 202, answer)
        self.assertEqual(answer.json, {"orderNo": order["orderNo"], "status": "WAITING_PAYMENT"})
        # Nobody looks through bff; the service itself would ask after a minute.
        wait_until(
            lambda: self.status(order["orderNo"]) == "PAID", 30, "the provider was asked at once"
        )

    def test_webhooks_are_checked_and_known_again(self):
        customer, order = self.post_external()
        payment, event = order["payment"]["id"], f"msg_{uuid7()}"
        paid = {"id": payment, "status": "SUCCEEDED", "amount": 1000, "currency": "EUR"}
        status, answer = self.provider.say(event, secret="whsec_" + "A" * 32, **paid)
        self.assertEqual((status, answer["code"]), (401, "BAD_SIGNATURE"))
        path = f"/api/v1/orders/{order['orderNo']}"
        answer = self.ask("GET", path, token=self.token(customer))
        self.assertEqual(answer.json["status"], "WAITING_PAYMENT")
        pending = {**paid, "status": "PENDING"}
        self.assertEqual(self.provider.say(event, **pending), (200, {"outcome": "STORED"}))
        self.assertEqual(self.provider.say(event, **pending), (200, {"outcome": "DUPLICATE"}))
        self.provider.pay(payment)
        self.look_until_paid(customer, order["orderNo"], 20)

    def test_unknown_provider(self):
        sku, customer = self.product(500, pieces=10), f"c-{uuid7()}"
        wish = self.wish(customer, [(sku, 1)], method="external", provider="nobody")
        answer = self.post(customer, wish)
        self.assertEqual((answer.status, answer.json["status"]), (201, "FAILED"), answer)
        self.assertEqual(answer.json["reason"], "UNKNOWN_PROVIDER")


class Webhooks(Bff):
    def test_a_header_that_is_no_utf8_loses_nothing(self):
        """Latin-1 in one that some proxy has added, beside those that are signed."""
        body, event = json.dumps({"type": "nothing.of.ours", "data": {}}), f"msg_{uuid7()}"
        lines = external.Provider(self.mesh).signed(event, body)
        head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        with socket.create_connection(("127.0.0.1", self.mesh.webhook_port)) as raw:
            raw.settimeout(20)
            raw.sendall(
                f"POST /webhooks/sandbox HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
                f"X-City: K\xf6ln\r\n{head}Content-Length: {len(body)}\r\n\r\n{body}".encode("latin-1")
            )
            answer = http.client.HTTPResponse(raw)
            answer.begin()
            self.assertEqual((answer.status, answer.read()), (200, b'{"outcome":"IGNORED"}'))

    def test_unknown_provider(self):
        answer = self.ask("POST", "/webhooks/nobody", b"{}", port=self.mesh.webhook_port)
        self.problem(answer, 404, "UNKNOWN_PROVIDER")

    def test_too_large(self):
        body = b"x" * (256 * 1024 + 1)
        answer = self.ask("POST", "/webhooks/nobody", body, port=self.mesh.webhook_port)
        self.assertEqual(answer.status, 413)

    def test_nothing_else_on_that_port(self):
        for path in ("/api/v1", "/openapi.jsonx", "/webhooks", "/webhooks/a/b"):
            answer = self.ask("GET", path, port=self.mesh.webhook_port)
            self.problem(answer, 404, "NOT_FOUND")
        with self.assertRaisesRegex(AssertionError, "not in the document.*no such path here"):
            self.ask("GET", "/api/v1/products", port=self.mesh.webhook_port)


class Health(Bff):
    def is_ready(self):
        return self.ask("GET", "/readyz").status == 200

    def test_services_away(self):
        sku, customer, key = self.product(500, pieces=10), self.wallet(2000), uuid7()
        wish = self.wish(customer, [(sku, 1)])
        wait_until(self.is_ready, 10, "ready")
        self.mesh.kill("order")
        try:
            wait_until(lambda: not self.is_ready(), 10, "not ready")
            answer = self.ask("GET", "/readyz")
            self.assertEqual(answer.json["services"]["order"], "NOT_SERVING")
            self.assertEqual(answer.json["services"]["storage"], "SERVING")
            self.assertEqual(self.ask("GET", "/livez").status, 200)
            answer = self.post(customer, wish, key)
            self.assertEqual(answer.status, 503, answer)
            # Whether Place arrived nobody knows, so it is as long as the lock of a key.
            self.assertEqual(int(answer.headers["Retry-After"]), PLACE_WAIT_SECONDS + 3)
        finally:
            self.mesh.start("order")
        wait_until(self.is_ready, 10, "ready again")
        answer = self.post(customer, wish, key)
        self.assertEqual((answer.status, answer.json["status"]), (201, "PAID"), answer)
        self.assertEqual(self.mesh.balance(customer), 1500)

    def test_sigterm_drains(self):
        """/readyz says it first, then the port closes, and who was there is still answered."""
        wish, customer = self.wish_of_one()
        program = self.mesh.programs["bff"]
        self.mesh.flags["bff"] = ["--unready-ms=600000", "--drain-ms=30000"]
        self.mesh.restart("bff")
        self.mesh.pause("storage")
        try:
            with concurrent.futures.ThreadPoolExecutor(1) as pool:
                asked, _ = self.post_and_pause_order(pool, customer, wish)
                program.process.send_signal(signal.SIGTERM)
                wait_until(self.is_stopping, 10, "it says that it stops")
                self.assertEqual(self.ask("GET", "/livez").status, 200)
                program.process.send_signal(signal.SIGTERM)  # enough of that
                wait_until(self.is_closed, 10, "the port closed")
                self.assertFalse(asked.done())
                self.mesh.resume("order")
                answer = asked.result()
            self.assertEqual(answer.status, 202, answer)
            self.assertEqual(answer.headers["Connection"], "close")
            self.assertEqual(self.mesh.wait_ended("bff"), 0)
        finally:
            del self.mesh.flags["bff"]
            self.mesh.resume("order")
            self.mesh.resume("storage")
            if program.is_alive():
                self.mesh.kill("bff")
            self.mesh.start("bff")
        self.assert_paid(answer.json["orderNo"], total_minor=500)

    def wish_of_one(self):
        """A piece of something, and who wants it and has a token."""
        sku, customer = self.product(500, pieces=10), self.wallet(5000)
        self.token(customer)
        return self.wish(customer, [(sku, 1)]), customer

    def post_and_pause_order(self, pool, customer, wish):
        """A POST that is not answered before order goes on, and its key. One that took so long to be
        placed that it is answered already is none."""
        for count in range(1, 6):
            key = uuid7()
            asked = pool.submit(self.post, customer, wish, key)
            wait_until(lambda: self.count_orders(customer) == count, 10, "the order placed")
            self.mesh.pause("order")
            if not asked.done():
                return asked, key
            self.mesh.resume("order")
        raise AssertionError("every POST was answered before order was paused")

    def is_stopping(self):
        return self.ask("GET", "/readyz").json["status"] == "stopping"

    def test_the_drain_has_an_end(self):
        """Calls under way end with the clients; nobody is left who could send another."""
        wish, customer = self.wish_of_one()
        self.mesh.flags["bff"] = ["--unready-ms=0", "--drain-ms=0"]
        self.mesh.restart("bff")
        self.mesh.pause("storage")
        try:
            with concurrent.futures.ThreadPoolExecutor(1) as pool:
                asked, key = self.post_and_pause_order(pool, customer, wish)
                placed = self.count_orders(customer)
                self.assertEqual(self.mesh.stop("bff"), 0)
                self.assertRaises((OSError, http.client.HTTPException), asked.result)
        finally:
            del self.mesh.flags["bff"]
            self.mesh.resume("order")
            self.mesh.resume("storage")
            self.mesh.start("bff")
        answer = self.post_after_the_lock(customer, wish, key)
        self.assertEqual((answer.status, answer.json["status"]), (201, "PAID"), answer)
        self.assertEqual(self.count_orders(customer), placed)

    def is_closed(self):
        try:
            socket.create_connection(("127.0.0.1", self.mesh.programs["bff"].port), 5).close()
        except ConnectionRefusedError:
            return True
        except ConnectionResetError:
            pass  # it closed meanwhile: the next look is refused
        return False

    def test_webhooks_wait_for_the_service(self):
        self.mesh.kill("account")
        try:
            answer = self.ask("POST", "/webhooks/sandbox", b"{}", port=self.mesh.webhook_port)
            self.assertEqual(answer.status, 503, answer)
            self.assertEqual(answer.headers["Retry-After"], "1")
        finally:
            self.mesh.start("account")

    def samples(self):
        return samples(self.mesh.programs["bff"])

    def test_metrics(self):
        self.ask("GET", "/livez")
        samples = self.samples()
        name = 'sagamesh_http_answers_total{method="GET",route="/livez",status="200"}'
        self.assertGreaterEqual(samples[name], 1)
        bounds = [v for k, v in samples.items() if "_bucket" in k and '"/livez"' in k]
        self.assertEqual(bounds, sorted(bounds))

    def test_what_the_library_refuses_is_counted(self):
        port = self.mesh.programs["bff"].port
        names = [f'sagamesh_http_own_answers_total{{port="api",status="{n}"}}' for n in (400, 401, 404)]
        names += ['sagamesh_http_requests_total{port="api"}', 'sagamesh_http_refused_total{port="api"}']
        before = self.samples()
        self.ask("GET", "/api/v1/products")
        self.ask("GET", "/nowhere")
        with socket.create_connection(("127.0.0.1", port)) as raw:
            raw.settimeout(10)
            raw.sendall(b"GET / HTTP/1.1\r\n\r\n")
            self.assertTrue(raw.recv(64).startswith(b"HTTP/1.1 400 "))
        after = self.samples()
        grown = [after.get(name, 0) - before.get(name, 0) for name in names]
        self.assertEqual(grown, [1, 1, 1, 3, 3])

    def test_webhooks_are_counted_by_provider_and_outcome(self):
        provider = external.Provider(self.mesh)
        outcomes = ("STORED", "DUPLICATE", "IGNORED", "QUERY", "BAD_SIGNATURE")
        names = [f'sagamesh_webhooks_total{{provider="sandbox",outcome="{o}"}}' for o in outcomes]
        event, before = f"msg_{uuid7()}", self.samples()
        body = json.dumps({"type": "balance.changed", "data": {}})
        for outcome in ("IGNORED", "DUPLICATE", "DUPLICATE"):
            headers = provider.signed(event, body)
            answer = self.ask(
                "POST", "/webhooks/sandbox", body.encode(), headers=headers, port=self.mesh.webhook_port
            )
            self.assertEqual((answer.status, answer.json), (200, {"outcome": outcome}))
        self.assertEqual(provider.say(event, secret="whsec_" + "A" * 32)[0], 401)
        self.ask("POST", "/webhooks/nobody", b"{}", port=self.mesh.webhook_port)
        after = self.samples()
        grown = [after.get(name, 0) - before.get(name, 0) for name in names]
        # An earlier story's webhooks may still be repeated, but none is of another type.
        self.assertEqual(grown[2], 1)
        self.assertGreaterEqual(grown[1], 2)
        self.assertGreaterEqual(grown[4], 1)
        self.assertNotIn("nobody", "".join(after))

    def test_head(self):
        answer = self.ask("HEAD", "/livez")
        self.assertEqual((answer.status, answer.headers["Content-Length"]), (200, "18"))
