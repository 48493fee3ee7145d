"""The story of two orders that nobody looks after: bff is dead, and the service itself asks the provider.

It lasts a minute in which little happens. So it begins when it is loaded, on a mesh of its own, while
other stories go on; the test only waits for its end.
"""

import concurrent.futures
import json
import pathlib
import tempfile
import threading

import external
import invariants
import story
from external import External
from mesh import Mesh
from patience import wait_until

FLOW = "pay_within_a_minute"


class Alone(External):
    def __init__(self, name):
        super().__init__(name)
        self.placed = []
        self.end = concurrent.futures.Future()
        threading.Thread(target=self.live, daemon=True).start()

    def setUp(self):
        """The mesh of the other stories is not wanted."""

    def tearDown(self):
        """What must be true was looked at when it was over."""

    def test_without_bff_the_service_itself_asks(self):
        self.assertEqual(self.end.result().violations, [])

    def live(self):
        try:
            with tempfile.TemporaryDirectory() as folder:
                flow = story.saga_named(FLOW, external.pay_within_a_minute)
                (pathlib.Path(folder) / f"{FLOW}.json").write_text(json.dumps(flow))
                with Mesh(flags={"saga": [f"--definitions={folder}"]}) as self.mesh:
                    report = self.go_through()
            self.end.set_result(report)
        except BaseException as error:  # also a KeyboardInterrupt is the test's to raise
            self.end.set_exception(error)

    def go_through(self):
        """One whose webhook finds nobody, and one that nobody ever pays."""
        self.pb, self.provider = self.mesh.order_pb, external.Provider(self.mesh)
        self.mesh.kill("bff")
        paid, _ = self.place_external(flow=FLOW)
        left, _ = self.place_external(flow=FLOW)
        self.waiting(left)
        self.provider.pay(self.waiting(paid).id)
        seconds = external.OWN_POLL_SECONDS
        wait_until(lambda: self.status(paid) == "PAID", seconds, "PAID by the service's poll")
        wait_until(lambda: self.status(left) == "FAILED", seconds, "the other one is over")
        self.assert_paid(paid, total_minor=1000)
        self.assert_failed(left, "PAYMENT_EXPIRED")
        self.assertEqual(self.assert_settled(paid, "SUCCEEDED", "TAKEN").webhooks, 0)
        self.assert_settled(left, "EXPIRED", "ABANDONED")
        return invariants.check(self.mesh, self.placed, seconds=story.GO_ON_SECONDS)

    def place(self, customer_id, lines, **options):
        self.placed.append(self.mesh.place(customer_id, lines, **options))
        return self.placed[-1]
