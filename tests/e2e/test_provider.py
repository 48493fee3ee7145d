"""The sandbox provider by itself, over HTTP: its API, its checkout page, its webhooks (verified here
independently), its faults on demand, and its books after kill -9."""

import base64
import concurrent.futures
import datetime
import hashlib
import hmac
import http.client
import http.server
import json
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import threading
import time
import unittest
import uuid

from patience import wait_until

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = ROOT / os.environ.get("MESH_BUILD", "build")
KEY = "a-key-of-the-test"
SECRETS = [base64.b64encode(bytes([n]) * 32).decode() for n in (7, 9)]


def is_signed(headers, body, secret):
    """Standard Webhooks 1.0.0, by its text: one of the v1 signatures is that of this secret."""
    content = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    digest = hmac.new(base64.b64decode(secret), content, hashlib.sha256).digest()
    wanted = "v1," + base64.b64encode(digest).decode()
    return wanted in headers["webhook-signature"].split(" ")


class Merchant:
    """Takes webhooks and keeps them; answers what it is told to."""

    def __init__(self):
        self.heard = []
        self.answers = []  # statuses to give first; then 200
        merchant = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"]))
                headers = {name.lower(): value for name, value in self.headers.items()}
                merchant.heard.append((time.time(), headers, body))
                self.send_response(merchant.answers.pop(0) if merchant.answers else 200)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *arguments):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/webhooks/sandbox"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def of(self, payment_id):
        """(headers, data) of what was said about a payment, in the order it came."""
        return [
            (headers, json.loads(body)["data"], is_signed(headers, body, SECRETS[0]))
            for _, headers, body in list(self.heard)
            if json.loads(body)["data"]["id"] == payment_id
        ]

    def close(self):
        self.server.shutdown()
        self.server.server_close()


class Provider:
    def __init__(self, merchant, *flags):
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="sagamesh-provider-"))
        (self.directory / "key").write_text(KEY + "\n")
        (self.directory / "secrets").write_text("".join(f"whsec_{s}\n" for s in SECRETS))
        self.flags = [f"--webhook-url={merchant.url}", *flags]
        self.port = 0
        self.start()

    def start(self):
        ready = self.directory / "ready"
        ready.unlink(missing_ok=True)
        with open(self.directory / "log", "a") as log:
            self.process = subprocess.Popen(self.command(ready), stderr=log)
        wait_until(lambda: ready.exists() or self.process.poll() is not None, 10, "it is ready")
        self.port = int(ready.read_text().split()[0])

    def command(self, ready):
        return [
            BUILD / "sandbox-provider",
            f"--listen=127.0.0.1:{self.port}",
            f"--ready-file={ready}",
            f"--api-key-file={self.directory / 'key'}",
            f"--webhook-secret-file={self.directory / 'secrets'}",
            f"--state={self.directory / 'books'}",
            *self.flags,
        ]

    def kill(self):
        self.process.kill()
        self.process.wait()

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=10)

    def close(self):
        """It ends well, if it still lives; a sanitizer looks for leaks then."""
        status = self.stop() if self.process.poll() is None else 0
        log = (self.directory / "log").read_text()[-4000:]
        shutil.rmtree(self.directory)
        assert status == 0, log

    def ask(self, method, path, body=None, key=KEY, headers=(), timeout=10):
        """(status, headers, body as text)"""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        sent = dict(headers)
        if key:
            sent["Authorization"] = f"Bearer {key}"
        if body is not None and not isinstance(body, str):
            sent["Content-Type"] = "application/json"
            body = json.dumps(body)
        try:
            connection.request(method, path, body, sent)
            answer = connection.getresponse()
            return answer.status, dict(answer.getheaders()), answer.read().decode()
        finally:
            connection.close()

    def json(self, method, path, body=None, **options):
        status, _, text = self.ask(method, path, body, **options)
        return status, json.loads(text) if text else None

    def create(self, **fields):
        request = dict(id=str(uuid.uuid4()), amount=1250, currency="EUR", description="tea")
        request.update(fields)
        status, payment = self.json("POST", "/v1/payments", request)
        assert status == 201, (status, payment)
        return payment

    def do(self, payment_id, verb):
        headers = {"Accept": "application/json"}
        return self.json("POST", f"/checkout/{payment_id}/{verb}", headers=headers)

    def record(self, payment_id):
        return self.json("GET", f"/books/{payment_id}")[1]


def soon(seconds):
    time_text = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=seconds)
    return time_text.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


class ProviderTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.merchant = Merchant()
        cls.provider = Provider(cls.merchant)

    @classmethod
    def tearDownClass(cls):
        cls.provider.close()
        cls.merchant.close()

    def heard(self, payment_id, count, seconds=5):
        """The first count webhooks about it, once they are there."""
        wait_until(
            lambda: len(self.merchant.of(payment_id)) >= count,
            seconds,
            f"{count} webhooks about {payment_id}",
        )
        return self.merchant.of(payment_id)[:count]

    def statuses(self, payment_id):
        return [data["status"] for _, data, _ in self.merchant.of(payment_id)]


class Api(ProviderTest):
    def test_the_same_id_makes_one_payment(self):
        request = dict(id="pay-1", amount=500, currency="JPY", expiresAt=soon(60))
        first = self.provider.json("POST", "/v1/payments", request)
        second = self.provider.json("POST", "/v1/payments", request)
        self.assertEqual((first[0], second[0]), (201, 200))
        self.assertEqual(first[1], second[1])
        self.assertEqual(first[1]["status"], "CREATED")
        self.assertEqual(
            first[1]["checkoutUrl"], f"http://127.0.0.1:{self.provider.port}/checkout/pay-1"
        )
        for change in ({"amount": 501}, {"currency": "EUR"}, {"description": "other"}):
            status, answer = self.provider.json("POST", "/v1/payments", {**request, **change})
            self.assertEqual((status, answer["code"]), (409, "ID_REUSED"), change)

    def test_only_with_the_key(self):
        for key in (None, "another", KEY + "x", KEY[:-1]):
            for method, path in (
                ("POST", "/v1/payments"),
                ("GET", "/v1/payments/x"),
                ("GET", "/books"),
                ("POST", "/faults"),
            ):
                self.assertEqual(self.provider.ask(method, path, key=key)[0], 401, (key, path))
        self.assertEqual(self.provider.ask("GET", "/livez", key=None)[0], 200)

    def test_bad_requests_make_nothing(self):
        good = dict(id="bad-1", amount=500, currency="JPY")
        for change, field in (
            ({"id": "a b"}, "id"),
            ({"id": "x" * 65}, "id"),
            ({"amount": 0}, "amount"),
            ({"amount": 1.5}, "amount"),
            ({"amount": "500"}, "amount"),
            ({"amount": 10**15 + 1}, "amount"),
            ({"currency": "yen"}, "currency"),
            ({"expiresAt": "tomorrow"}, "expiresAt"),
            ({"returnUrl": "javascript:alert(1)"}, "returnUrl"),
            ({"returnUrl": "http://x/\r\nSet-Cookie: a"}, "returnUrl"),
            ({"webhookUrl": "file:///etc/passwd"}, "webhookUrl"),
            ({"faults": ["unheard-of"]}, "faults"),
            ({"autopay": {"outcome": "expire"}}, "autopay.outcome"),
        ):
            status, answer = self.provider.json("POST", "/v1/payments", {**good, **change})
            self.assertEqual((status, answer["field"]), (400, field), change)
        self.assertEqual(self.provider.ask("POST", "/v1/payments", "{")[0], 400)
        self.assertEqual(self.provider.ask("GET", "/v1/payments/bad-1")[0], 404)

    def test_cancel(self):
        payment = self.provider.create()["id"]
        for _ in range(2):
            status, answer = self.provider.json("POST", f"/v1/payments/{payment}/cancel", {})
            self.assertEqual((status, answer["status"]), (200, "CANCELED"))
        status, answer = self.provider.do(payment, "pay")
        self.assertEqual((status, answer["payment"]["status"]), (409, "CANCELED"))
        self.assertEqual(self.provider.ask("POST", "/v1/payments/none/cancel")[0], 404)

    def test_what_is_paid_cannot_be_cancelled(self):
        payment = self.provider.create()["id"]
        self.assertEqual(self.provider.do(payment, "pay")[1]["status"], "SUCCEEDED")
        status, answer = self.provider.json("POST", f"/v1/payments/{payment}/cancel")
        self.assertEqual((status, answer["code"]), (409, "ALREADY_PAID"))
        self.assertEqual(answer["payment"]["status"], "SUCCEEDED")

    def test_refunds(self):
        payment = self.provider.create(amount=1000)["id"]
        path = f"/v1/payments/{payment}/refunds"

        def refund(refund_id, amount):
            status, answer = self.provider.json("POST", path, {"id": refund_id, "amount": amount})
            return status, answer.get("code", answer.get("status"))

        self.assertEqual(refund("r1", 1000), (409, "NOT_PAID"))
        self.provider.do(payment, "pay")
        self.assertEqual(refund("r1", 600), (200, "SUCCEEDED"))
        self.assertEqual(refund("r1", 600), (200, "SUCCEEDED"))
        self.assertEqual(refund("r1", 601), (409, "ID_REUSED"))
        self.assertEqual(refund("r2", 401), (409, "OVER_THE_AMOUNT"))
        self.assertEqual(refund("r2", 400), (200, "SUCCEEDED"))
        self.assertEqual(refund("r3", 1), (409, "OVER_THE_AMOUNT"))
        refunds = self.provider.json("GET", f"/v1/payments/{payment}")[1]["refunds"]
        self.assertEqual([(r["id"], r["amount"]) for r in refunds], [("r1", 600), ("r2", 400)])
        self.heard(payment, 3)
        said = sorted(len(data["refunds"]) for _, data, _ in self.merchant.of(payment))
        self.assertEqual(said, [0, 1, 2])

    def test_expiry_by_its_own_clock(self):
        payment = self.provider.create(expiresAt=soon(0.3))["id"]
        self.heard(payment, 1)
        self.assertEqual(self.statuses(payment), ["EXPIRED"])
        self.assertEqual(self.provider.do(payment, "pay")[0], 409)

    def test_autopay(self):
        for outcome, status in (("pay", "SUCCEEDED"), ("fail", "FAILED")):
            payment = self.provider.create(autopay={"outcome": outcome, "afterMs": 100})["id"]
            self.assertEqual(self.heard(payment, 1)[0][1]["status"], status)


class Checkout(ProviderTest):
    def test_the_page_shows_and_escapes(self):
        text = "<script>alert('x')</script> & \"tea\""
        payment = self.provider.create(amount=123456, description=text)["id"]
        status, headers, page = self.provider.ask("GET", f"/checkout/{payment}", key=None)
        self.assertEqual((status, headers["Content-Type"]), (200, "text/html; charset=utf-8"))
        self.assertNotIn("<script>", page)
        self.assertIn("&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt; &amp; &quot;tea&quot;", page)
        self.assertIn("1234.56 <span>EUR", page)
        self.assertIn(f'action="/checkout/{payment}/pay"', page)
        self.provider.do(payment, "pay")
        page = self.provider.ask("GET", f"/checkout/{payment}", key=None)[2]
        self.assertIn("SUCCEEDED", page)
        self.assertNotIn("<form", page)

    def test_a_browser_goes_back_to_the_shop(self):
        shop = "http://127.0.0.1:9/orders/1?x=y"
        for verb, after in (("pay", "SUCCEEDED"), ("fail", "FAILED")):
            payment = self.provider.create(returnUrl=shop)["id"]
            form = {"Content-Type": "application/x-www-form-urlencoded"}
            path = f"/checkout/{payment}/{verb}"
            for _ in range(2):  # who presses twice did it once
                status, headers, _ = self.provider.ask("POST", path, "", key=None, headers=form)
                self.assertEqual((status, headers["Location"]), (303, shop))
            self.assertEqual(self.provider.record(payment)["status"], after)
        self.assertEqual(self.provider.ask("POST", f"/checkout/{payment}/steal", key=None)[0], 404)


class Webhooks(ProviderTest):
    def test_signed_by_every_secret(self):
        payment = self.provider.create()["id"]
        self.provider.do(payment, "pay")
        self.heard(payment, 1)
        _, headers, body = [h for h in self.merchant.heard if payment.encode() in h[2]][0]
        for secret in SECRETS:
            self.assertTrue(is_signed(headers, body, secret))
        self.assertFalse(is_signed(headers, body + b" ", SECRETS[0]))
        said = json.loads(body)
        self.assertEqual(said["type"], "payment.updated")
        self.assertEqual(said["data"]["amount"], 1250)
        self.assertEqual(said["data"]["currency"], "EUR")

    def test_again_until_it_is_taken(self):
        self.merchant.answers = [500, 302]
        payment = self.provider.create()["id"]
        self.provider.do(payment, "pay")
        heard = self.heard(payment, 3)
        self.assertEqual(len({headers["webhook-id"] for headers, _, _ in heard}), 1)
        self.assertTrue(all(is_right for _, _, is_right in heard))
        self.assertGreater(
            int(heard[2][0]["webhook-timestamp"]), int(heard[0][0]["webhook-timestamp"])
        )
        wait_until(
            lambda: self.provider.record(payment)["webhooks"][0]["state"] == "DELIVERED",
            5,
            "the books know that it was taken",
        )
        self.assertEqual(self.provider.record(payment)["webhooks"][0]["attempts"], 3)


class Faults(ProviderTest):
    def paid(self, *faults, **fields):
        payment = self.provider.create(faults=list(faults), **fields)["id"]
        self.provider.do(payment, "pay")
        return payment

    def test_lost(self):
        payment, other = self.paid("lost"), self.paid()
        self.heard(other, 1)
        self.assertEqual(self.merchant.of(payment), [])
        self.assertEqual(self.provider.record(payment)["webhooks"], [])
        self.assertEqual(self.provider.record(payment)["status"], "SUCCEEDED")

    def test_doubled(self):
        first, second = self.heard(self.paid("doubled"), 2)
        self.assertEqual(first[0]["webhook-id"], second[0]["webhook-id"])
        self.assertEqual(first[1], second[1])

    def test_late(self):
        began = time.monotonic()
        self.heard(self.paid("late:600"), 1)
        self.assertGreaterEqual(time.monotonic() - began, 0.6)

    def test_reordered(self):
        payment = self.paid("reordered:200")
        self.heard(payment, 2)
        self.assertEqual(self.statuses(payment), ["SUCCEEDED", "PENDING"])

    def test_wrong_signature(self):
        heard = self.heard(self.paid("wrong-signature"), 2)
        self.assertEqual([is_right for _, _, is_right in heard], [False, True])
        only = self.heard(self.paid("wrong-signature", "lost"), 1)
        self.assertEqual([is_right for _, _, is_right in only], [False])

    def test_wrong_amounts(self):
        for fault, booked in (("wrong-amount", 1250), ("wrong-amount-books", 1251)):
            payment = self.paid(fault)
            self.assertEqual(self.heard(payment, 1)[0][1]["amount"], 1251)
            answer = self.provider.json("GET", f"/v1/payments/{payment}")[1]
            self.assertEqual(answer["amount"], booked)

    def test_error_500(self):
        request = dict(id="err-1", amount=5, currency="JPY", faults=["error-500*2"])
        seen = [self.provider.json("POST", "/v1/payments", request)[0] for _ in range(4)]
        self.assertEqual(seen, [500, 500, 201, 200])

    def test_refund_500(self):
        payment = self.paid("refund-500*2")
        path, refund = f"/v1/payments/{payment}/refunds", {"id": "back", "amount": 5}
        self.assertEqual([self.provider.json("POST", path, refund)[0] for _ in range(4)],
                         [500, 500, 200, 200])
        self.assertEqual([one["amount"] for one in self.provider.record(payment)["refunds"]], [5])

    def test_slow(self):
        began = time.monotonic()
        self.provider.create(faults=["slow:500"])
        self.assertGreaterEqual(time.monotonic() - began, 0.5)

    def test_timeout_after(self):
        request = dict(id="lost-1", amount=5, currency="JPY", faults=["timeout-after:500"])
        began = time.monotonic()
        with self.assertRaises(http.client.RemoteDisconnected):
            self.provider.json("POST", "/v1/payments", request)
        self.assertGreaterEqual(time.monotonic() - began, 0.5)
        self.assertEqual(self.provider.json("POST", "/v1/payments", request)[0], 200)

    def test_pays_late(self):
        payment = self.provider.create(faults=["pays-late:200"])["id"]
        answer = self.provider.json("POST", f"/v1/payments/{payment}/cancel")
        self.assertEqual((answer[0], answer[1]["status"]), (200, "CANCELED"))
        self.heard(payment, 2)
        self.assertEqual(self.statuses(payment), ["CANCELED", "SUCCEEDED"])
        payment = self.provider.create(faults=["pays-late:200"], expiresAt=soon(0.2))["id"]
        self.heard(payment, 2)
        self.assertEqual(self.statuses(payment), ["EXPIRED", "SUCCEEDED"])

    def test_declines(self):
        self.assertEqual(self.provider.record(self.paid("declines"))["status"], "FAILED")

    def test_for_one_and_for_the_next(self):
        def put(**body):
            self.assertEqual(self.provider.ask("POST", "/faults", body)[0], 204)

        put(payment="known-later", faults=["declines"])
        self.provider.create(id="known-later")
        self.assertEqual(self.provider.do("known-later", "pay")[1]["status"], "FAILED")
        put(payment="*", faults=["declines"], times=2)
        outcomes = [self.provider.record(self.paid())["status"] for _ in range(3)]
        self.assertEqual(outcomes, ["FAILED", "FAILED", "SUCCEEDED"])
        self.assertEqual(self.provider.ask("POST", "/faults", {"payment": "*", "faults": "x"})[0], 400)

    def test_they_are_taken_away_and_what_was_lost_is_told(self):
        """An outage of the provider: it takes money, tells nobody and answers nobody."""
        payment = self.provider.create()["id"]

        def put(**body):
            return self.provider.ask("POST", "/faults", {"payment": payment, **body})[0]

        def asked():
            return self.provider.json("GET", f"/v1/payments/{payment}")[0]

        self.assertEqual(put(faults=["lost", "error-500*-1"]), 204)
        self.provider.do(payment, "pay")
        self.assertEqual([asked() for _ in range(3)], [500] * 3)
        self.assertEqual(put(faults=["refund-500"], tell=True), 204)
        self.assertEqual(asked(), 200)
        self.heard(payment, 1)
        self.assertEqual(self.statuses(payment), ["SUCCEEDED"])
        self.assertEqual(put(faults=[]), 204)
        self.assertEqual(self.provider.record(payment)["faults"], [])
        for body in ({"tell": "yes"}, {"payment": "*", "tell": True}, {"payment": "none", "tell": True}):
            self.assertEqual(put(faults=[], **body), 400, body)


class Restart(unittest.TestCase):
    def setUp(self):
        self.merchant = Merchant()
        self.addCleanup(self.merchant.close)

    def test_the_books_survive_a_kill(self):
        provider = Provider(self.merchant)
        self.addCleanup(provider.close)
        self.merchant.answers = [503] * 3
        paid = provider.create(faults=["late:400"])["id"]
        expires = provider.create(expiresAt=soon(1.0))["id"]
        provider.do(paid, "pay")
        provider.json("POST", f"/v1/payments/{paid}/refunds", {"id": "r", "amount": 50})
        provider.ask("POST", "/faults", {"payment": "*", "faults": ["declines"], "times": 2})
        declined = provider.create()["id"]
        before = {p["id"]: p for p in provider.json("GET", "/books")[1]["payments"]}
        provider.kill()
        with open(provider.directory / "books", "a") as file:
            file.write('{"id":"cut sho')  # what a crash leaves of a line
        provider.start()
        after = {p["id"]: p for p in provider.json("GET", "/books")[1]["payments"]}
        self.assertEqual(before.keys(), after.keys())
        for payment in (paid, declined):
            for name in ("status", "amount", "refunds", "history", "faults"):
                self.assertEqual(before[payment][name], after[payment][name], name)
        wait_until(lambda: len(self.merchant.of(paid)) >= 5, 15, "webhooks, also the refused ones")
        wait_until(lambda: self.merchant.of(expires), 5, "the expiry, by the clock after the kill")
        outcomes = []
        for payment in (declined, provider.create()["id"], provider.create()["id"]):
            outcomes.append(provider.do(payment, "pay")[1]["status"])
        self.assertEqual(outcomes, ["FAILED", "FAILED", "SUCCEEDED"])
        self.assertEqual(provider.stop(), 0)
        provider.start()
        self.assertEqual(len(provider.json("GET", "/books")[1]["payments"]), 5)

    def test_the_same_seed_chooses_the_same_faults(self):
        providers = [
            Provider(self.merchant, f"--seed={seed}", "--fault-rate=50") for seed in (5, 5, 6)
        ]
        for provider in providers:
            self.addCleanup(provider.close)

        def create(provider, payment_id):
            request = dict(id=payment_id, amount=5, currency="JPY")
            while True:
                try:
                    if provider.json("POST", "/v1/payments", request)[0] != 500:
                        return
                except http.client.RemoteDisconnected:
                    pass

        with concurrent.futures.ThreadPoolExecutor(180) as pool:
            for n in range(60):
                for provider in providers:
                    pool.submit(create, provider, f"seeded-{n}")
        chosen = []
        for provider in providers:
            payments = provider.json("GET", "/books")[1]["payments"]
            chosen.append({payment["id"]: payment["faults"] for payment in payments})
            self.assertEqual(len(payments), 60)
        self.assertEqual(chosen[0], chosen[1])
        self.assertNotEqual(chosen[0], chosen[2])
        hit = sum(1 for faults in chosen[0].values() if faults)
        self.assertTrue(15 <= hit <= 45, hit)


if __name__ == "__main__":
    unittest.main()
