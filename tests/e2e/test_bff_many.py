"""A thousand connections to bff at once, all of one thread of the test: everybody is answered, memory
stays bounded, and who is slow is cut off.
"""

import json
import resource
import selectors
import socket
import time

from frontend import Bff
from mesh import uuid7
from story import shared

CONNECTIONS = 1000
ROUNDS = 3  # requests of each connection, one after another
SLOW = 20  # connections besides that send half a head and no more
HEAD_SECONDS = 10  # what bff gives a head
SECONDS_MAX = 90
# What bff's resident memory may grow by for each connection: parser, arena and buffers of a request
# under way. It was 16 KiB; arenas that were not given back after each of the rounds would be above it.
# (AddressSanitizer keeps what was freed for a while.)
BYTES_PER_CONNECTION_MAX = 32 * 1024
SANITIZED_FACTOR = 16


class Client:
    """A connection that sends its requests one after another; status and body of each answer."""

    def __init__(self, address, requests):
        self.requests, self.answers, self.received = requests, [], b""
        self.socket = socket.create_connection(address)
        self.socket.setblocking(False)
        self.say()

    def say(self):
        data = self.requests[len(self.answers)]
        assert self.socket.send(data) == len(data)  # a few hundred bytes, and nothing before them

    def hear(self):
        """Reads what there is; True when all its requests are answered."""
        data = self.socket.recv(1 << 16)
        assert data, f"closed after {len(self.answers)} answers and {self.received!r}"
        self.received += data
        head, _, body = self.received.partition(b"\r\n\r\n")
        lines = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
        if b"content-length" not in lines or len(body) < int(lines[b"content-length"]):
            return False
        self.answers.append((int(head.split(b" ")[1]), json.loads(body)))
        self.received = b""
        if len(self.answers) < len(self.requests):
            self.say()
            return False
        return True


class Many(Bff):
    def memory_bytes(self):
        """Resident, of bff now."""
        pages = open(f"/proc/{self.mesh.pid('bff')}/statm").read().split()[1]
        return int(pages) * resource.getpagesize()

    def request(self, method, path, token, body=b"", key=None):
        lines = f"{method} {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n"
        if key:
            lines += f"Idempotency-Key: {key}\r\nContent-Type: application/json\r\n"
            lines += f"Content-Length: {len(body)}\r\n"
        return (lines + "\r\n").encode() + body

    def open_clients(self, address, customer, sku):
        """Every other one places an order in its first round; else they look at one."""
        token = self.token(customer)
        wish = json.dumps(self.wish(customer, [(sku, 1)])).encode()
        known = self.post(customer, self.wish(customer, [(sku, 1)])).json["orderNo"]
        look = self.request("GET", f"/api/v1/orders/{known}", token)
        clients = []
        for i in range(CONNECTIONS):
            place = self.request("POST", "/api/v1/orders", token, wish, uuid7())
            clients.append(Client(address, [place if i % 2 else look] + [look] * (ROUNDS - 1)))
        return clients

    def serve(self, clients):
        """Until all have their answers; the most memory that bff had meanwhile."""
        selector, left, most = selectors.DefaultSelector(), len(clients), 0
        deadline = time.monotonic() + SECONDS_MAX
        for client in clients:
            selector.register(client.socket, selectors.EVENT_READ, client)
        while left:
            self.assertLess(time.monotonic(), deadline, f"{left} are not answered")
            for key, _ in selector.select(1):
                if key.data.hear():
                    selector.unregister(key.data.socket)
                    left -= 1
            most = max(most, self.memory_bytes())
        selector.close()
        return most

    def hear_cut(self, slow):
        """What a slow one hears in the end."""
        slow.settimeout(SECONDS_MAX)
        answer = b""
        while data := slow.recv(4096):
            answer += data
        return answer

    def test_a_thousand_connections(self):
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        self.addCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        address = ("127.0.0.1", self.mesh.programs["bff"].port)
        sku, customer = self.product(5, pieces=CONNECTIONS), self.wallet(10 * CONNECTIONS)
        before, began = self.memory_bytes(), time.monotonic()
        slow = [socket.create_connection(address) for _ in range(SLOW)]
        for one in slow:
            one.sendall(b"GET /livez HTTP/1.1\r\nHost: ")
        clients = self.open_clients(address, customer, sku)
        most = self.serve(clients)
        placed = [c.answers[0] for i, c in enumerate(clients) if i % 2]
        looks = [a for i, c in enumerate(clients) for a in c.answers[i % 2 :]]
        shared.placed += [answer["orderNo"] for _, answer in placed if "orderNo" in answer]
        self.assertEqual({status for status, _ in looks}, {200})
        self.assertLessEqual({status for status, _ in placed}, {201, 202})
        self.assertEqual(len({answer["orderNo"] for _, answer in placed}), CONNECTIONS // 2)
        factor = SANITIZED_FACTOR if "asan" in self.mesh.build.name else 1
        self.assertLess(most - before, (CONNECTIONS + SLOW) * BYTES_PER_CONNECTION_MAX * factor)
        for one in slow:
            self.assertTrue(self.hear_cut(one).startswith(b"HTTP/1.1 408 "))
            self.assertGreater(time.monotonic() - began, HEAD_SECONDS - 1)
        for one in slow + [client.socket for client in clients]:
            one.close()
