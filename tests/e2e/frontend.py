"""bff as a frontend sees it: every answer is checked against the document that bff serves at
/openapi.json.
"""

import gzip
import http.client
import json
import re
import socket

import jsonschema
from mesh import uuid7
from patience import wait_until
from story import Story, shared


class Answer:
    def __init__(self, response, body):
        self.status, self.headers = response.status, response.headers
        self.sent_bytes = len(body)
        self.text = gzip.decompress(body) if response.headers["Content-Encoding"] == "gzip" and body else body
        self.type = (response.headers.get("Content-Type") or "").split(";")[0]
        self.json = json.loads(self.text) if self.type.endswith("json") and body else None

    def __repr__(self):
        return f"{self.status} {dict(self.headers)} {self.text[:500]!r}"


class Document:
    """openapi.json, and answers checked by it."""

    def __init__(self, text):
        self.json = json.loads(text)
        self.resolver = jsonschema.RefResolver("", self.json)

    def follow(self, node):
        return self.resolver.resolve(node["$ref"])[1] if "$ref" in node else node

    def operation(self, method, path):
        for pattern, item in self.json["paths"].items():
            if re.fullmatch(re.sub(r"\\{\w+\\}", "[^/]+", re.escape(pattern)), path):
                return item.get(method.lower())
        return None

    def check(self, method, path, answer):
        operation = self.operation("GET" if method == "HEAD" else method, path.split("?")[0])
        if operation is None:
            assert answer.status in (404, 405), answer
            self.validate(self.json["components"]["schemas"]["Problem"], answer)
            return
        assert str(answer.status) in operation["responses"], f"not in the document: {answer}"
        response = self.follow(operation["responses"][str(answer.status)])
        if "content" not in response or method == "HEAD":
            assert answer.text == b"", answer
            return
        assert answer.type in response["content"], answer
        self.validate(response["content"][answer.type]["schema"], answer)

    def validate(self, schema, answer):
        if answer.json is None:
            return
        checker = jsonschema.Draft202012Validator(schema, resolver=self.resolver)
        errors = [error.message for error in checker.iter_errors(answer.json)]
        assert not errors, f"{errors}: {answer}"
        if answer.type == "application/problem+json":
            assert answer.json["status"] == answer.status, answer


document = None


def ask(mesh, method, path, body=None, headers=(), port=None):
    """One request on a connection of its own; the answer, which the document allows."""
    global document
    connection = mesh.connect(f"127.0.0.1:{port or mesh.programs['bff'].port}", 40)
    try:
        connection.request(method, path, body, dict(headers))
        response = connection.getresponse()
        answer = Answer(response, response.read())
    finally:
        connection.close()
    if path != "/openapi.json":
        if document is None:
            document = Document(ask(mesh, "GET", "/openapi.json").text)
        document.check(method, path, answer)
    return answer


def ask_raw(mesh, method, path, lines, port=None):
    """The same for a head of our own, without its first line; the rest of the request is not sent."""
    ask(mesh, "GET", "/livez")  # so that the document is there
    with socket.create_connection(("127.0.0.1", port or mesh.programs["bff"].port)) as raw:
        raw.settimeout(20)
        raw.sendall(f"{method} {path} HTTP/1.1\r\n{lines}\r\n".encode("latin-1"))
        response = http.client.HTTPResponse(raw, method=method)
        response.begin()
        answer = Answer(response, response.read())
    document.check(method, path, answer)
    return answer


class Bff(Story):
    def setUp(self):
        super().setUp()
        self.tokens = {}
        self.operator = self.mesh.token("root", "--operator")

    def ask(self, method, path, body=None, token=None, key=None, headers=None, port=None):
        lines = dict(headers or {})
        if token:
            lines["Authorization"] = f"Bearer {token}"
        if key:
            lines["Idempotency-Key"] = key
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
        if body is not None:
            lines.setdefault("Content-Type", "application/json")
        return ask(self.mesh, method, path, body, lines, port)

    def token(self, customer):
        if customer not in self.tokens:
            self.tokens[customer] = self.mesh.token(customer)
        return self.tokens[customer]

    def wish(self, customer, items, **payment):
        return {
            "customerId": customer,
            "currency": "EUR",
            "items": [{"sku": sku, "quantity": quantity} for sku, quantity in items],
            "payment": payment or {"method": "wallet"},
        }

    def post(self, customer, body, key=None):
        answer = self.ask("POST", "/api/v1/orders", body, self.token(customer), key or uuid7())
        if answer.status in (201, 202):
            shared.placed.append(answer.json["orderNo"])
        return answer

    def post_after_the_lock(self, customer, body, key):
        """The answer to a key whose first request came to none: others are told 409 for a while."""

        def answer_of_its_own():
            answer = self.post(customer, body, key)
            return answer if answer.status != 409 else None

        return wait_until(answer_of_its_own, 15, "the lock of the first has run out")

    def count_orders(self, customer):
        statement = f"SELECT count(*) FROM orders WHERE customer_id = '{customer}'"
        return int(self.mesh.psql("orders", statement)[0][0])

    def problem(self, answer, status, code, pointer=None):
        self.assertEqual(answer.status, status, answer)
        self.assertEqual(answer.type, "application/problem+json")
        self.assertEqual(answer.json["code"], code, answer)
        if pointer is not None:
            self.assertEqual(answer.json["errors"][0]["pointer"], pointer, answer)
