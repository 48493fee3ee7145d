"""Stories of who owns the sagas, and of those that lie in rows: a second orchestrator takes over in the
middle of the work, an idle one notices, and parked sagas are listed and left where they are."""

import contextlib

from external import External
from patience import wait_until
from story import Story

TAKEN_OVER = 1  # the exit status of one that has lost its shards


class Orchestrators(Story):
    @contextlib.contextmanager
    def second(self):
        """Another saga-svc on the same database; it runs when the block begins."""
        program = self.mesh.add("saga2", like="saga")
        try:
            self.mesh.start("saga2")
            yield
        finally:
            if program.is_alive():
                self.mesh.kill("saga2")
            del self.mesh.programs["saga2"]

    def assert_taken_over(self, name):
        self.assertEqual(self.mesh.wait_ended(name), TAKEN_OVER)

    def test_another_takes_over_under_load(self):
        """There and back again, while orders are placed without a pause."""
        sku, customers = self.product(5, pieces=2000), [self.wallet(5000) for _ in range(4)]
        with self.placing(customers, sku) as orders:
            wait_until(lambda: len(orders) > 20, 20, "orders are under way")
            with self.second():
                self.assert_taken_over("saga")
                self.mesh.start("saga")
                self.assert_taken_over("saga2")
        for order_id in orders:
            self.assert_paid(order_id, total_minor=5)

    def test_one_that_has_nothing_to_write_notices(self):
        with self.second():
            self.assert_taken_over("saga")
        self.mesh.start("saga")


class Parked(External):
    def setUp(self):
        super().setUp()
        self.orders = []
        for _ in range(3):
            order_id, _ = self.place_external()
            self.waiting(order_id)
            self.orders.append(order_id)
        wait_until(lambda: self.parked() >= set(self.orders), 20, "all three are parked")

    def parked(self):
        return {id for (id,) in self.mesh.psql("saga", "SELECT id FROM journal_parked")}

    def in_memory(self):
        """How many sagas the orchestrator brought into memory when it began, and knows of."""
        lines = (self.mesh.logs / "saga.log").read_text().splitlines()
        line = [line for line in lines if " recovered=" in line][-1]
        return dict(word.split("=", 1) for word in line.split() if "=" in word)

    def listed(self, phase):
        code, answer = self.sagactl("list", "--phase", phase, "--json")
        self.assertEqual(code, 0, answer)
        return {saga["saga_id"] for saga in answer["sagas"]}

    def pay_all(self):
        for order_id in self.orders:
            self.provider.pay(self.payment(order_id).id)
        for order_id in self.orders:
            self.assert_paid(order_id, total_minor=1000)

    def test_they_are_listed_by_phase(self):
        self.assertLessEqual(set(self.orders), self.listed("waiting"))
        self.assertEqual(set(self.orders) & self.listed("stuck"), set())
        self.pay_all()

    def test_they_stay_in_rows_over_a_restart(self):
        self.mesh.restart("saga")
        self.assertEqual(self.in_memory()["parked"], str(len(self.parked())))
        self.assertLessEqual(set(self.orders), self.listed("waiting"))
        self.pay_all()

    def test_they_are_cancelled_after_a_restart(self):
        self.mesh.restart("saga")
        for order_id in self.orders:
            self.mesh.cancel(order_id)
        for order_id in self.orders:
            self.assert_failed(order_id, "CANCELED")
