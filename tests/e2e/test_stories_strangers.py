"""Stories of strangers at an address: what answers there is not the service that was asked, and what it says
is no decision."""

import concurrent.futures
import socket
import threading

import grpc
from external import External
from patience import wait_until

CODES = (
    grpc.StatusCode.UNIMPLEMENTED,
    grpc.StatusCode.PERMISSION_DENIED,
    grpc.StatusCode.UNAUTHENTICATED,
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.NOT_FOUND,
    grpc.StatusCode.FAILED_PRECONDITION,
    grpc.StatusCode.ALREADY_EXISTS,
    grpc.StatusCode.OUT_OF_RANGE,
)


class Proxy(grpc.GenericRpcHandler):
    """Answers every call by one code after another, as proxies and other programs do."""

    def __init__(self):
        self.lock = threading.Lock()
        self.count = 0

    def service(self, details):
        def answer(_, context):
            with self.lock:
                code = CODES[self.count % len(CODES)]
                self.count += 1
            context.abort(code, "said by a stranger")

        return grpc.unary_unary_rpc_method_handler(answer)


class Pages:
    """A proxy that has no such page, or no server for it."""

    STATUSES = (404, 503, 400, 403, 401, 502, 200)

    def __init__(self, address):
        self.count = 0
        self.connections = set()
        host, port = address.split(":")
        self.listener = socket.create_server((host, int(port)))
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            self.connections.add(connection)
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def serve(self, connection):
        with connection:
            try:
                self.say(connection)
            except OSError:
                pass

    def next_status(self):
        self.count += 1
        return self.STATUSES[self.count % len(self.STATUSES)]

    def close(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for connection in self.connections:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass


class OldPages(Pages):
    """It speaks HTTP/1.1."""

    def say(self, connection):
        connection.recv(4096)
        head = f"HTTP/1.1 {self.next_status()} Said\r\nContent-Type: text/html\r\n"
        connection.sendall(f"{head}Content-Length: 5\r\nConnection: close\r\n\r\n<br/>".encode())


class NewPages(Pages):
    """It speaks HTTP/2, and says no grpc-status."""

    PREFACE_BYTES, HEAD_BYTES = 24, 9
    HEADERS, SETTINGS, PING = 1, 4, 6
    ACK, END_STREAM_AND_HEADERS = 1, 5

    def read(self, connection, size):
        data = connection.recv(size, socket.MSG_WAITALL)
        if len(data) < size:
            raise OSError("it was closed")
        return data

    def send(self, connection, kind, flags, stream=bytes(4), body=b""):
        connection.sendall(len(body).to_bytes(3, "big") + bytes([kind, flags]) + stream + body)

    def say(self, connection):
        self.read(connection, self.PREFACE_BYTES)
        self.send(connection, self.SETTINGS, 0)
        while True:
            head = self.read(connection, self.HEAD_BYTES)
            size, kind, flags, stream = head[:3], head[3], head[4], head[5:]
            size = int.from_bytes(size, "big")
            body = self.read(connection, size) if size else b""
            if kind in (self.SETTINGS, self.PING) and not flags & self.ACK:
                answer = body if kind == self.PING else b""
                self.send(connection, kind, self.ACK, body=answer)
            if kind == self.HEADERS:
                # HPACK, literals: ":status" is number 8 of the static table, "content-type" 31.
                status = b"\x08\x03" + str(self.next_status()).encode()
                block = status + b"\x0f\x10\x09text/html"
                self.send(connection, self.HEADERS, self.END_STREAM_AND_HEADERS, stream, block)


class Strangers(External):
    def setUp(self):
        super().setUp()
        self.sku, self.customer = self.product(500, pieces=10), self.wallet(5000)

    def orders_while(self, name, come, leave, asked):
        """Orders are placed while a stranger has the address of a program; they are paid afterwards."""
        placed = [self.place(self.customer, [(self.sku, 1)]) for _ in range(2)]
        with self.away(name):
            stranger = come()
            placed += [self.place(self.customer, [(self.sku, 1)]) for _ in range(2)]
            try:
                wait_until(lambda: asked(stranger), 20, f"the stranger at {name}'s address is asked")
            finally:
                leave(stranger)
        for order_id in placed:
            self.assert_paid(order_id, total_minor=500)

    def proxy_at(self, name):
        proxy = Proxy()

        def come():
            server = grpc.server(concurrent.futures.ThreadPoolExecutor(8), handlers=[proxy])
            server.add_insecure_port(self.mesh.inner_address(name))
            server.start()
            return server

        self.orders_while(
            name, come, lambda server: server.stop(None).wait(), lambda _: proxy.count >= len(CODES)
        )

    def test_a_proxy_at_the_address_of_storage(self):
        self.proxy_at("storage")

    def test_a_proxy_at_the_address_of_the_orchestrator(self):
        self.proxy_at("saga")

    def test_pages_at_the_address_of_storage(self):
        for kind in (OldPages, NewPages):
            with self.subTest(kind.__name__):
                self.orders_while(
                    "storage",
                    lambda: kind(self.mesh.inner_address("storage")),
                    lambda pages: pages.close(),
                    lambda pages: pages.count >= 4,
                )

    def test_another_program_at_the_address_of_storage(self):
        """A port mixed up in a deployment: it is one of ours, and knows the envelope."""

        before = {}

        def come():
            before["attempts"] = self.attempts()
            wrong = self.mesh.add("wrong", like="account")
            wrong.inner_port = self.mesh.programs["storage"].inner_port
            self.mesh.start("wrong")
            return "wrong"

        def leave(name):
            self.mesh.kill(name)
            del self.mesh.programs[name]

        def asked(_):
            return self.attempts() > before["attempts"] + 2

        self.orders_while("storage", come, leave, asked)

    def attempts(self):
        """The most that a step of an open saga has made."""
        pb = self.mesh.saga_pb
        listed = self.mesh.insist(self.mesh.sagas.List, pb.ListRequest(page_size=100)).sagas
        got = [self.mesh.saga(saga.saga_id) for saga in listed]
        return max((step.attempts for saga in got for step in saga.steps), default=0)

    def test_a_customer_of_bff_hears_that_it_is_trouble(self):
        """And never a client's error: who made the request has made none."""
        proxy = Proxy()
        with self.away("order"):
            server = grpc.server(concurrent.futures.ThreadPoolExecutor(8), handlers=[proxy])
            server.add_insecure_port(self.mesh.address("order"))
            server.start()
            answers = {}

            def ask():
                status, body = self.bff("GET", "/api/v1/orders/01a21f2f-8c2c-707c-834b-8c953de12f5a")
                answers[status] = body.get("code")
                return proxy.count >= 2 * len(CODES)

            try:
                wait_until(ask, 20, "the stranger has said all it says")
            finally:
                server.stop(None).wait()
        self.assertEqual(set(answers), {503}, answers)
        self.assertEqual(set(answers.values()), {"UNAVAILABLE"}, answers)
