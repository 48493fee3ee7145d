"""A crowd of connections takes all descriptors of a program: who is in is served, and once the crowd has
gone everybody is."""

import contextlib
import http.client
import resource
import socket

import grpc
from grpc.health.v1 import health_pb2, health_pb2_grpc
from patience import PATIENCE, wait_until
from story import Story

SERVICES = ("order", "storage", "account", "saga")
DESCRIPTORS = 64
CROWD = 120
AGAIN_SECONDS = 2
HELLO = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])


class Crowd(Story):
    def test_idle_connections(self):
        for name in (*SERVICES, "bff", "webhook"):
            with self.descriptors(name), self.crowd(name, b""):
                self.assertTrue(self.is_in(name), f"{name}: a client that was there before")
                # They have said nothing, so that they make room for who speaks.
                wait_until(lambda: self.comes_in(name), AGAIN_SECONDS, f"{name} serves beside a crowd")
        self.order_is_paid()

    def test_connections_that_speak(self):
        for name in SERVICES:
            with self.descriptors(name):
                with self.crowd(name, HELLO):
                    self.assertTrue(self.is_in(name), f"{name}: a client that was there before")
                wait_until(lambda: self.comes_in(name), AGAIN_SECONDS, f"{name} serves again")
        self.order_is_paid()

    # -- parts

    @contextlib.contextmanager
    def descriptors(self, name):
        """The program has few of them; what it has open, it keeps."""
        self.is_in(name)
        pid = self.mesh.programs["bff" if name == "webhook" else name].pid
        before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (DESCRIPTORS, before[1]))
        try:
            yield
        finally:
            resource.prlimit(pid, resource.RLIMIT_NOFILE, before)

    @contextlib.contextmanager
    def crowd(self, name, words):
        host, port = self.mesh.address(name).split(":")
        with contextlib.ExitStack() as sockets:
            for _ in range(CROWD):
                one = sockets.enter_context(socket.create_connection((host, int(port)), 5))
                with contextlib.suppress(OSError):  # it was refused already
                    one.sendall(words)
            yield

    def is_in(self, name):
        """Over a connection that stays."""
        if name not in SERVICES:
            return True
        return self.mesh.health(name) == health_pb2.HealthCheckResponse.SERVING

    def comes_in(self, name):
        """Over a connection of its own."""
        if name == "webhook":
            return self.http_status(name, "GET", "/webhooks/nobody") is not None
        if name == "bff":
            return self.http_status(name, "GET", "/livez") == 200
        with grpc.insecure_channel(
            self.mesh.address(name), [("grpc.use_local_subchannel_pool", 1)]
        ) as channel:
            stub = health_pb2_grpc.HealthStub(channel)
            try:
                answer = stub.Check(health_pb2.HealthCheckRequest(), timeout=AGAIN_SECONDS)
            except grpc.RpcError:
                return False
            return answer.status == health_pb2.HealthCheckResponse.SERVING

    def http_status(self, name, method, path):
        connection = http.client.HTTPConnection(self.mesh.address(name), timeout=AGAIN_SECONDS * PATIENCE)
        try:
            connection.request(method, path)
            return connection.getresponse().status
        except (OSError, http.client.HTTPException):
            return None
        finally:
            connection.close()

    def order_is_paid(self):
        order_id = self.place(self.wallet(1000), [(self.product(10, pieces=10), 1)])
        self.assert_paid(order_id, total_minor=10)
