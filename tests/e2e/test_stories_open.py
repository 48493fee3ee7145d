"""Thousands of sagas that wait for an event: out of the orchestrator's memory as fast as they come, and known
again when it says that it is ready."""

import json
import pathlib
import shutil
import tempfile
import time
import unittest

import grpc
from grpc.health.v1 import health_pb2
from lock import Lock
from mesh import Mesh, refusal, uuid7
from patience import wait_until

SAGAS = 12_000
ENVELOPE_ITEMS = 256
PARKED_SECONDS = 40  # at 200 a second they took a minute
WAITER = {
    "Name": "waiter",
    "Version": "1",
    "StartState": "Wait",
    "States": {
        "Wait": {
            "Type": "WaitForEvent",
            "Event": "payment",
            "Until": "[payment]?.claim == 'TAKEN'",
            "TimeoutSeconds": 86400,
            "TimeoutNext": "Done",
            "Next": "Done",
        },
        "Done": {"Type": "Succeed"},
    },
}
# About what an order has.
INPUT = {"lines": [{"sku": f"pen-{i}", "quantity": i + 1} for i in range(5)], "customerId": "c" * 40}


class Open(unittest.TestCase):
    def setUp(self):
        self.definitions = pathlib.Path(tempfile.mkdtemp(prefix="mesh-definitions-"))
        self.addCleanup(shutil.rmtree, self.definitions)
        (self.definitions / "waiter.json").write_text(json.dumps(WAITER))
        # One shard: a list is in the order of each, one after the other.
        self.mesh = Mesh(flags={"saga": [f"--definitions={self.definitions}"]}, shards=1)
        self.mesh.open()

    def tearDown(self):
        result = self._outcome.result
        self.mesh.close(keep_logs=any(test is self for test, _ in result.failures + result.errors))

    def start_request(self, saga_id=None):
        return self.mesh.saga_pb.StartRequest(
            saga_id=saga_id or uuid7(), definition="waiter", input_json=json.dumps(INPUT)
        )

    def start_many(self, count):
        pb = self.mesh.batch_pb
        for at in range(0, count, ENVELOPE_ITEMS):
            items = [
                pb.CallItem(
                    method="sagamesh.saga.v1.SagaControlService/Start",
                    request=self.start_request().SerializeToString(),
                )
                for _ in range(min(ENVELOPE_ITEMS, count - at))
            ]
            answer = self.mesh.batch("saga-inner").Call(pb.CallRequest(items=items), timeout=60)
            self.assertEqual({result.status.code for result in answer.results}, {0})

    def parked(self):
        return int(self.mesh.psql("saga", "SELECT count(*) FROM journal_parked")[0][0])

    def memory_mb(self):
        status = pathlib.Path(f"/proc/{self.mesh.pid('saga')}/status").read_text()
        line = next(line for line in status.splitlines() if line.startswith("VmRSS"))
        return int(line.split()[1]) / 1024

    def log_lines(self):
        return (self.mesh.logs / "saga.log").read_text().splitlines()

    def test_sagas_leave_the_memory_as_fast_as_they_come(self):
        before = self.memory_mb()
        self.start_many(SAGAS)
        full = self.memory_mb()
        began = time.monotonic()
        wait_until(lambda: self.parked() == SAGAS, 300, "all are parked")
        self.assertLess(time.monotonic() - began, PARKED_SECONDS)
        if not self.mesh.is_sanitized():  # a sanitizer keeps what is freed
            # A quarter at most, and what a program needs for some time on the way.
            wait_until(
                lambda: self.memory_mb() - before < (full - before) / 4 + 8, 30,
                f"the memory is given back: {before:.0f} MB, with all of them {full:.0f} MB",
            )

    def test_ready_means_that_all_are_known(self):
        self.start_many(2000)
        self.mesh.kill("saga")
        with Lock(self.mesh, "saga", "SELECT shard FROM journal_shard FOR UPDATE"):
            self.mesh.start("saga", wait=False)
            # Its keeper has found the database by now, and its shard waits to be taken over.
            looked = "query LIKE 'SELECT (extract(epoch FROM clock_timestamp())%'"
            wait_until(lambda: self.sessions(looked), 60, "the keeper has looked")
            wait_until(lambda: self.sessions("wait_event_type = 'Lock'"), 60, "the shard waits")
            self.assertEqual(self.health(), health_pb2.HealthCheckResponse.NOT_SERVING)
            self.assertFalse(self.mesh.ready_file("saga").exists())
        self.mesh.wait_ready("saga")
        self.assertEqual(self.health(), health_pb2.HealthCheckResponse.SERVING)
        lines = [line for line in self.log_lines() if "recovered=" in line or "serving=yes" in line]
        self.assertIn("recovered=2000", lines[-2])
        self.assertIn("serving=yes", lines[-1])
        self.mesh.insist(self.mesh.sagas.Start, self.start_request())

    def list(self, page_size=100, token="", phase=0):
        """Ids, and the token of the next page."""
        request = self.mesh.saga_pb.ListRequest(page_size=page_size, page_token=token, phase=phase)
        page = self.mesh.insist(self.mesh.sagas.List, request)
        return [saga.saga_id for saga in page.sagas], page.next_page_token

    def walk(self, page_size, phase=0):
        ids, token = self.list(page_size, phase=phase)
        while token:
            more, token = self.list(page_size, token, phase)
            ids += more
        return ids

    def test_lists_are_in_the_order_of_arrival_and_of_ending(self):
        """The ids do not count; and it is so through a restart and parking."""
        day_ms = 24 * 3600 * 1000
        now_ms = time.time_ns() // 1_000_000
        ids = [uuid7(now_ms - days * day_ms) for days in (0, 40, 20, 44, 1, 30)]
        for saga_id in ids:
            self.mesh.insist(self.mesh.sagas.Start, self.start_request(saga_id))
        last_first = ids[::-1]
        self.assertEqual(self.walk(2), last_first)
        self.mesh.restart("saga")
        self.assertEqual(self.walk(3), last_first)
        wait_until(lambda: self.parked() == len(ids), 60, "all are parked")
        self.assertEqual(self.walk(100), last_first)
        self.mesh.restart("saga")
        self.assertEqual(self.walk(2), last_first)

        # What arrives between two pages moves nothing that is on the second; nor does what ends.
        page, token = self.list(2)
        ids.append(uuid7(now_ms - 41 * day_ms))
        self.mesh.insist(self.mesh.sagas.Start, self.start_request(ids[-1]))
        self.cancel(page[-1])
        self.assertEqual(self.list(100, token), (last_first[2:], ""))
        self.assertEqual(self.list(1)[0], ids[-1:])

        ended = [page[-1], ids[3], ids[0], ids[-1], ids[1]]
        for saga_id in ended[1:]:
            self.cancel(saga_id)
        for size in (2, 100):
            self.assertEqual(self.walk(size, self.mesh.saga_pb.SAGA_PHASE_ENDED), ended[::-1])
        self.mesh.restart("saga")
        self.assertEqual(self.walk(1, self.mesh.saga_pb.SAGA_PHASE_ENDED), ended[::-1])
        for token in ("x", "1", "1.", ".1", "1.1.1", " 1.1", uuid7(), "1.99999999999999999999", "9999.1"):
            said = refusal(self.list, 1, token)
            self.assertEqual((said.reason, said.metadata["field"]), ("BAD_REQUEST", "page_token"), token)

    def call_together(self, *calls):
        """Calls of one envelope, which come to the shard in one tick."""
        pb = self.mesh.batch_pb
        items = [
            pb.CallItem(method=f"sagamesh.saga.v1.{name}", request=request.SerializeToString())
            for name, request in calls
        ]
        return self.mesh.batch("saga-inner").Call(pb.CallRequest(items=items), timeout=60).results

    def test_who_watches_a_saga_whose_start_is_refused_is_told(self):
        pb, start = self.mesh.saga_pb, self.start_request()
        condition = f"body NOT LIKE '%{start.saga_id}%'"
        self.mesh.psql("saga", f"ALTER TABLE journal_page ADD CONSTRAINT no_such CHECK ({condition})")
        watches = [
            ("SagaService/Watch", pb.WatchRequest(saga_id=start.saga_id, known_version=version, wait_ms=20000))
            for version in range(1, 5)
        ]
        started, *watched = self.call_together(("SagaControlService/Start", start), *watches)
        self.assertEqual(started.status.code, grpc.StatusCode.INTERNAL.value[0], started)
        waited = [result for result in watched if result.status.code == 0]
        self.assertEqual(len(waited), 1, watched)  # at the version that it was to begin with
        self.assertFalse(pb.WatchResponse.FromString(waited[0].response).has_changed)
        self.assertEqual(refusal(self.mesh.saga, start.saga_id).reason, "NOT_FOUND")

    def test_a_saga_that_is_settled_is_not_retried_in_the_same_tick(self):
        """One that could not be read, and could be by then."""
        pb, start = self.mesh.saga_pb, self.start_request()
        self.mesh.insist(self.mesh.sagas.Start, start)
        wait_until(lambda: self.parked() == 1, 60, "it is parked")
        change = "UPDATE journal_parked SET body = replace(body, '\"steps\":%s', '\"steps\":%s')"
        self.mesh.psql("saga", change % ("[", "{["))
        wait_until(
            lambda: self.mesh.saga(start.saga_id).saga.error_code == "UNREADABLE", 60, "it is unreadable"
        )
        self.mesh.psql("saga", change % ("{[", "["))
        words = {"saga_id": start.saga_id, "comment": "test: both at once"}
        settled, retried = self.call_together(
            ("SagaControlService/Settle", pb.SettleRequest(request_id=uuid7(), settlement=pb.SETTLEMENT_ENDED, **words)),
            ("SagaControlService/Retry", pb.RetryRequest(request_id=uuid7(), **words)),
        )
        self.assertEqual(settled.status.code, 0, settled)
        self.assertNotEqual(retried.status.code, 0, retried)
        saga = self.mesh.saga(start.saga_id).saga
        self.assertEqual((saga.phase, saga.status), (pb.SAGA_PHASE_ENDED, "UN"), saga)

    def cancel(self, saga_id):
        request = self.mesh.saga_pb.CancelRequest(request_id=uuid7(), saga_id=saga_id)
        self.mesh.insist(self.mesh.sagas.Cancel, request)
        wait_until(
            lambda: self.mesh.saga(saga_id).saga.phase == self.mesh.saga_pb.SAGA_PHASE_ENDED, 20, "ended"
        )

    def health(self):
        """Asked again over the connection of the program that was killed."""
        for _ in range(100):
            try:
                return self.mesh.health("saga")
            except grpc.RpcError:
                time.sleep(0.05)
        raise AssertionError("no answer")

    def sessions(self, condition):
        return self.mesh.psql(
            "saga", f"SELECT pid FROM pg_stat_activity WHERE datname = 'saga' AND {condition}"
        )
