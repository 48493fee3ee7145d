"""A mesh whose gRPC, HTTP and connections to PostgreSQL are TLS: orders are paid and refused as on a plain one, certificates
are replaced while orders come, and who has none is not let in."""

import http.client
import json
import os
import signal
import unittest

import frontend
import grpc
import invariants
from external import Provider
from mesh import Mesh, Refusal
from patience import wait_until

from sagamesh.batch.v1 import batch_service_pb2, batch_service_pb2_grpc

import certificates
import postgres_tls
import programs

TRANSIENT = grpc.StatusCode.UNAVAILABLE


class Tls(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.mesh = Mesh(without=("alerts",), tls=True)
        cls.mesh.open()
        cls.mesh.put_product("tea", 500, pieces=100)
        cls.mesh.open_wallet("ada", top_up_minor=50000)

    @classmethod
    def tearDownClass(cls):
        cls.mesh.close()

    def check_paid(self, order_id):
        order = self.mesh.wait_final(order_id)
        self.assertEqual(order.status, self.mesh.order_pb.ORDER_STATUS_PAID, order)

    def test_orders_are_paid_and_refused(self):
        paid = self.mesh.place("ada", [("tea", 2)])
        refused = self.mesh.place("ada", [("tea", 1000)])
        self.check_paid(paid)
        order = self.mesh.wait_final(refused)
        self.assertEqual((order.status, order.reason), (self.mesh.order_pb.ORDER_STATUS_FAILED, "NO_STOCK"))
        report = invariants.check(self.mesh, [paid, refused])
        self.assertEqual(report.violations, [], report)

    def serial(self, name):
        words = ["-in", self.mesh.directory / "tls" / f"{name}.crt", "-noout", "-serial"]
        return certificates.openssl("x509", *words)

    def shown(self, name):
        """The serial that the program's port shows."""
        folder = self.mesh.directory / "tls"
        words = ["-connect", self.mesh.address(name), "-alpn", "h2", "-CAfile", folder / "ca.crt"]
        words += ["-cert", folder / "sagactl.crt", "-key", folder / "sagactl.key"]
        text = certificates.openssl("s_client", *words, input="")
        return certificates.openssl("x509", "-noout", "-serial", input=text)

    def test_certificates_are_replaced_while_orders_come(self):
        before = self.serial("order-svc")
        certificates.keep(self.mesh.directory / "tls", must_rotate=True)
        self.assertNotEqual(self.serial("order-svc"), before)
        placed = []

        def is_new():
            placed.append(self.mesh.place("ada", [("tea", 1)]))
            return self.shown("order") == self.serial("order-svc")

        wait_until(is_new, 60, "order-svc shows its new certificate")
        for order_id in placed:
            self.check_paid(order_id)
        self.mesh.restart("storage")  # and connections are made with the new ones
        self.check_paid(self.mesh.place("ada", [("tea", 1)]))

    def call_as(self, program, name, method):
        """What a call of another program's identity with an empty request comes to, alone and in an envelope."""
        folder = self.mesh.directory / "tls"
        files = [(folder / file).read_bytes() for file in ("ca.crt", f"{program}.key", f"{program}.crt")]
        item = batch_service_pb2.CallItem(method=method)
        envelope = batch_service_pb2.CallRequest(items=[item])
        with grpc.secure_channel(self.mesh.inner_address(name), grpc.ssl_channel_credentials(*files)) as channel:
            with self.assertRaises(grpc.RpcError) as caught:
                channel.unary_unary(f"/{method}")(b"", timeout=20)
            batch = batch_service_pb2_grpc.BatchServiceStub(channel).Call(envelope, timeout=20)
        return Refusal(caught.exception), batch.results[0].status

    def refused_as(self, program, name, method):
        refusal, inner = self.call_as(program, name, method)
        self.assertEqual((inner.code, inner.message), (refusal.code.value[0], refusal.message))
        return refusal.code.name, refusal.reason, refusal.message

    def test_a_program_calls_what_the_policy_lets_it(self):
        mark = "sagamesh.order.v1.OrderSagaService/MarkPaid"
        denied = "rule saga-steps lets others call this, and not spiffe://sagamesh.local/bff"
        self.assertEqual(self.refused_as("bff", "order", mark), ("PERMISSION_DENIED", "NOT_ALLOWED", denied))
        code, reason, _ = self.refused_as("saga-svc", "order", mark)  # it is let in, and says nothing
        self.assertEqual((code, reason), ("INVALID_ARGUMENT", "BAD_REQUEST"))
        signal = "sagamesh.saga.v1.SagaControlService/Signal"
        denied = "rule payments-tell-sagas lets others call this, and not spiffe://sagamesh.local/order-svc"
        self.assertEqual(self.refused_as("order-svc", "saga", signal), ("PERMISSION_DENIED", "NOT_ALLOWED", denied))

    def test_policies_are_read_again(self):
        mark = "sagamesh.order.v1.OrderSagaService/MarkPaid"
        shipped, pid = self.mesh.policy.read_text(), self.mesh.programs["order"].pid
        policy = json.loads(shipped)
        policy["rules"].append({"name": "all", "identities": ["/bff"], "methods": [mark]})

        def code():
            return self.call_as("bff", "order", mark)[0].code.name  # in the envelope it may be another one's already

        self.assertEqual(code(), "PERMISSION_DENIED")
        programs.write_whole(self.mesh.policy, json.dumps(policy))
        os.kill(pid, signal.SIGHUP)
        wait_until(lambda: code() == "INVALID_ARGUMENT", 20, "order-svc goes by the new policy")
        programs.write_whole(self.mesh.policy, shipped[: len(shipped) // 2])
        os.kill(pid, signal.SIGHUP)
        refused = f"event=FILE_REFUSED what=policy file={self.mesh.policy} field=policy"
        wait_until(lambda: refused in self.mesh.log_tail("order"), 20, "order-svc refuses half a policy")
        self.assertEqual(code(), "INVALID_ARGUMENT")
        programs.write_whole(self.mesh.policy, shipped)  # and without a signal
        wait_until(lambda: code() == "PERMISSION_DENIED", 20, "order-svc goes by the shipped policy")

    def connections(self):
        """Of programs, over TCP: those that are TLS, and those that are not."""
        rows = self.mesh.psql(
            "postgres",
            "SELECT DISTINCT application_name, ssl FROM pg_stat_activity JOIN pg_stat_ssl USING (pid) "
            "WHERE backend_type = 'client backend' AND application_name <> 'psql'",
        )
        return {name for name, has_tls in rows if has_tls == "t"}, {name for name, has_tls in rows if has_tls != "t"}

    def test_programs_reach_their_databases_by_tls(self):
        has_tls, is_plain = self.connections()
        self.assertEqual(is_plain, set())
        services = {program.binary for program in self.mesh.programs.values() if program.database}
        wait_until(lambda: services <= {name.split("/")[0] for name in self.connections()[0]}, 60, "all are connected")
        words = postgres_tls.words_of(self.mesh)
        plain = f"host=127.0.0.1 port={words['port']} user=mesh sslmode=disable connect_timeout=20"
        with self.assertRaisesRegex(programs.Trouble, "no pg_hba.conf entry"):
            self.mesh.psql_run(plain, "storage", "-c", "SELECT 1")

    def test_a_database_of_another_ca_is_refused(self):
        certificates.make_ca(self.mesh.directory / "another")
        right = postgres_tls.conninfo(self.mesh, "storage-svc")
        wrong = right.replace(f"{self.mesh.certificates}/ca.crt", f"{self.mesh.directory}/another/ca.crt")
        self.mesh.stop("storage")
        self.mesh.conninfos["storage"] = wrong
        self.mesh.start("storage", wait=False)
        wait_until(lambda: "certificate verify failed" in self.mesh.log_tail("storage"), 60, "it says why")
        self.assertFalse(self.mesh.is_ready("storage"))
        del self.mesh.conninfos["storage"]
        self.mesh.kill("storage")
        self.mesh.start("storage")
        self.check_paid(self.mesh.place("ada", [("tea", 1)]))

    def test_orders_are_paid_at_a_provider(self):
        """Both ways by HTTPS: what account-svc asks, and what the provider's webhooks say."""
        frontend.ask(self.mesh, "GET", "/livez")
        with self.assertRaises(OSError):
            http.client.HTTPSConnection(self.mesh.address("bff"), timeout=20).request("GET", "/livez")  # its CA is not known
        order_id = self.mesh.place("ada", [("tea", 1)], provider="sandbox")
        wait_until(lambda: self.mesh.order(order_id).payment_url, 60, "it can be paid")
        order = self.mesh.order(order_id)
        self.assertTrue(order.payment_url.startswith("https://"), order.payment_url)
        Provider(self.mesh).pay(order.payment_id)
        self.check_paid(order_id)
        inbox = f"SELECT count(*) FROM payment_inbox WHERE payment_id = '{order.payment_id}'"
        wait_until(lambda: self.mesh.psql("account", inbox) != [["0"]], 60, "a webhook has come")

    def test_who_has_no_certificate_is_not_let_in(self):
        ca = (self.mesh.directory / "tls" / "ca.crt").read_bytes()
        for address in (self.mesh.address("order"), self.mesh.inner_address("order")):
            for channel in (
                grpc.insecure_channel(address),
                grpc.secure_channel(address, grpc.ssl_channel_credentials(ca)),
            ):
                with self.subTest(address), channel:
                    call = channel.unary_unary("/sagamesh.order.v1.OrderService/Get")
                    with self.assertRaises(grpc.RpcError) as caught:
                        call(b"", timeout=20)
                    self.assertEqual(caught.exception.code(), TRANSIENT)
