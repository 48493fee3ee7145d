"""The story of a shop whose databases are lost, and restored to a moment: as docs/OPERATING.md says it.

A base backup is made, WAL is archived, orders come without a pause. Then the server is gone, what only its
pg_wal has is copied, and others are made from backup and archive: one for all four databases, at one moment or
with all there was; or one for the orchestrator at an earlier moment than the one for the other three, as four
servers that are restored apart would be.
What was acknowledged before the moment is there, the sums hold, and what was open goes on.
"""

import os
import pathlib
import shutil
import subprocess
import threading

import external
import invariants
import story
from external import External
from mesh import Mesh, dev, payment_service_pb2, uuid7
from patience import wait_until

# The provider and bff have no database, and live on.
LOST = ("order", "saga", "account", "storage")


def as_postgres(*words):
    """As the user that owns the servers' files."""
    user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups", "--reset-env", "--"]
    subprocess.run((user if os.getuid() == 0 else []) + [str(word) for word in words], check=True)


def postgres_program(name):
    found = sorted(pathlib.Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    return found[-1]


class Backup:
    """A base backup and the archive of a mesh's server, and servers that are restored from them."""

    def __init__(self, mesh):
        self.mesh = mesh
        self.pg = (mesh.directory / "pg").resolve()
        self.base, self.archive = self.pg / "base", self.pg / "archive"

    def begin_archive(self):
        """archive_mode needs a restart. What is there is whole, and may come twice."""
        as_postgres("mkdir", self.archive)
        file = f"{self.archive}/%f"
        for name, value in (
            ("archive_mode", "on"),
            ("archive_command", f"cp %p {file}.part && mv {file}.part {file}"),
        ):
            self.mesh.psql("postgres", f"ALTER SYSTEM SET {name} = '{value}'")
        self.mesh.stop("postgres")
        self.mesh.start("postgres")

    def make_base(self):
        as_postgres(
            postgres_program("pg_basebackup"),
            "-d", f"{self.mesh.conninfo} options='-c client_min_messages=warning'", "-D", self.base,
            "--checkpoint=fast", "--wal-method=none", "--no-manifest", "--no-sync",
        )

    def save_newest(self):
        """Of the server that is gone: what was not archived yet."""
        archived = {file.name for file in self.archive.iterdir()}
        copy = f"cp -n {self.pg}/data/pg_wal/???????????????????????? {self.archive}/"
        as_postgres("sh", "-c", copy)
        assert {file.name for file in self.archive.iterdir()} - archived, "all of it was archived"

    def now(self):
        return self.mesh.psql("postgres", "SELECT clock_timestamp()")[0][0]

    def restore(self, name, moment):
        """A server of its own, as everything was at that moment, or (None) at last; its conninfo."""
        directory = self.mesh.directory / f"pg-{name}"
        directory.mkdir(mode=0o700)
        shutil.copy(self.pg / "password", directory)
        for file in ("log", "initialized"):
            (directory / file).touch()
        if os.getuid() == 0:
            subprocess.run(["chown", "-R", "postgres:postgres", directory], check=True)
        data = directory / "data"
        as_postgres("cp", "-a", self.base, data)
        as_postgres("touch", data / "recovery.signal")
        settings = {
            "restore_command": f"cp {self.archive}/%f %p",
            "archive_mode": "off",
        }
        if moment is not None:
            settings["recovery_target_time"] = moment
            settings["recovery_target_action"] = "promote"
        with open(data / "postgresql.auto.conf", "a", encoding="utf-8") as file:
            file.writelines(f"{key} = '{value}'\n" for key, value in settings.items())
        conninfo = dev("postgres", "start", str(directory))
        wait_until(lambda: self.is_writable(conninfo), 60, f"{name} is restored")
        return conninfo

    def is_writable(self, conninfo):
        words = ["psql", "-X", "-A", "-t", "-d", f"{conninfo} dbname=postgres", "-c"]
        done = subprocess.run(
            words + ["SELECT pg_is_in_recovery()"], stdout=subprocess.PIPE, text=True, check=True
        )
        return done.stdout.strip() == "f"


class Restored(External):
    @classmethod
    def setUpClass(cls):
        """A shop with a past, two moments of it, and what was acknowledged until then."""
        cls.mesh = Mesh(without=("alerts",))  # nothing tells it what is set back
        cls.mesh.open()
        cls.lived, cls.acknowledged, cls.is_over = [], [], threading.Event()
        self = cls("live")
        self.setUp()
        cls.backup = Backup(cls.mesh)
        cls.backup.begin_archive()
        self.live()

    @classmethod
    def tearDownClass(cls):
        cls.mesh.close()

    def setUp(self):
        self.pb, self.provider = self.mesh.order_pb, external.Provider(self.mesh)

    def tearDown(self):
        """What must be true is looked at in the tests."""

    def place(self, customer_id, lines, **options):
        self.lived.append(self.mesh.place(customer_id, lines, **options))
        return self.lived[-1]

    def shop(self):
        """Orders without a pause, on a thread of their own: paid, and refused."""
        sku = self.product(100, pieces=1000000)
        rich, poor = self.wallet(100000000), self.wallet(50)
        while not self.is_over.is_set():
            for customer in (rich, rich, poor):
                self.place(customer, [(sku, 1)])

    def place_waiting(self):
        order_id, _ = self.place_external()
        return order_id, self.waiting(order_id).id

    def live(self):
        cls = type(self)
        before, _ = self.place_external()
        self.provider.pay(self.waiting(before).id)
        shop = threading.Thread(target=self.shop)
        shop.start()
        try:
            self.backup.make_base()
            cls.open_early = self.place_waiting()
            self.go_on(30)
            cls.early = self.backup.now()
            # What the orchestrator's earlier moment does not have: an order that waits, one that came
            # to wait since, and one that was undone.
            cls.open_late = self.place_waiting()
            undone, _ = self.place_waiting()
            self.mesh.cancel(undone)
            self.assert_failed(undone, "CANCELED")
            self.go_on(30)
            cls.acknowledged = list(self.lived)
            cls.late = self.backup.now()
            # What is lost: orders, and that one was paid.
            self.go_on(30)
            self.provider.pay(cls.open_early[1])
            self.assert_paid(cls.open_early[0], total_minor=1000)
        finally:
            self.is_over.set()
            shop.join()
        for name in LOST:
            self.mesh.kill(name)
        self.mesh.kill("postgres")
        self.backup.save_newest()

    def go_on(self, count):
        wanted = len(self.lived) + count
        wait_until(lambda: len(self.lived) >= wanted, 60, f"{count} more orders")

    def begin_again(self, name, moments):
        """moments: of each database's program; servers are made for each of them, once."""
        for program in LOST:
            if self.mesh.programs[program].process is not None:
                self.mesh.kill(program)
        servers = {}
        for moment in set(moments.values()):
            server = f"{name}-{len(servers)}"
            servers[moment] = self.backup.restore(server, moment)
        self.mesh.conninfos = {program: servers[moments[program]] for program in LOST}
        for program in reversed(LOST):
            self.mesh.start(program)

    def pay_and_look(self):
        """The provider knows that one is paid, and the other is paid now; a hint spares the first
        query's minute."""
        self.provider.pay(self.open_late[1])
        for order_id, payment_id in (self.open_early, self.open_late):
            pb = payment_service_pb2
            hint = pb.PaymentHint(payment_id=payment_id, hint=pb.HINT_RETURNED)
            self.mesh.insist(
                self.mesh.payments.Observe, pb.ObserveRequest(request_id=uuid7(), hint=hint)
            )
        for order_id, _ in (self.open_early, self.open_late):
            self.assert_paid(order_id, total_minor=1000)

    def audit(self):
        status, answer = self.sagactl("audit", "--json", "--pause=1", "--rate=100000")
        self.assertEqual((status, answer["findings"]), (0, []), answer)

    def test_all_four_at_one_moment(self):
        self.begin_again("one", dict.fromkeys(LOST, self.late))
        self.audit()
        self.pay_and_look()
        report = invariants.check(self.mesh, self.acknowledged, seconds=story.GO_ON_SECONDS)
        self.assertEqual(report.violations, [], report)
        self.assertLess(report.counts["orders"], len(self.lived))
        self.audit()

    def test_all_that_was_acknowledged(self):
        """No moment is named: the newest order is there."""
        self.begin_again("all", dict.fromkeys(LOST))
        self.pay_and_look()
        report = invariants.check(self.mesh, self.lived, seconds=story.GO_ON_SECONDS)
        self.assertEqual(report.violations, [], report)
        self.audit()

    def test_the_orchestrator_at_an_earlier_moment(self):
        """Sagas that it never heard of are begun again, under the ids they had."""
        self.begin_again("two", {**dict.fromkeys(LOST, self.late), "saga": self.early})
        status, answer = self.sagactl("ask", "--all", "--json", "--rate=10000")
        self.assertEqual((status, answer["is_whole"]), (0, True), answer)
        self.pay_and_look()
        wait_until(lambda: self.open_count() == 0, story.GO_ON_SECONDS, "all orders have ended")
        self.wait_sagas()
        self.audit()
        # Of orders that had ended between the moments the saga is not needed any more, and is not there.
        report = invariants.check(self.mesh, self.acknowledged, seconds=0)
        others = [text for text in report.violations if not text.startswith("sagas have ended")]
        self.assertEqual(others, [], report)

    def open_count(self):
        return int(self.mesh.psql("orders", "SELECT count(*) FROM orders WHERE status < 3")[0][0])

    def wait_sagas(self):
        def are_ended():
            request = self.mesh.saga_pb.ListRequest(page_size=1)
            return not self.mesh.insist(self.mesh.sagas.List, request).sagas

        wait_until(are_ended, story.GO_ON_SECONDS, "all sagas have ended")
