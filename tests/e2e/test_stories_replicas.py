"""Stories of services that run twice: the saga finds both, and each may go while orders are placed."""

import contextlib
import copy
import threading

import metrics
from mesh import free_port
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
        program = copy.copy(self.mesh.programs[name])
        program.name, program.process = f"{name}2", None
        program.port, program.inner_port, program.ops_port = free_port(), free_port(), free_port()
        self.mesh.programs[program.name] = program
        if name in self.mesh.flags:
            self.mesh.flags[program.name] = self.mesh.flags[name]
        self.mesh.start(program.name)

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
        orders, is_over = [], threading.Event()

        def place(customer):
            while not is_over.is_set():
                orders.append(self.place(customer, [(sku, 1)]))

        with self.twice():
            threads = [threading.Thread(target=place, args=(customer,)) for customer in customers]
            for thread in threads:
                thread.start()
            try:
                for name in SERVICES:
                    for replica in (name, f"{name}2"):
                        count = len(orders)
                        self.mesh.stop(replica)
                        wait_until(lambda count=count: len(orders) > count + 20, 20, "orders go on")
                        self.mesh.start(replica)
            finally:
                is_over.set()
                for thread in threads:
                    thread.join()
            for order_id in orders:
                self.assert_paid(order_id, total_minor=5)
            for name in SERVICES:
                wait_until(lambda name=name: self.is_asked(name), 20, f"{name}2 has its share")

    def is_asked(self, name):
        """A replica gets the half of all orders: of one more each time, until it had one."""
        self.assert_paid(self.place(self.wallet(100), [(self.product(5, pieces=1), 1)]), total_minor=5)
        return metrics.scrape(self.mesh, f"{name}2")[CALL[name]] > 0
