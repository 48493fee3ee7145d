"""News on a real Kafka: everything, in order per key, and alerts of what disagrees, whatever is killed while orders
are placed."""

import collections
import os
import signal
import subprocess
import tempfile
import threading
import unittest

import alerts
import news
import story
from kafka_server import Kafka
from mesh import Mesh, ROOT
from patience import wait_until

RELAYS = ("order", "account")
EXTERNAL_EVERY = 5  # one order of so many is paid at the provider
OPEN_MAX = 50


class Shop:
    """A thread that goes on placing orders, and pays those that are paid at the provider, whatever is
    killed meanwhile."""

    def __init__(self, test):
        self.test, self.mesh = test, test.mesh
        self.orders = []
        self.unpaid = collections.deque()
        self.late = []  # orders that are cancelled just when they are paid
        self.open = collections.deque()
        self.must_end = threading.Event()
        self.error = None
        self.thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, kind, value, trace):
        """Once every order that was placed can go on by itself, and no payment comes late any more."""
        self.must_end.set()
        self.thread.join()
        if kind is not None:
            return
        if self.error is not None:
            raise self.error
        for order in self.late:
            self._wait_settled(order)

    def _wait_settled(self, order):
        """The money came before the cancel was decided, and the order is PAID; or it goes back."""
        order = self.mesh.wait_final(order.order_id, seconds=news.REST_SECONDS)
        if order.status != self.mesh.order_pb.ORDER_STATUS_PAID:
            self.test.wait_paid_back(order.payment_id)

    def wait_more(self, count, seconds=news.REST_SECONDS):
        """Until so many more were placed."""
        wanted = len(self.orders) + count

        def are_there():
            if self.error is not None:
                raise self.error
            return len(self.orders) >= wanted

        wait_until(are_there, seconds, f"{count} more orders")

    def _run(self):
        try:
            while not self.must_end.is_set():
                self._place()
                self._press()
                if len(self.open) > OPEN_MAX:
                    self.mesh.wait_final(self.open.popleft(), seconds=news.REST_SECONDS)
            while self.unpaid:
                self._press()
        except Exception as error:  # pylint: disable=broad-except
            self.error = error

    def _place(self):
        is_external = len(self.orders) % EXTERNAL_EVERY == 0
        customer = "nobody" if is_external else self.test.reader
        provider = "sandbox" if is_external else ""
        order_id = self.mesh.place(customer, [(self.test.sku, 1)], provider=provider)
        (self.unpaid if is_external else self.open).append(order_id)
        self.orders.append(order_id)

    def _press(self):
        """The oldest that can be paid is; or declined, or cancelled and paid too late."""
        if not self.unpaid:
            return
        order = self.mesh.order(self.unpaid[0])
        if order.status == self.mesh.order_pb.ORDER_STATUS_PENDING:
            return
        self.open.append(self.unpaid.popleft())
        provider, turn = self.test.provider, len(self.orders) // EXTERNAL_EVERY % 3
        if turn == 1:
            provider.faults("declines", payment=order.payment_id)
        if turn == 2:
            provider.faults("pays-late:300", payment=order.payment_id)
            self.late.append(order)
            self.mesh.cancel(order.order_id)
        else:
            provider.pay(order.payment_id)


class News(news.Reading, unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.scratch = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.scratch.cleanup)
        cls.kafka = Kafka(cls.scratch.name + "/kafka")
        cls.addClassCleanup(cls.kafka.close)
        cls.kafka.start()
        flag = [f"--kafka={cls.kafka.address}"]
        flags = {name: flag for name in RELAYS} | {
            "alerts": flag + alerts.flags(story.GRACE_SECONDS, story.SILENT_SECONDS, has_kafka=True)
        }
        build = os.environ.get("MESH_CRASH_BUILD", "build-crash")
        cls.mesh = Mesh(build=build, flags=flags)
        cls.enterClassContext(cls.mesh)

    def setUp(self):
        """What a test that failed has left dead runs again."""
        if not self.kafka.is_alive():
            self.kafka.start()
        self.mesh.start_ended()
        self.prepare_news()

    def broker_address(self):
        return self.kafka.address

    def test_0_the_consumer_of_news(self):
        """tests/wire/test_kafka_consumer.c, which elsewhere runs on librdkafka's mock cluster, on this Kafka."""
        build = os.environ.get("MESH_CRASH_BUILD", "build-crash")
        environment = dict(os.environ, MESH_TEST_KAFKA=self.kafka.address)
        done = subprocess.run(["./test_kafka_consumer"], cwd=ROOT / build, env=environment, timeout=600,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace")
        self.assertEqual(done.returncode, 0, done.stdout[-4000:])
        self.assertIn("100%", done.stdout)

    def test_4_kafka_is_killed_while_orders_are_placed(self):
        with Shop(self) as shop:
            for _ in range(2):
                shop.wait_more(50)
                self.kafka.kill()
                shop.wait_more(50)  # orders go on, news waits
                self.kafka.start()
        self.read_news(shop.orders)

    def test_5_relays_are_killed_while_orders_are_placed(self):
        with Shop(self) as shop:
            for name in (*RELAYS, "alerts") * 3:
                shop.wait_more(20)
                self.mesh.restart(name)
        self.read_news(shop.orders)

    def test_6_a_relay_ends_between_send_and_cursor_and_repeats(self):
        for name in RELAYS:
            with self.subTest(name):
                before = self.read_news().doubles
                with Shop(self) as shop:
                    shop.wait_more(20)
                    self.mesh.kill(name)
                    self.mesh.start(name, environment={"MESH_CRASH_AT": "relay.after-send:3"})
                    status = self.mesh.wait_ended(name, seconds=news.REST_SECONDS)
                    self.mesh.start(name)
                    shop.wait_more(20)
                self.assertEqual(status, -signal.SIGKILL)
                report = self.read_news(shop.orders)
                self.assertGreater(report.doubles, before, "what was sent once comes once more")

    def is_alive(self, name):
        return self.mesh.programs[name].is_alive()

    def test_7_all_are_killed_while_orders_are_placed(self):
        with Shop(self) as shop:
            for point in ("relay.after-send:1", "relay.after-send:5"):
                shop.wait_more(20)
                for name in RELAYS:
                    self.mesh.kill(name)
                    self.mesh.start(name, environment={"MESH_CRASH_AT": point})
                self.mesh.restart("alerts")
                self.kafka.kill()
                self.kafka.start()
                left = list(RELAYS)
                while left:  # in any order: without one of them the other soon has nothing to send
                    name = wait_until(
                        lambda: next((name for name in left if not self.is_alive(name)), None),
                        news.REST_SECONDS, f"one of {left} ended",
                    )
                    self.assertEqual(self.mesh.wait_ended(name), -signal.SIGKILL)
                    self.mesh.start(name)
                    left.remove(name)
        self.read_news(shop.orders)


if __name__ == "__main__":
    unittest.main()
