"""Stories of services that run twice: the saga finds both, and each may go while orders are placed."""

import contextlib

import metrics
from patience import wait_until
from story import Story

SERVICES = ("storage", "account")
# What the saga calls first of each.
CALL = {
    "storage": 'rpc_server_call_duration_seconds_count{method="sagamesh.storage.v1.StorageSagaService/Reserve",code="OK"}',
    "account": 'rpc_server_call_duration_seconds_count{method="sagamesh.ledger.v1.LedgerSagaService/Charge",code="OK"}',
}


class Replicas(Story):
    def second(self, name):
        """Another program on the same database, known by name and 2."""
        self.mesh.start(self.mesh.add(f"{name}2", like=name).name)

    def saga_asks(self, flags):
        self.mesh.stop("saga")
        self.mesh.programs["saga"].flags = flags
        self.mesh.start("saga")

    @contextlib.contextmanager
    def twice(self):
        """Two of each service, which saga-svc knows by a list."""
        flags = self.mesh.programs["saga"].flags
        both = list(flags)
        try:
            for name in SERVICES:
                self.second(name)
                both = [flag.replace(f"{{{name}-inner}}", f"{{{name}-inner}},{{{name}2-inner}}") for flag in both]
            self.saga_asks(both)
            yield
        finally:
            self.saga_asks(flags)
            for name in SERVICES:
                program = self.mesh.programs[f"{name}2"]
                if program.is_alive():
                    self.mesh.stop(program.name)
                del self.mesh.programs[program.name]

    def test_each_restarts_while_orders_are_placed(self):
        sku, customers = self.product(5, pieces=5000), [self.wallet(10000) for _ in range(4)]
        with self.twice():
            with self.placing(customers, sku) as orders:
                for name in SERVICES:
                    for replica in (name, f"{name}2"):
                        count = len(orders)
                        self.mesh.stop(replica)
                        wait_until(lambda count=count: len(orders) > count + 20, 20, "orders go on")
                        self.mesh.start(replica)
            for order_id in orders:
                self.assert_paid(order_id, total_minor=5)
            for name in SERVICES:
                wait_until(lambda name=name: self.is_asked(name), 20, f"{name}2 has its share")

    def is_asked(self, name):
        """A replica gets the half of all orders: of one more each time, until it had one."""
        self.assert_paid(self.place(self.wallet(100), [(self.product(5, pieces=1), 1)]), total_minor=5)
        return metrics.scrape(self.mesh, f"{name}2")[CALL[name]] > 0
