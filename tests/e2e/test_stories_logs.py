"""The log as a collector reads it: every line of every program one JSON object, and all that one request
set off found by one trace id. On a mesh of its own, whose programs write JSON.
"""

import json
import unittest

import grpc

import external
import frontend
import mesh as mesh_module
import story
from mesh import Mesh, uuid7
from patience import wait_until

CUSTOMER, SKU = "ada", "tea"
HEAD = ("timestamp", "severity", "severity_number", "service.name", "service.version", "message")
KEYS = {"trace", "event", "reason", "because"}  # of the text format: members have the names that collectors know
LINE_BYTES_MAX = 4096
SEVERITIES = {"DEBUG": 5, "INFO": 9, "WARN": 13, "ERROR": 17}
HOSTILE = 'x" order="stolen" severity="ERROR\\" \u2028 \u202e {"a":1}'


def no_name_twice(pairs):
    names = [name for name, _ in pairs]
    assert len(set(names)) == len(names), names
    return dict(pairs)


class Logs(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        names = [row.name for row in mesh_module.programs.read_table()]
        flags = {name: ["--log-format=json"] for name in names}
        flags["alerts"] += story.ALERT_FLAGS
        cls.mesh = Mesh(flags=flags)
        cls.mesh.open()
        cls.addClassCleanup(cls.mesh.close)
        cls.mesh.put_product(SKU, 500, pieces=100)
        cls.mesh.open_wallet(CUSTOMER, top_up_minor=100_000)
        cls.token = cls.mesh.token(CUSTOMER)
        cls.set_levels(cls.mesh, "debug", 3600)

    @staticmethod
    def set_levels(mesh, level, seconds):
        for name, program in mesh.programs.items():
            wish = {"level": level, "seconds": seconds}
            status, answer = external.http_json(program.ops, "PUT", "/log-level", wish)
            assert status == 200 and answer["level"] == level, (name, status, answer)

    # -- what was logged

    def lines(self, name):
        """What a program wrote so far. Each line is an object as collectors expect it, and ends."""
        lines = []
        data = (self.mesh.logs / f"{name}.log").read_bytes()
        for line in data[: data.rfind(b"\n") + 1].splitlines(keepends=True):
            self.assertLessEqual(len(line), LINE_BYTES_MAX, line)
            self.assertTrue(line.startswith(b'{"timestamp":"20') and line.endswith(b"}\n"), line)
            read = json.loads(line.decode("utf-8"), object_pairs_hook=no_name_twice)
            self.assertTrue(set(HEAD) <= set(read), line)
            self.assertFalse(KEYS & set(read), line)
            self.assertEqual(SEVERITIES[read["severity"]], read["severity_number"], line)
            lines.append(read)
        return lines

    def of_trace(self, name, trace_id):
        return [line for line in self.lines(name) if line.get("trace_id") == trace_id]

    def wait_line(self, name, trace_id, **members):
        """A line of that trace with those members; _ in a name stands for a dot where there is such a member."""

        def there():
            for line in self.of_trace(name, trace_id):
                if all(line.get(key, line.get(key.replace("_", "."))) == value for key, value in members.items()):
                    return line
            return None

        return wait_until(there, 20, f"a line of {name} in trace {trace_id} with {members}")

    # -- asking

    def post(self, payment):
        """Places an order; its number and its trace."""
        trace_id = uuid7().replace("-", "")
        body = {
            "customerId": CUSTOMER,
            "currency": "EUR",
            "items": [{"sku": SKU, "quantity": 1}],
            "payment": payment,
        }
        headers = {
            "Authorization": f"Bearer {self.token}",
            "Idempotency-Key": uuid7(),
            "Content-Type": "application/json",
            "traceparent": f"00-{trace_id}-00f067aa0ba902b7-01",
        }
        answer = frontend.ask(self.mesh, "POST", "/api/v1/orders", json.dumps(body).encode(), headers)
        self.assertIn(answer.status, (201, 202), answer)
        return answer.json["orderNo"], trace_id

    def wait_payment(self, order_id, trace_id):
        """The id of the order's payment, once the provider has it."""

        def payment():
            rows = self.mesh.psql("account", f"SELECT id FROM payment WHERE order_id = '{order_id}'")
            return rows[0][0] if rows else None

        payment_id = wait_until(payment, 20, "the order's payment")
        self.wait_line("account", trace_id, payment_id=payment_id, task="create")
        return payment_id

    # -- stories

    def test_an_order_is_found_in_every_program_by_its_trace(self):
        order_id, trace_id = self.post({"method": "wallet"})
        self.assertEqual(self.mesh.wait_final(order_id).status, self.mesh.order_pb.ORDER_STATUS_PAID)
        wallet = self.wait_line("bff", trace_id, event_name="HTTP_ANSWERED", route="/api/v1/orders")
        self.assertIn("trace_flags", wallet)
        self.wait_line("order", trace_id, event_name="RPC_ANSWERED", rpc_method="sagamesh.order.v1.OrderService/Place")
        self.wait_line("order", trace_id, order_id=order_id, to="PAID")
        self.wait_line("order", trace_id, order_id=order_id, event_name="NEWS_SENT", type="order.paid")
        self.wait_line("saga", trace_id, saga_id=order_id, record="start")
        self.wait_line("saga", trace_id, saga_id=order_id, record="end")
        self.wait_line("storage", trace_id, to="HELD")
        self.wait_line("storage", trace_id, to="CONFIRMED")
        self.wait_line("account", trace_id, kind="charge", to="POSTED")
        self.wait_line("alerts", trace_id, order_id=order_id, event_name="NEWS_HEARD", word="PAID")
        self.assert_no_other_trace(order_id, trace_id)

    def test_a_payment_has_the_trace_of_its_order(self):
        order_id, trace_id = self.post({"method": "external", "provider": "sandbox"})
        payment_id = self.wait_payment(order_id, trace_id)
        external.Provider(self.mesh).pay(payment_id)
        self.assertEqual(self.mesh.wait_final(order_id).status, self.mesh.order_pb.ORDER_STATUS_PAID)
        self.wait_line("account", trace_id, payment_id=payment_id, claim="TAKEN")
        self.wait_line("account", trace_id, payment_id=payment_id, event_name="NEWS_SENT")
        self.wait_line("saga", trace_id, saga_id=order_id, record="signal")
        self.assert_no_other_trace(order_id, trace_id)

    def test_an_alert_has_the_trace_of_its_order(self):
        order_id, trace_id = self.post({"method": "external", "provider": "sandbox"})
        payment_id = self.wait_payment(order_id, trace_id)
        self.mesh.pause("saga")
        try:
            external.Provider(self.mesh).pay(payment_id)
            alert = {"order_id": order_id, "rule": "RULE_A"}
            raised = self.wait_line("alerts", trace_id, event_name="RAISED", **alert)
        finally:
            self.mesh.resume("saga")
        self.assertEqual(raised["severity"], "ERROR")
        self.assertTrue(raised["error.message"], raised)
        resolved = self.wait_line("alerts", trace_id, event_name="RESOLVED", **alert)
        self.assertEqual(resolved["alert"], raised["alert"])
        self.assert_no_other_trace(order_id, trace_id)

    def test_a_refusal_says_its_rule_and_its_words(self):
        trace_id = uuid7().replace("-", "")
        request = self.mesh.order_pb.GetRequest(order_id=uuid7())
        with self.assertRaises(grpc.RpcError) as refused:
            self.mesh.orders.Get(request, metadata=[("traceparent", f"00-{trace_id}-00f067aa0ba902b7-01")])
        line = self.wait_line("order", trace_id, event_name="RPC_ANSWERED")
        self.assertEqual(line["error.message"], refused.exception.details())
        self.assertTrue(line["error.type"], line)

    def test_a_saga_that_is_asked_for_later_has_the_trace_too(self):
        """The Start was lost with both programs: the sweep asks for it, from the order's row."""
        self.mesh.kill("saga")
        order_id, trace_id = self.post({"method": "wallet"})
        self.mesh.kill("order")
        self.mesh.start("saga")
        wish = {"level": "debug", "seconds": 3600}
        external.http_json(self.mesh.programs["saga"].ops, "PUT", "/log-level", wish)
        self.mesh.start("order")
        external.http_json(self.mesh.programs["order"].ops, "PUT", "/log-level", wish)
        self.assertEqual(self.mesh.wait_final(order_id).status, self.mesh.order_pb.ORDER_STATUS_PAID)
        self.wait_line("saga", trace_id, saga_id=order_id, record="start")
        self.assert_no_other_trace(order_id, trace_id)

    def assert_no_other_trace(self, order_id, trace_id):
        """Whatever names the order belongs to its trace, in all programs; no thread kept an older one."""
        for name in self.mesh.programs:
            for line in self.lines(name):
                if order_id in (line.get("order_id"), line.get("saga_id")):
                    self.assertEqual(line.get("trace_id"), trace_id, line)

    def test_a_text_from_outside_makes_no_member(self):
        trace_id = uuid7().replace("-", "")
        self.mesh.pause("saga")
        try:
            order_id = self.mesh.place(CUSTOMER, [(SKU, 1)])
            request = self.mesh.order_pb.AskSagaRequest(request_id=uuid7(), order_id=order_id, comment=HOSTILE)
            traceparent = f"00-{trace_id}-00f067aa0ba902b7-00"
            self.mesh.orders.AskSaga(request, metadata=[("traceparent", traceparent)])
        finally:
            self.mesh.resume("saga")
        line = self.wait_line("order", trace_id, saga="asked")
        self.assertEqual((line["order_id"], line["severity"]), (order_id, "WARN"))
        self.assertEqual(line["comment"], HOSTILE.replace("\u2028", "   ").replace("\u202e", "   "))
        self.mesh.wait_final(order_id)

    def test_every_line_of_every_program_is_an_object(self):
        for name in self.mesh.programs:
            self.assertTrue(self.lines(name), name)

    def test_the_level_changes_while_it_runs(self):
        def count_debug():
            return sum(line["severity"] == "DEBUG" for line in self.lines("storage"))

        storage = self.mesh.programs["storage"].ops
        external.http_json(storage, "PUT", "/log-level", {"level": "info"})
        before = count_debug()
        order_id, _ = self.post({"method": "wallet"})
        self.mesh.wait_final(order_id)
        self.assertEqual(count_debug(), before)
        status, problem = external.http_json(storage, "PUT", "/log-level", {"level": "all"})
        self.assertEqual((status, problem["errors"][0]["pointer"]), (400, "/level"))
        external.http_json(storage, "PUT", "/log-level", {"level": "debug", "seconds": 1})
        wait_until(
            lambda: external.http_json(storage, "GET", "/log-level")[1] == {"level": "info", "usual": "info"},
            20,
            "the while is over",
        )
        changes = [line["level"] for line in self.lines("storage") if line.get("event.name") == "LOG_LEVEL"]
        self.assertEqual(changes[-3:], ["info", "debug", "info"])
        self.set_levels(self.mesh, "debug", 3600)
