"""Stories of who owns the sagas, and of those that lie in rows: orchestrators share the work, one after the other
dies or stops in the middle of it, and parked sagas are listed and left where they are."""

import contextlib

import metrics
from external import External
from patience import wait_until
from story import Story

NAMES = ("saga", "saga2", "saga3")


class Orchestrators(Story):
    @contextlib.contextmanager
    def three(self):
        """Two more on the same database. Services know the first one alone, which hands on what is not its own."""
        try:
            for name in NAMES[1:]:
                self.mesh.start(self.mesh.add(name, like="saga").name)
            wait_until(lambda: all(self.owned(name) for name in NAMES), 20, "each has its share")
            yield
        finally:
            for name in NAMES[1:]:
                if self.mesh.programs[name].is_alive():
                    self.mesh.kill(name)
                del self.mesh.programs[name]

    def owned(self, name):
        """How many shards it has, by its own word."""
        if not self.mesh.programs[name].is_alive():
            return 0
        return metrics.scrape(self.mesh, name)["sagamesh_saga_shards_owned"]

    def assert_divided(self, names):
        shards = int(self.mesh.psql("saga", "SELECT count(*) FROM journal_shard")[0][0])
        wait_until(
            lambda: sum(self.owned(name) for name in names) == shards
            and max(self.owned(name) for name in names) <= -(-shards // len(names)),
            20, f"{', '.join(names)} divide {shards} shards")

    def test_each_dies_while_orders_are_placed(self):
        """The others take its shards, and it gets its share again."""
        sku, customers = self.product(5, pieces=10**6), [self.wallet(10**7) for _ in range(4)]
        with self.three(), self.placing(customers, sku) as orders:
            for name in NAMES:
                count = len(orders)
                self.mesh.kill(name)
                if name != "saga":  # else nobody can be asked to start a saga
                    self.assert_divided([other for other in NAMES if other != name])
                self.mesh.start(name)
                self.assert_divided(NAMES)
                wait_until(lambda count=count: len(orders) > count + 20, 20, "orders go on")
        count = f"SELECT count(*) FROM orders WHERE customer_id IN ({', '.join(map(repr, customers))}) AND status "
        wait_until(lambda: self.mesh.psql("orders", count + "< 3") == [["0"]], 60, "all orders are final")
        self.assertEqual(self.mesh.psql("orders", count + "= 3"), [[str(len(orders))]])
        self.assert_stock(sku, free=10**6 - len(orders), sold=len(orders))

    def test_one_comes_and_goes_and_no_call_fails(self):
        """Shards are handed over: whoever asks the first one has an answer each time, about each saga."""
        ids = [self.place(self.wallet(100), [(self.product(5, pieces=1), 1)]) for _ in range(20)]
        for order_id in ids:
            self.assert_paid(order_id, total_minor=5)
        pb = self.mesh.saga_pb
        with self.three():
            self.mesh.stop("saga3")
            for order_id in ids:
                answer = self.mesh.sagas.Get(pb.GetRequest(saga_id=order_id), timeout=10)
                self.assertEqual(answer.saga.status, "SU")
            self.assertEqual(sorted(set(ids) - self.listed_as(pb.SAGA_PHASE_ENDED)), [])
            self.assert_divided(NAMES[:2])

    def listed_as(self, phase):
        """Page after page, from the first orchestrator alone."""
        pb, ids, token = self.mesh.saga_pb, set(), ""
        while True:
            request = pb.ListRequest(page_size=1000, phase=phase, page_token=token)
            page = self.mesh.sagas.List(request, timeout=10)
            ids.update(saga.saga_id for saga in page.sagas)
            token = page.next_page_token
            if not token:
                return ids

    def test_one_that_stood_still_has_lost_its_shards(self):
        """It goes on with what it is given then, and is not ended."""
        with self.three():
            self.mesh.pause("saga2")
            try:
                self.assert_divided(("saga", "saga3"))
            finally:
                self.mesh.resume("saga2")
            self.assert_divided(NAMES)
            order_id = self.place(self.wallet(100), [(self.product(5, pieces=1), 1)])
            self.assert_paid(order_id, total_minor=5)


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

    def in_rows(self):
        """How many sagas the orchestrator left in their rows when it began, as each shard says."""
        shards = {}
        for line in (self.mesh.logs / "saga.log").read_text().splitlines():
            if " recovered=" in line:
                words = dict(word.split("=", 1) for word in line.split() if "=" in word)
                shards[words["shard"]] = int(words["parked"])
        return sum(shards.values())

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
        self.assertEqual(self.in_rows(), len(self.parked()))
        self.assertLessEqual(set(self.orders), self.listed("waiting"))
        self.pay_all()

    def test_they_are_cancelled_after_a_restart(self):
        self.mesh.restart("saga")
        for order_id in self.orders:
            self.mesh.cancel(order_id)
        for order_id in self.orders:
            self.assert_failed(order_id, "CANCELED")
