"""bff over HTTP: orders with a key, what a token may see, and bad input.

Every answer is checked against the document that bff serves at /openapi.json.
"""

import base64
import concurrent.futures
import hashlib
import hmac
import http.client
import json
import os
import signal
import socket
import time
from urllib.parse import quote

import frontend
from frontend import Bff
from mesh import PLACE_WAIT_SECONDS, uuid7
from patience import wait_until

import programs


def unpadded(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class Orders(Bff):
    def test_placed_and_paid(self):
        sku, customer = self.product(500, pieces=10), self.wallet(2000)
        answer = self.post(customer, self.wish(customer, [(sku, 2)]))
        self.assertEqual(answer.status, 201, answer)
        self.assertEqual(answer.json["status"], "PAID")
        self.assertEqual(answer.json["total"], 1000)
        self.assertEqual(answer.json["payment"]["status"], "PAID")
        path = f"/api/v1/orders/{answer.json['orderNo']}"
        self.assertEqual(answer.headers["Location"], path)
        self.assert_paid(answer.json["orderNo"], total_minor=1000)
        self.assertEqual(self.mesh.balance(customer), 1000)
        seen = self.ask("GET", path, token=self.token(customer))
        self.assertEqual(seen.json, answer.json)

    def test_refused_orders_are_orders(self):
        sku, customer = self.product(500, pieces=10), self.wallet(100)
        answer = self.post(customer, self.wish(customer, [(sku, 2)]))
        self.assertEqual((answer.status, answer.json["status"]), (201, "FAILED"), answer)
        self.assertEqual(answer.json["reason"], "NO_FUNDS")
        self.assertEqual(answer.json["payment"]["status"], "NOT_PAID")

    def test_the_same_key_gets_the_same_answer(self):
        sku, customer = self.product(500, pieces=10), self.wallet(2000)
        wish, key = self.wish(customer, [(sku, 1)]), uuid7()
        first = self.post(customer, wish, key)
        # Written otherwise, bare or quoted: it is the same request.
        again = self.post(customer, json.dumps(wish, indent=2).encode(), f'"{key}"')
        self.assertEqual((again.status, again.text), (first.status, first.text))
        self.assertIsNone(first.headers["Idempotent-Replayed"])
        self.assertEqual(again.headers["Idempotent-Replayed"], "true")
        self.assertEqual(again.headers["Location"], first.headers["Location"])
        self.assertEqual(self.mesh.balance(customer), 1500)

    def test_the_same_key_for_another_order_is_refused(self):
        sku, customer, key = self.product(500, pieces=10), self.wallet(2000), uuid7()
        self.post(customer, self.wish(customer, [(sku, 1)]), key)
        answer = self.post(customer, self.wish(customer, [(sku, 2)]), key)
        self.problem(answer, 422, "IDEMPOTENCY_KEY_REUSED")

    def test_the_same_key_of_another_customer_is_another_key(self):
        sku, ada, bob, key = self.product(500, 10), self.wallet(900), self.wallet(900), uuid7()
        first = self.post(ada, self.wish(ada, [(sku, 1)]), key)
        second = self.post(bob, self.wish(bob, [(sku, 1)]), key)
        self.assertEqual(second.status, 201)
        self.assertNotEqual(first.json["orderNo"], second.json["orderNo"])

    def test_at_once_with_one_key_is_one_order(self):
        sku, customer, key = self.product(500, pieces=100), self.wallet(9000), uuid7()
        wish = self.wish(customer, [(sku, 1)])
        self.token(customer)
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda _: self.post(customer, wish, key), range(8)))
        self.assertLessEqual({answer.status for answer in answers}, {201, 409})
        orders = {answer.json["orderNo"] for answer in answers if answer.status == 201}
        self.assertEqual(len(orders), 1, answers)
        for answer in answers:
            if answer.status == 409:
                self.problem(answer, 409, "IDEMPOTENCY_KEY_IN_FLIGHT")
                self.assertEqual(answer.headers["Retry-After"], "1")
        self.assertEqual(self.mesh.balance(customer), 8500)

    def test_longer_than_it_may_wait_is_accepted(self):
        sku, customer, key = self.product(500, pieces=10), self.wallet(2000), uuid7()
        wish = self.wish(customer, [(sku, 1)])
        self.mesh.pause("storage")
        try:
            began = time.monotonic()
            answer = self.post(customer, wish, key)
            self.assertGreater(time.monotonic() - began, PLACE_WAIT_SECONDS - 0.1)
        finally:
            self.mesh.resume("storage")
        self.assertEqual(answer.status, 202, answer)
        path = answer.headers["Location"]
        self.assertEqual(path, f"/api/v1/orders/{answer.json['orderNo']}")
        self.assert_paid(answer.json["orderNo"], total_minor=500)
        again = self.post(customer, wish, key)
        self.assertEqual((again.status, again.text), (202, answer.text))
        self.assertEqual(again.headers["Location"], path)

    def test_bff_killed_before_its_answer_goes_on_with_the_same_order(self):
        sku, customer, key = self.product(500, pieces=10), self.wallet(2000), uuid7()
        wish = self.wish(customer, [(sku, 1)])
        self.token(customer)
        before = self.count_orders(customer)
        self.mesh.pause("storage")
        try:
            with concurrent.futures.ThreadPoolExecutor(1) as pool:
                asked = pool.submit(self.post, customer, wish, key)
                wait_until(lambda: self.count_orders(customer) > before, 10, "the order placed")
                self.mesh.restart("bff")
                self.assertRaises((OSError, http.client.HTTPException), asked.result)
        finally:
            self.mesh.resume("storage")
        self.problem(self.post(customer, wish, key), 409, "IDEMPOTENCY_KEY_IN_FLIGHT")
        answer = self.post_after_the_lock(customer, wish, key)
        self.assertEqual((answer.status, answer.json["status"]), (201, "PAID"), answer)
        self.assertEqual(self.count_orders(customer), before + 1)
        self.assertEqual(self.mesh.balance(customer), 1500)

    def break_answers(self):
        """From now on no answer can be stored, by a trigger of the database."""
        self.mesh.psql(
            "orders",
            "CREATE FUNCTION break_answer() RETURNS trigger LANGUAGE plpgsql AS"
            " $$BEGIN RAISE EXCEPTION 'broken by a test'; END$$;"
            " CREATE TRIGGER break_answer BEFORE UPDATE ON idempotency FOR EACH ROW"
            " WHEN (OLD.http_status <> NEW.http_status) EXECUTE FUNCTION break_answer()",
        )

    def mend_answers(self):
        self.mesh.psql("orders", "DROP FUNCTION break_answer CASCADE")

    def test_an_answer_without_effect_gives_the_key_back(self):
        sku, customer, key = self.product(500, pieces=10), self.wallet(2000), uuid7()
        wish, before = self.wish(customer, [(sku, 1)]), self.count_orders(customer)
        self.break_answers()
        try:
            for _ in range(2):
                self.problem(self.post(customer, wish, key), 500, "INTERNAL")
        finally:
            self.mend_answers()
        answer = self.post(customer, wish, key)
        self.assertEqual((answer.status, answer.json["status"]), (201, "PAID"), answer)
        self.assertEqual(self.count_orders(customer), before + 1)
        self.assertEqual(self.mesh.balance(customer), 1500)

    def test_who_comes_again_as_told_is_not_told_in_flight(self):
        """Place was acknowledged, then order-svc goes away, so nobody can give the key back."""
        sku, customer, key = self.product(500, pieces=10), self.wallet(2000), uuid7()
        wish, before = self.wish(customer, [(sku, 1)]), self.count_orders(customer)
        self.token(customer)
        self.mesh.pause("storage")
        try:
            with concurrent.futures.ThreadPoolExecutor(1) as pool:
                asked = pool.submit(self.post, customer, wish, key)
                wait_until(lambda: self.count_orders(customer) > before, 10, "the order placed")
                self.mesh.kill("order")
                answer = asked.result()
            told = time.monotonic()
            self.assertEqual(answer.status, 503, answer)
        finally:
            self.mesh.resume("storage")
            self.mesh.start("order")
        wait_until(
            lambda: time.monotonic() - told > int(answer.headers["Retry-After"]), 10, "as told"
        )
        answer = self.post(customer, wish, key)
        self.assertEqual((answer.status, answer.json["status"]), (201, "PAID"), answer)
        self.assertEqual(self.count_orders(customer), before + 1)

    def test_etag(self):
        sku, customer = self.product(500, pieces=10), self.wallet(2000)
        order = self.post(customer, self.wish(customer, [(sku, 1)])).json
        path, token = f"/api/v1/orders/{order['orderNo']}", self.token(customer)
        tag = self.ask("GET", path, token=token).headers["ETag"]
        self.assertEqual(tag, f'"v{order["version"]}"')
        # what is asked | is it as known?
        for known, status in (
            (tag, 304),
            (f"W/{tag}", 304),
            (f'"x", {tag}', 304),
            ("*", 304),
            ('"v1"', 200),
            (tag.strip('"'), 200),
            ("", 200),
        ):
            answer = self.ask("GET", path, token=token, headers={"If-None-Match": known})
            self.assertEqual((known, answer.status), (known, status))
            self.assertEqual(answer.headers["ETag"], known if known.startswith("W/") else tag)

    def test_large_answers_are_coded_for_those_who_take_it(self):
        """A tag is strong for one form only; who has the coded one hears 304 about that one."""
        lines = [(f"sku-of-some-length-{i}", 1) for i in range(40)]
        answer = self.post("ada", self.wish("ada", lines))
        path, token = f"/api/v1/orders/{answer.json['orderNo']}", self.token("ada")
        self.mesh.wait_final(answer.json["orderNo"])
        takes = {"Accept-Encoding": "gzip"}
        plain = self.ask("GET", path, token=token)
        coded = self.ask("GET", path, token=token, headers=takes)
        self.assertEqual(coded.text, plain.text)
        self.assertLess(coded.sent_bytes, plain.sent_bytes / 3)
        self.assertEqual((plain.headers["Content-Encoding"], coded.headers["Content-Encoding"]), (None, "gzip"))
        self.assertEqual(coded.headers["ETag"], "W/" + plain.headers["ETag"])
        for seen in (plain, coded):
            again = self.ask("GET", path, token=token, headers={**takes, "If-None-Match": seen.headers["ETag"]})
            self.assertEqual((again.status, again.headers["ETag"]), (304, seen.headers["ETag"]))
            self.assertEqual((seen.headers["Vary"], again.headers["Vary"]), ("Accept-Encoding",) * 2)
        head = self.ask("HEAD", path, token=token, headers=takes)
        self.assertEqual(head.headers["Content-Length"], str(coded.sent_bytes))
        small = self.ask("GET", "/livez", headers=takes)
        self.assertEqual((small.headers["Content-Encoding"], small.headers["Vary"]), (None, "Accept-Encoding"))

    def test_list_by_pages(self):
        sku, customer = self.product(10, pieces=10), self.wallet(2000)
        placed = [
            self.post(customer, self.wish(customer, [(sku, 1)])).json["orderNo"] for _ in range(3)
        ]
        token, seen, page = self.token(customer), [], ""
        for _ in range(3):
            answer = self.ask("GET", f"/api/v1/orders?pageSize=2{page}", token=token)
            self.assertEqual(answer.status, 200, answer)
            seen += [order["orderNo"] for order in answer.json["orders"]]
            if "nextPageToken" not in answer.json:
                break
            page = "&pageToken=" + answer.json["nextPageToken"]
        self.assertEqual(seen, placed[::-1])
        by_operator = self.ask("GET", f"/api/v1/orders?customerId={quote(customer)}", token=self.operator)
        self.assertEqual(len(by_operator.json["orders"]), 3)
        for query in ("pageSize=0", "pageSize=1001", "pageSize=x", "pageToken=x", "customerId=a/b"):
            answer = self.ask("GET", f"/api/v1/orders?{query}", token=token)
            self.problem(answer, 400, "BAD_REQUEST")

    def test_large_orders_make_shorter_pages(self):
        """160 of 7 KB are more than the 1 MiB of a page."""
        customer = f"c-{uuid7()}"
        lines = [(f"{'none'}-{i:059d}", 1_000_000) for i in range(100)]
        placed = {self.place(customer, lines) for _ in range(160)}
        token, seen, pages, page = self.token(customer), [], 0, ""
        while page is not None:
            answer = self.ask("GET", f"/api/v1/orders?pageSize=1000{page}", token=token)
            self.assertEqual(answer.status, 200, answer)
            seen += [order["orderNo"] for order in answer.json["orders"]]
            following = answer.json.get("nextPageToken")
            page, pages = f"&pageToken={following}" if following else None, pages + 1
        self.assertEqual((len(seen), set(seen)), (160, placed))
        self.assertEqual(pages, 2)

    def test_parameters(self):
        # path, query | the parameter at fault
        for path, query, name in (
            ("orders", "customerId=%zz", "customerId"),
            ("orders", "customerId=%ff", "customerId"),
            ("orders", "customerId=", "customerId"),
            ("orders", "customerId", "customerId"),
            ("orders", "custmerId=ada", "custmerId"),
            ("orders", "customer%49d=ada", "customer%49d"),
            ("orders", "customerId=ada&customerId=bob", "customerId"),
            ("orders", "pageToken=%ff", "pageToken"),
            ("orders", "pageSize=1&pageToken=%", "pageToken"),
            ("products", "customerId=ada", "customerId"),
            ("orders", "pageToken=x", "pageToken"),
            ("products", "pageToken=%e3%81", "pageToken"),
            ("wallets/ada", "currency=%zz", "currency"),
            ("wallets/ada", "currency=EUR&x=1", "x"),
        ):
            with self.subTest(query=query):
                answer = self.ask("GET", f"/api/v1/{path}?{query}", token=self.operator)
                self.problem(answer, 400, "BAD_REQUEST")
                self.assertIn(f"the parameter {name} ", answer.json["detail"])
        self.assertEqual(self.ask("GET", "/api/v1/orders?&pageSize=1&", token=self.operator).status, 200)

    def test_cancel(self):
        sku, customer = self.product(500, pieces=10), self.wallet(2000)
        self.mesh.pause("storage")
        try:
            order = self.post(customer, self.wish(customer, [(sku, 1)])).json
            path = f"/api/v1/orders/{order['orderNo']}/cancel"
            answer = self.ask("POST", path, token=self.token(customer))
            self.assertEqual((answer.status, answer.json["cancelRequested"]), (202, True), answer)
        finally:
            self.mesh.resume("storage")
        self.assert_failed(order["orderNo"], "CANCELED")
        self.problem(self.ask("POST", path, token=self.token(customer)), 409, "TOO_LATE")


    def test_a_body_where_nothing_is_to_be_said(self):
        sku, customer = self.product(500, pieces=10), self.wallet(2000)
        order = self.post(customer, self.wish(customer, [(sku, 1)])).json
        token = self.token(customer)
        # the body | for an order that is PAID: to cancel it, to have returned
        for body, cancel, returned in (
            (None, 409, 202),
            (b"{}", 409, 202),
            ({"reason": "changed my mind"}, 409, 202),
            (b"[]", 400, 400),
            (b"{", 400, 400),
            (b'{"x":"' + b"x" * 1020 + b'"}', 413, 413),
        ):
            for action, status in (("cancel", cancel), ("returned", returned)):
                path = f"/api/v1/orders/{order['orderNo']}/{action}"
                answer = self.ask("POST", path, body, token)
                self.assertEqual((action, str(body)[:20], answer.status), (action, str(body)[:20], status))
        self.assertEqual(self.ask("POST", path, token=token).json["status"], "PAID")


class Access(Bff):
    def test_each_customer_sees_its_own(self):
        sku, ada, bob = self.product(500, pieces=10), self.wallet(2000), self.wallet(2000)
        order = self.post(ada, self.wish(ada, [(sku, 1)])).json
        path = f"/api/v1/orders/{order['orderNo']}"
        for asked, method in ((path, "GET"), (path + "/cancel", "POST"), (path + "/returned", "POST")):
            self.problem(self.ask(method, asked, token=self.token(bob)), 404, "NOT_FOUND")
        self.assertEqual(self.ask("GET", path, token=self.operator).status, 200)
        answer = self.post(bob, self.wish(ada, [(sku, 1)]))
        self.problem(answer, 403, "NOT_YOURS", "/customerId")
        for asked in (f"/api/v1/wallets/{quote(ada)}?currency=EUR", f"/api/v1/orders?customerId={quote(ada)}"):
            self.problem(self.ask("GET", asked, token=self.token(bob)), 403, "NOT_YOURS")

    def test_no_such_order(self):
        for order_no in (uuid7(), "x", "0" * 36):
            answer = self.ask("GET", f"/api/v1/orders/{order_no}", token=self.operator)
            self.problem(answer, 404, "NOT_FOUND")

    def test_bad_tokens(self):
        good = self.mesh.token("ada")
        header, claims, signature = good.split(".")
        changed = unpadded(json.dumps({"sub": "ada", "exp": 9e9, "scope": "operator"}).encode())
        none = unpadded(json.dumps({"alg": "none", "kid": "sandbox"}).encode())
        self.wait_compared()
        # what | the token
        for what, token in (
            ("none at all", None),
            ("expired", self.expired()),
            ("for another", self.mesh.token("ada", "--audience=another-shop")),
            ("of another", self.mesh.token("ada", "--issuer=somebody")),
            ("other claims", f"{header}.{changed}.{signature}"),
            ("alg none", f"{none}.{claims}."),
            ("cut off", f"{header}.{claims}"),
            ("garbage", "a.b.c"),
        ):
            answer = self.ask("GET", "/api/v1/products", token=token)
            self.problem(answer, 401, "UNAUTHENTICATED")
            if what == "expired":
                self.assertEqual(answer.json["detail"], "the token has expired")
            self.assertEqual(answer.headers["WWW-Authenticate"], "Bearer", what)
        self.assertEqual(self.ask("GET", "/api/v1/products", token=good).status, 200)

    def test_keys_are_read_again(self):
        """A new key beside the old one, half a file, and the new one alone: each is taken, or refused, while bff runs."""
        path, pid = self.mesh.secrets / "jwks.json", self.mesh.programs["bff"].pid
        old, shipped = self.mesh.token("ada"), path.read_text()
        other = {"kty": "oct", "alg": "HS256", "use": "sig", "kid": "other", "k": unpadded(b"k" * 32)}
        both, alone = json.loads(shipped), {"keys": [other]}
        both["keys"].append(other)
        head = unpadded(json.dumps({"alg": "HS256", "kid": "other"}).encode())
        new = f"{head}.{old.split('.')[1]}"
        new += "." + unpadded(hmac.new(b"k" * 32, new.encode(), hashlib.sha256).digest())

        def statuses():
            return tuple(self.ask("GET", "/api/v1/products", token=token).status for token in (old, new))

        def put(text, expected):
            programs.write_whole(path, text, 0o600)
            os.kill(pid, signal.SIGHUP)
            wait_until(lambda: statuses() == expected, 20, f"tokens of the old and the new key are {expected}")

        self.addCleanup(put, shipped, (200, 401))
        self.assertEqual(statuses(), (200, 401))
        put(json.dumps(both), (200, 200))
        refused = self.mesh.log_tail("bff", 1000).count("event=FILE_REFUSED what=jwks")
        put(shipped[: len(shipped) // 2], (200, 200))
        wait_until(
            lambda: self.mesh.log_tail("bff", 1000).count("event=FILE_REFUSED what=jwks") > refused,
            20,
            "bff refuses half a file",
        )
        self.assertEqual(statuses(), (200, 200))
        put(json.dumps(alone), (401, 200))

    def test_a_body_is_not_read_before_the_token(self):
        """401 comes while the body is still on its way."""
        for lines in ("", "Expect: 100-continue\r\n"):
            with socket.create_connection(("127.0.0.1", self.mesh.programs["bff"].port)) as raw:
                raw.settimeout(10)
                raw.sendall(
                    f"POST /api/v1/orders HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
                    f"{lines}Content-Length: 1000000\r\n\r\n".encode()
                )
                answer = http.client.HTTPResponse(raw)
                answer.begin()
                self.assertEqual(answer.status, 401)
                self.assertEqual(answer.headers["Connection"], "close")
                self.assertEqual(json.loads(answer.read())["code"], "UNAUTHENTICATED")

    def wait_compared(self):
        """Until bff has heard another clock: a token's times are no reason for a 401 before."""
        wait_until(
            lambda: self.ask("GET", "/api/v1/products", token=self.expired()).status != 503,
            20,
            "bff has compared its clock",
        )

    def expired(self):
        """Signed by the right key, two minutes ago for one."""
        keys = json.loads((self.mesh.secrets / "jwks.json").read_text())
        text = keys["keys"][0]["k"]
        secret = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
        head = unpadded(json.dumps({"alg": "HS256", "kid": "sandbox"}).encode())
        claims = {"iss": "sagamesh-sandbox", "aud": "sagamesh-bff", "sub": "ada"}
        body = unpadded(json.dumps({**claims, "exp": int(time.time()) - 61}).encode())
        mac = hmac.new(secret, f"{head}.{body}".encode(), hashlib.sha256).digest()
        return f"{head}.{body}.{unpadded(mac)}"


class Wallets(Bff):
    def test_top_up_and_balance(self):
        customer, key = f"c-{uuid7()}", uuid7()
        path = f"/api/v1/wallets/{customer}"
        self.problem(
            self.ask("GET", f"{path}?currency=EUR", token=self.token(customer)), 404, "NOT_FOUND"
        )
        body = {"amount": 700, "currency": "EUR", "reference": "cash"}
        first = self.ask("POST", f"{path}/topups", body, self.operator, key)
        self.assertEqual(first.status, 201, first)
        again = self.ask("POST", f"{path}/topups", body, self.operator, f'"{key}"')
        self.assertEqual((again.status, again.text), (201, first.text))
        other = self.ask("POST", f"{path}/topups", {**body, "amount": 1}, self.operator, key)
        self.problem(other, 422, "IDEMPOTENCY_KEY_REUSED")
        seen = self.ask("GET", f"{path}?currency=EUR", token=self.token(customer))
        self.assertEqual(seen.json, {"customerId": customer, "currency": "EUR", "balance": 700})

    def test_refused(self):
        customer, body = f"c-{uuid7()}", {"amount": 700, "currency": "EUR"}
        path = f"/api/v1/wallets/{customer}/topups"
        answer = self.ask("POST", path, body, self.token(customer), uuid7())
        self.problem(answer, 403, "OPERATORS_ONLY")
        answer = self.ask("POST", path, body, self.operator, "not-a-uuid")
        self.problem(answer, 400, "BAD_REQUEST")
        answer = self.ask("POST", path, body, self.operator)
        self.problem(answer, 400, "IDEMPOTENCY_KEY_MISSING")
        answer = self.ask("POST", path, {**body, "amount": 0}, self.operator, uuid7())
        self.problem(answer, 400, "BAD_REQUEST", "/amount")
        answer = self.ask("GET", f"/api/v1/wallets/{customer}", token=self.operator)
        self.problem(answer, 400, "BAD_REQUEST")

    def test_products(self):
        sku = self.product(500, pieces=3)
        page, seen = "", []
        while True:
            answer = self.ask("GET", f"/api/v1/products?pageSize=50{page}", token=self.token("ada"))
            seen += [product for product in answer.json["products"] if product["sku"] == sku]
            if "nextPageToken" not in answer.json:
                break
            page = "&pageToken=" + answer.json["nextPageToken"]
        self.assertEqual(seen, [{"sku": sku, "unitPrice": 500, "currency": "EUR", "free": 3}])


class BadInput(Bff):
    def test_bodies(self):
        customer = "ada"
        good = self.wish(customer, [("tea", 1)])
        item = good["items"][0]
        # the body | where
        for body, pointer in (
            (b"", ""),
            (b"{", ""),
            (b"[]", ""),
            (b'{"customerId":"\xff"}', "/customerId"),
            (b"[" * 5000, ""),
            (b'{"customerId":"a","customerId":"b"}', "/customerId"),
            (b'{"items":[{"sku":"a"},{"sku":"b","sku":"c"}]}', "/items/1/sku"),
            ({**good, "colour": 1}, "/colour"),
            ({**good, "items": [{**item, "a/b~": 1}]}, "/items/0/a~1b~0"),
            ({**good, "items": []}, "/items"),
            ({**good, "items": [item] * 101}, "/items"),
            ({**good, "items": [item, item]}, "/items/1/sku"),
            ({**good, "items": [{**item, "quantity": "1"}]}, "/items/0/quantity"),
            ({**good, "items": [{**item, "quantity": 1.0}]}, "/items/0/quantity"),
            ({**good, "items": [{**item, "quantity": 0}]}, "/items/0/quantity"),
            ({**good, "items": [{"quantity": 1}]}, "/items/0/sku"),
            ({**good, "currency": "eur"}, "/currency"),
            ({**good, "payment": None}, "/payment"),
            ({**good, "payment": {"method": "cash"}}, "/payment/method"),
            ({**good, "payment": {"method": "wallet", "provider": "x"}}, "/payment/provider"),
            ({**good, "customerId": "a/b"}, "/customerId"),
        ):
            with self.subTest(pointer=pointer, body=str(body)[:60]):
                self.problem(self.post(customer, body), 400, "BAD_REQUEST", pointer)

    def test_a_url_that_is_none(self):
        for url, because in (("https:///back", "a host"), ('https://shop.example/">x', "percent-encoded")):
            wish = self.wish("ada", [("tea", 1)], method="external", returnUrl=url)
            answer = self.post("ada", wish)
            self.problem(answer, 400, "BAD_REQUEST", "/payment/returnUrl")
            self.assertIn(because, answer.json["errors"][0]["detail"])

    def test_keys(self):
        wish, token = self.wish("ada", [("tea", 1)]), self.token("ada")
        answer = self.ask("POST", "/api/v1/orders", wish, token)
        self.problem(answer, 400, "IDEMPOTENCY_KEY_MISSING")
        for key in ("k" * 256, '"open', '""', '"a" "b"'):
            answer = self.ask("POST", "/api/v1/orders", wish, token, key)
            self.problem(answer, 400, "BAD_REQUEST")

    def test_too_large(self):
        answer = self.post("ada", b" " * ((1 << 20) + 1))
        self.assertEqual(answer.status, 413)

    def test_method_type_and_path(self):
        answer = self.ask("DELETE", "/api/v1/orders", token=self.operator)
        self.assertEqual(answer.status, 405)
        self.assertEqual(answer.headers["Allow"], "POST, GET, HEAD, OPTIONS")
        answer = self.ask(
            "POST", "/api/v1/orders", b"{}", self.operator, uuid7(), {"Content-Type": "text/plain"}
        )
        self.assertEqual(answer.status, 415)
        self.assertEqual(self.ask("GET", "/api/v2", token=self.operator).status, 404)
        # Webhooks have a port of their own.
        self.assertEqual(self.ask("POST", "/webhooks/sandbox", b"{}").status, 404)

    def test_what_http_refuses_is_in_the_document(self):
        """On every route; ask_raw() looks the status up."""
        webhook, orders, token = "/webhooks/sandbox", "/api/v1/orders", self.operator
        own = f"Host: x\r\nAuthorization: Bearer {token}\r\n"
        # method, path | the head | status
        for method, path, lines, status in (
            ("GET", orders, "", 400),
            ("GET", orders, own + "Content-Length: 1\r\n", 413),
            ("GET", orders + "?" + "x" * 5000, own, 414),
            ("POST", orders, own + "Content-Length: 2\r\nExpect: more\r\n", 417),
            ("GET", orders, own + "x: y\r\n" * 70, 431),
            ("POST", orders, own + "Content-Length: 2\r\n", 415),
            ("POST", webhook, "Host: x\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n", 415),
            ("POST", webhook, "Host: x\r\nContent-Length: 300000\r\n", 413),
            ("POST", webhook, "Host: x\r\n" + "x: y\r\n" * 70, 431),
            ("POST", webhook, "", 400),
            ("GET", "/livez", "Host: x\r\nContent-Length: 1\r\n", 413),
            ("GET", "/readyz", "", 400),
        ):
            port = self.mesh.webhook_port if path == webhook else None
            answer = frontend.ask_raw(self.mesh, method, path, lines, port)
            self.assertEqual((path[:20], lines[-30:], answer.status), (path[:20], lines[-30:], status))
        for path, item in frontend.document.json["paths"].items():
            for operation in item.values():
                missing = {"400", "408", "413", "414", "417", "431", "503", "504", "505"}
                missing -= set(operation["responses"])
                self.assertEqual((path, missing), (path, set()))

    def test_smuggling_shapes_are_refused(self):
        for lines in ("Content-Length: 2\r\nContent-Length: 3", "Content-Length: 2\r\nTransfer-Encoding: chunked"):
            with socket.create_connection(("127.0.0.1", self.mesh.programs["bff"].port)) as raw:
                raw.settimeout(10)
                raw.sendall(f"POST /api/v1/orders HTTP/1.1\r\nHost: x\r\n{lines}\r\n\r\n{{}}".encode())
                self.assertTrue(raw.recv(64).startswith(b"HTTP/1.1 400 "), lines)
