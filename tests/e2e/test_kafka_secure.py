"""News over TLS and SASL: a wrong password holds news up and nothing else, and needs no restart when it is mended."""

import unittest

import alerts
import news
import story
from kafka_server import SecureKafka
from mesh import Mesh
from patience import wait_until

from grpc.health.v1 import health_pb2

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
PROGRAMS = ("order", "account", "alerts")
FLAGS = [
    "--kafka-tls-ca={run}/kafka/tls/ca.crt",
    "--kafka-sasl-mechanism=PLAIN",
    f"--kafka-user={SecureKafka.USER}",
    "--kafka-password-file={run}/kafka/password",
]


class SecureMesh(Mesh):
    def kafka_address(self):
        return self.kafka.secure_address

    def write_password(self, text):
        (self.directory / "kafka" / "password").write_text(f"{text}\n")

    def start_all(self):
        self.write_password("another")
        super().start_all()


class Secure(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        flags = {name: list(FLAGS) for name in PROGRAMS}
        flags["alerts"] += alerts.flags(story.GRACE_SECONDS, story.SILENT_SECONDS, has_kafka=True)
        cls.mesh = SecureMesh(kafka=SecureKafka, flags=flags)
        cls.addClassCleanup(cls.mesh.close)
        cls.mesh.open()

    def kafka_status(self):
        """Of each program: whether it reaches Kafka, for what it reads too."""
        return {self.mesh.health(name, "kafka") for name in PROGRAMS}

    def test_a_wrong_password_holds_news_up_until_it_is_mended(self):
        mesh = self.mesh
        for name in PROGRAMS:
            wait_until(lambda name=name: "event=KAFKA_REFUSED" in mesh.log_tail(name, 1000), 60, f"{name} says so")
            self.assertNotIn("another", mesh.log_tail(name, 1000))
        mesh.put_product("tea", 500, pieces=100)
        mesh.open_wallet("ada", top_up_minor=50000)
        order_id = mesh.place("ada", [("tea", 2)])
        self.assertEqual(mesh.wait_final(order_id).status, mesh.order_pb.ORDER_STATUS_PAID)
        wait_until(lambda: self.kafka_status() == {NOT_SERVING}, 60, "all say that Kafka is away")
        self.assertEqual(mesh.health("order"), SERVING)
        pids = {name: mesh.pid(name) for name in PROGRAMS}

        mesh.write_password(SecureKafka.PASSWORD)
        wait_until(lambda: self.kafka_status() == {SERVING}, 60, "all are let in")
        self.assertEqual({name: mesh.pid(name) for name in PROGRAMS}, pids)
        news.wait_sent(mesh)
        report = news.read_all(mesh, mesh.kafka.address)
        self.assertEqual(report.violations, [])
        self.assertIn(order_id, {key for _, key in report.of_key})
