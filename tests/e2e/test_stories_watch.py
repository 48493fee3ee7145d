"""Stories of somebody who watches a saga (SagaService.Watch)."""

import time

from external import External
from mesh import refusal, uuid7
from patience import wait_until

WAIT_MS_MAX = 20000
SHORT_MS = 300
# Far below the longest wait, far above what an answer takes.
AT_ONCE_SECONDS = 10
DRAIN_MS = 20000


class Watch(External):
    def request(self, saga_id, known_version, wait_ms=WAIT_MS_MAX):
        return self.mesh.saga_pb.WatchRequest(
            saga_id=saga_id, known_version=known_version, wait_ms=wait_ms
        )

    def watch(self, saga_id, known_version, wait_ms=WAIT_MS_MAX):
        """A call under way."""
        request = self.request(saga_id, known_version, wait_ms)
        return self.mesh.sagas.Watch.future(request, timeout=WAIT_MS_MAX / 1000 + 10)

    def timed(self, saga_id, known_version, wait_ms=WAIT_MS_MAX):
        """The answer, and how many seconds it took."""
        began = time.monotonic()
        answer = self.watch(saga_id, known_version, wait_ms).result()
        return answer, time.monotonic() - began

    def waiting_saga(self):
        """The saga of an order that can be paid, and its payment."""
        order_id, _ = self.place_external()
        payment = self.waiting(order_id)
        return self.wait_saga(order_id, "WAITING", "WaitForPayment"), payment

    def test_it_waits_and_is_told_of_the_change(self):
        saga, payment = self.waiting_saga()
        watchers = [self.watch(saga.saga_id, saga.version) for _ in range(3)]
        self.provider.pay(payment.id)
        for watcher in watchers:
            answer = watcher.result()
            self.assertTrue(answer.has_changed)
            self.assertGreater(answer.saga.version, saga.version)
            self.assertEqual(answer.saga.saga_id, saga.saga_id)
            self.assertIn("WaitForPayment", [step.state for step in answer.steps])
        self.assert_paid(saga.saga_id, total_minor=1000)

    def test_from_change_to_change_until_the_end(self):
        saga, payment = self.waiting_saga()
        self.provider.pay(payment.id)
        version = saga.version
        while saga.phase != self.mesh.saga_pb.SAGA_PHASE_ENDED:
            answer = self.watch(saga.saga_id, version).result()
            self.assertTrue(answer.has_changed)
            saga, version = answer.saga, answer.saga.version
        self.assertEqual(saga.status, "SU")
        # It will never change again, so nobody is left to wait.
        answer, seconds = self.timed(saga.saga_id, version)
        self.assertFalse(answer.has_changed)
        self.assertEqual((answer.saga.saga_id, len(answer.steps)), ("", 0))
        self.assertLess(seconds, AT_ONCE_SECONDS)
        answer, seconds = self.timed(saga.saga_id, 1)
        self.assertTrue(answer.has_changed)
        self.assertEqual(answer.saga, saga)

    def test_who_knows_another_version_does_not_wait(self):
        saga, payment = self.waiting_saga()
        for known in (0, saga.version - 1, saga.version + 1):
            answer, seconds = self.timed(saga.saga_id, known)
            self.assertEqual((answer.has_changed, answer.saga.version), (True, saga.version), known)
            self.assertLess(seconds, AT_ONCE_SECONDS)
        self.mesh.cancel(payment.order_id)
        self.assert_failed(payment.order_id, "CANCELED")

    def test_nothing_changes_in_its_time(self):
        saga, payment = self.waiting_saga()
        long = self.watch(saga.saga_id, saga.version)
        for wait_ms in (0, SHORT_MS):
            answer, seconds = self.timed(saga.saga_id, saga.version, wait_ms)
            self.assertFalse(answer.has_changed)
            self.assertEqual((answer.saga.saga_id, len(answer.steps)), ("", 0))
            self.assertGreaterEqual(seconds, wait_ms / 1000)
            self.assertLess(seconds, AT_ONCE_SECONDS)
        self.assertFalse(long.done(), "another one's time is its own")
        self.mesh.cancel(payment.order_id)
        self.assertTrue(long.result().has_changed)
        self.assert_failed(payment.order_id, "CANCELED")

    def test_a_saga_that_is_parked(self):
        """It has left the orchestrator's memory, once with somebody who watches."""
        saga, payment = self.waiting_saga()
        before = self.watch(saga.saga_id, saga.version)
        wait_until(
            lambda: self.mesh.psql(
                "saga", f"SELECT 1 FROM journal_parked WHERE id = '{saga.saga_id}'"),
            20, "it is parked",
        )
        after = self.watch(saga.saga_id, saga.version)
        self.provider.pay(payment.id)
        for watcher in (before, after):
            self.assertTrue(watcher.result().has_changed)
        self.assert_paid(saga.saga_id, total_minor=1000)

    def test_a_saga_that_is_not_there(self):
        error = refusal(self.mesh.sagas.Watch, self.request(uuid7(), 1), timeout=5)
        self.assertEqual((error.code.name, error.reason), ("NOT_FOUND", "NOT_FOUND"), error)

    def test_the_orchestrator_stops(self):
        """Whoever watches is answered first, so that nobody waits for the drain to be over."""
        saga, payment = self.waiting_saga()
        self.mesh.flags["saga"].append(f"--drain-ms={DRAIN_MS}")
        self.mesh.restart("saga")
        try:
            saga = self.mesh.saga(saga.saga_id).saga
            watcher = self.watch(saga.saga_id, saga.version)
            self.timed(saga.saga_id, saga.version, SHORT_MS)  # the one before it waits by now
            began = time.monotonic()
            self.assertEqual(self.mesh.stop("saga"), 0)
            self.assertLess(time.monotonic() - began, DRAIN_MS / 2000)
            self.assertFalse(watcher.result().has_changed)
        finally:
            self.mesh.flags["saga"].pop()
            self.mesh.start("saga")
        self.provider.pay(payment.id)
        self.assert_paid(saga.saga_id, total_minor=1000)
