"""A mesh whose gRPC is TLS: orders are paid and refused as on a plain one, certificates are replaced while orders come,
and who has none is not let in."""

import unittest

import grpc
import invariants
from mesh import Mesh, uuid7
from patience import wait_until

import certificates

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
