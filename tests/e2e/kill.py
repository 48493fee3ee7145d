"""kill.py [--kills N] [--orders N] [--seed N] [--only kills|points] [--kafka] [--replicas N]
        [--tls [kills|points]] [--logs]

kill -9 in the middle of it all.

Two passes, each on a mesh of its own, under a closed loop that keeps --orders orders open:

  kills   at least --kills seeded kills, each followed by a restart, of what holds a truth of its own:
          the five services, PostgreSQL's backends (ended by an operator, or killed: then PostgreSQL
          recovers from a crash), and the postmaster. On top of them, a third as many: bff, the
          provider and Kafka. Some come back late, some are killed as they start, some two at a
          time. Budgets and back-offs are the defaults. In between, programs and hosts stand still
          and clocks jump (kill_faults.py). With --kafka it is a real one that is killed; the
          sandbox's broker, which forgets everything when it ends, only stands still.
  points  programs built with MESH_CRASH_POINTS end themselves at named points (mesh/base/crash.h),
          every point of every program that has it, at a seeded pass of it.

With --replicas the first pass has so many of each service, and kills and faults go to any of them; with --tls
both passes, or the one that it names, have TLS: gRPC, HTTP, and PostgreSQL, with certificates on both sides.

A part of the orders is paid at the provider, some of those are placed over HTTP, and half of the
payments meet with a fault, each kind of them by seed: webhooks lost, doubled, late, reordered, badly
signed or about another amount, calls that fail, are slow or whose answer is lost, payers who are
declined, or pay when all is over.

When the last one is over, no more orders are placed, everything drains, and the books are compared
(invariants.py), ours and the provider's; and alerts-svc, whose graces are seconds, must have raised each
contradiction that was longer than them, and nothing else (alerts.py). The seed gives the victims, in order, and how many orders
become final in between; what each was doing when it was hit is up to chance. Draining takes up to a
minute: an order that is cancelled while nobody knows whether its payment was made waits for that long.
So the second pass begins while the first one drains.

What does not come to its end in time is noted for a second run with the same seed (again.py): a machine
may have stood still. Books that do not agree, or a program that an assert ended, are a fault at once.
"""

import argparse
import collections
import faulthandler
import os
import pathlib
import random
import shutil
import signal
import sys
import tempfile
import threading
import time
import traceback

import again
import alerts
import audit
import invariants
import kill_outside
from kafka_server import Kafka
from kill_faults import CLOCKS, SERVICES, Fault, do_fault, fault_schedule
from kill_load import Load
from kill_points import do_points
from mesh import Mesh, names_of
from patience import wait_until

OTHERS = ("bff", "provider", "broker")
VICTIMS = SERVICES + OTHERS
DATABASES = ("orders", "storage", "account", "saga", "alerts")
GRACE_SECONDS, SILENT_SECONDS = 2, 6
POSTMASTER_KILLS_MIN = 5  # of a full run, which is one of a hundred kills
FULL_KILLS = 100
KILLS_A_ROUND = 40  # so many kills of the first pass stand for a round of all points in the second

GAP_MAX = 900
OUTAGE_SECONDS = (3, 6)
OUTAGES_FROM = 20  # kills; the short form is to be short
# Long enough that sagas back off so far that they are parked; once in so many kills.
LONG_OUTAGE_SECONDS = 26
LONG_OUTAGE_EVERY = 50
MEANWHILE_AT = 0.85  # of an outage another program is killed

LIFE_SECONDS = 10
SLOW_SECONDS = 20  # a kill comes at the latest after this
STANDSTILL_SECONDS = 150  # no order became final for so long: something hangs
HEARD_SECONDS = 60  # alerts-svc has heard all news
# Of the provider's books and ours. A payment is asked after for the last time 60 s after its
# checkout has ended, and that is open for 60 s.
SETTLE_SECONDS = 180
SETTLE_QUIET_SECONDS = 3
DRAIN_SECONDS = 420  # a budget before the pivot, and what follows it


def say(text):
    print(text, flush=True)


class Kill:
    """A row of the schedule."""

    def __init__(self, victim, how, has_outages, rng):
        self.victim = victim
        self.how = how
        # How many more orders become final before the next one; 0: while this one still starts.
        self.gap = 0 if rng.random() < 0.1 else rng.randint(20, GAP_MAX)
        # A program that is killed once more as it starts, so many milliseconds later.
        self.again_ms = rng.randint(1, 200) if how == "kill" and rng.random() < 0.15 else None
        # An outage: it stays away for a while, and another program is killed in the middle of it.
        self.away_seconds = 0
        self.meanwhile = None
        chance = rng.random()
        if how in ("kill", "postmaster") and chance < 0.1 and has_outages:
            self.away_seconds = rng.uniform(*OUTAGE_SECONDS)
            self.meanwhile = {"saga": rng.choice(SERVICES[:3]), "broker": "alerts"}.get(victim, "saga")
        elif how in ("kill", "postmaster") and chance < 0.3:
            self.away_seconds = rng.uniform(0.1, 2)


def kill_schedule(kills, rng, has_kafka):
    """So many of the services, the backends and the postmaster, others on top of them, and faults that
    kill nothing. The same for the same seed."""
    others = OTHERS if has_kafka else OTHERS[:-1]
    victims = [("postgres", "postmaster")] * max(1, kills * 6 // 100)
    for i in range(max(1, kills * 20 // 100)):
        victims.append((DATABASES[i % len(DATABASES)], "terminate" if i % 2 else "backend"))
    for i in range(kills - len(victims)):
        victims.append((SERVICES[i % len(SERVICES)], "kill"))
    for i in range(max(len(others), kills * 35 // 100)):
        victims.append((others[i % len(others)], "kill"))
    rng.shuffle(victims)
    has_outages = kills >= OUTAGES_FROM
    schedule = [Kill(victim, how, has_outages, rng) for victim, how in victims]
    called = [kill for kill in schedule if kill.victim in ("storage", "account")]
    for kill in [kill for kill in called if kill.how == "kill"][: kills // LONG_OUTAGE_EVERY]:
        kill.away_seconds, kill.meanwhile = LONG_OUTAGE_SECONDS, "saga"
    schedule += fault_schedule(kills, VICTIMS, not has_outages, rng)
    rng.shuffle(schedule)
    return schedule


def check_kills(counts, kills):
    """That so many were done as were asked for, whatever the schedule was: (all, of OTHERS)."""
    others = sum(counts.get(name, 0) for name in OTHERS)
    counted = sum(counts.values()) - others
    if counted < kills:
        raise AssertionError(f"{counted} kills of the services and PostgreSQL, not {kills}: {counts}")
    for name in SERVICES if kills >= FULL_KILLS else ():
        if counts.get(name, 0) < kills // 10:
            raise AssertionError(f"{name} was hardly killed: {counts}")
    if kills >= FULL_KILLS and counts.get("postmaster", 0) < POSTMASTER_KILLS_MIN:
        raise AssertionError(f"the postmaster was hardly killed: {counts}")
    return counted + others, others


def spread(schedule, replicas, rng):
    """Kills and faults of a service go to any of its replicas."""

    def one_of(service):
        return rng.choice(names_of(service, replicas)) if service else service

    for row in schedule:
        if isinstance(row, Kill):
            row.meanwhile = one_of(row.meanwhile)
        if isinstance(row, Fault) or row.how == "kill":
            row.victim = one_of(row.victim)


class Pass:
    """A mesh under load, and what is done to it."""

    def __init__(self, name, build, options, replicas=1, clocks=()):
        seed = options.seed
        self.name = name
        self.keeps_logs = options.logs
        self.definitions = pathlib.Path(tempfile.mkdtemp(prefix="mesh-definitions-"))
        kill_outside.write_definitions(self.definitions)
        faults = [f"--seed={seed}", f"--fault-rate={kill_outside.FAULT_PERCENT}"]
        flags = {
            "saga": [f"--definitions={self.definitions}"], "provider": faults,
            "alerts": alerts.flags(GRACE_SECONDS, SILENT_SECONDS, options.kafka),
        }
        kafka = Kafka if options.kafka else None
        clocks = [name for service in clocks for name in names_of(service, replicas)]
        self.mesh = Mesh(
            build=build, flags=flags, clocks=clocks, kafka=kafka, replicas=replicas,
            tls=options.tls in ("both", name) or None,
        )
        self.load = Load(self.mesh, options.orders, seed)
        self.kills = {}
        self.points = {}
        self.parked_most = 0
        self.is_over = threading.Event()  # what is done to it; the rest is waiting and checking
        self.thread = None
        self.error = None
        self.counts = (0, 0)
        self.phase_began = time.monotonic()
        self.phases = []
        self.began = time.monotonic()
        self.said_at = self.began
        self.moved_at, self.moved_count = self.began, 0
        self.differences = []

    def seconds(self):
        return time.monotonic() - self.began

    def end_phase(self, name):
        now = time.monotonic()
        self.phases.append(f"{name} {now - self.phase_began:.1f} s")
        self.phase_began = now

    def count(self, what):
        """A victim, by its service, or what else was done."""
        what = self.mesh.programs[what].service if what in self.mesh.programs else what
        self.kills[what] = self.kills.get(what, 0) + 1

    def note_parked(self):
        """How many sagas have left the orchestrator's memory, as it is about to be killed."""
        if postgres_answers(self.mesh):
            count = int(self.mesh.psql("saga", "SELECT count(*) FROM journal_parked")[0][0])
            self.parked_most = max(self.parked_most, count)

    def show_life(self):
        if time.monotonic() - self.said_at < LIFE_SECONDS:
            return
        self.said_at = time.monotonic()
        load = self.load
        say(
            f"{self.name}: {self.seconds():.0f} s, {sum(self.kills.values())} kills,"
            f" {load.final_count} final, {load.open_count} open,"
            f" {load.final_count / self.seconds():.0f} orders/s"
        )

    def move_on(self, orders):
        """Until so many more orders are final, or it is slow."""
        until = time.monotonic() + SLOW_SECONDS
        wanted = self.load.final_count + orders
        while time.monotonic() < until:
            if self.load.wait(lambda: self.load.final_count >= wanted, 1):
                break
            self.check_alive()
        self.check_alive()

    def check_alive(self):
        self.show_life()
        if self.load.error:
            raise self.load.error
        if self.load.final_count != self.moved_count:
            self.moved_at, self.moved_count = time.monotonic(), self.load.final_count
        if time.monotonic() - self.moved_at > STANDSTILL_SECONDS:
            raise AssertionError(f"no order has become final for {STANDSTILL_SECONDS} s")

    def drain(self):
        load, until = self.load, time.monotonic() + DRAIN_SECONDS
        began = time.monotonic()
        while not load.wait(load.is_drained, 1):
            self.check_alive()
            if time.monotonic() > until:
                raise AssertionError(f"{load.open_count} orders are open after {DRAIN_SECONDS} s")
        say(f"{self.name}: drained in {time.monotonic() - began:.1f} s")
        load.end()
        pb = self.mesh.saga_pb
        wait_until(
            lambda: not self.mesh.insist(
                self.mesh.sagas.List, pb.ListRequest(page_size=1)).sagas,
            DRAIN_SECONDS,
            "no open saga",
        )
        self.settle()

    def settle(self):
        """Until the provider's books and ours say the same, and go on to."""
        began = quiet_since = time.monotonic()
        self.differences = kill_outside.differences(self.mesh)
        while time.monotonic() - quiet_since < SETTLE_QUIET_SECONDS:
            pause(1)
            self.differences = kill_outside.differences(self.mesh)
            if self.differences:
                quiet_since = time.monotonic()
            if time.monotonic() - began > SETTLE_SECONDS:
                break
        count, took = len(self.differences), quiet_since - began
        say(f"{self.name}: the provider's books and ours differ in {count} payments, {took:.1f} s on")
        alerts.wait_heard(self.mesh, HEARD_SECONDS)

    def show_counts(self):
        mesh, load = self.mesh, self.load
        rows = dict(mesh.psql("orders", "SELECT status, count(*) FROM orders GROUP BY 1"))
        reasons = mesh.psql(
            "orders",
            "SELECT failure_reason, count(*) FROM orders WHERE status = 4 GROUP BY 1 ORDER BY 2 DESC",
        )
        took = self.seconds()
        slowest = sorted(load.latencies)
        say(f"{self.name}: orders {len(load.orders)}: {rows.get('3', 0)} paid, {rows.get('4', 0)}"
            f" failed ({', '.join(f'{count} {reason}' for reason, count in reasons)})")
        self.show_outside()
        say(f"{self.name}: kills {sum(self.kills.values())}:"
            f" {', '.join(f'{count} {what}' for what, count in sorted(self.kills.items()))}")
        for (program, point), count in sorted(self.points.items()):
            say(f"{self.name}: ended {count} x at {point} of {program}")
        say(f"{self.name}: Place sent again {load.place_repeats} x; answers that were none:"
            f" {', '.join(f'{n} {name}' for name, n in sorted(load.troubles.items())) or 'none'}")
        say(f"{self.name}: {took:.0f} s, {len(load.orders) / took:.0f} orders/s,"
            f" Place to final: median {slowest[len(slowest) // 2]:.1f} s,"
            f" longest {slowest[-1]:.1f} s")
        if self.name == "kills":
            say(f"{self.name}: up to {self.parked_most} sagas were parked when a program was killed")
        told = mesh.psql(
            "alerts", "SELECT rule, count(*), count(*) FILTER (WHERE resolved_us > 0) FROM alert GROUP BY 1")
        say(f"{self.name}: alerts, and resolved ones: {told}")
        say(f"{self.name}: memory {', '.join(self.memory(name) for name in VICTIMS)}")

    def show_outside(self):
        """What came from outside, and what the provider did to it."""
        load, name = self.load, self.name
        books = kill_outside.provider_books(self.mesh).values()
        faults = collections.Counter(
            fault.split(":")[0] for record in books for fault in record["faults"]
        )
        webhooks = [webhook for record in books for webhook in record["webhooks"]]
        states = collections.Counter(record["status"] for record in books)
        refunds = sum(bool(record["refunds"]) for record in books)
        answers = collections.Counter(webhook["state"] for webhook in webhooks)
        sent = sum(webhook["attempts"] for webhook in webhooks)
        say(f"{name}: orders paid at the provider {load.external_count}, of which"
            f" {load.http_count} over HTTP (answered: {listed(load.shoppers.counts)})")
        say(f"{name}: payers: {listed(load.payers.counts)}; pressed again {load.payers.repeats} x")
        say(f"{name}: the provider has {listed(states)}; paid back {refunds}; its faults:"
            f" {listed(faults)}")
        say(f"{name}: webhooks {len(webhooks)}, sent {sent} x: {listed(answers)}")

    def memory(self, name):
        status = pathlib.Path(f"/proc/{self.mesh.pid(name)}/status").read_text()
        peak = next(line for line in status.splitlines() if line.startswith("VmHWM"))
        return f"{name} {int(peak.split()[1]) // 1024} MB"

    def run(self, act):
        """Opens the mesh, lets act(self) do its worst, and compares the books: (passed, failed)."""
        self.mesh.open()
        keeps_logs = True
        try:
            kill_outside.raise_rate(self.mesh)
            self.load.prepare()
            self.end_phase("opened")
            self.began = self.moved_at = time.monotonic()
            self.load.start()
            self.move_on(self.load.target // 4)
            act(self)
            self.end_phase("killed")
            say(f"{self.name}: the last kill is over; what is open drains")
            self.load.stop_filling()
            self.is_over.set()
            self.drain()
            self.end_phase("drained")
            self.show_counts()
            failed = self.check_books()
            self.end_phase("checked")
            say(f"{self.name}: {', '.join(self.phases)}")
            keeps_logs = failed > 0 or self.keeps_logs
        except BaseException:
            self.load.end()
            self.show_open()
            raise
        finally:
            self.mesh.close(keep_logs=keeps_logs)
            shutil.rmtree(self.definitions, ignore_errors=True)
        return len(invariants.RULES) + 4 - failed, failed

    def run_beside(self, act):
        """As run(), on a thread; returns once no more is done to the mesh: draining is waiting for
        payments that are in doubt, and the next pass can begin meanwhile."""

        def live():
            try:
                self.counts = self.run(act)
            except BaseException as error:  # pylint: disable=broad-except
                self.error = error
            self.is_over.set()

        self.thread = threading.Thread(target=live, daemon=True)
        self.thread.start()
        self.is_over.wait()
        if self.error is not None:
            raise self.error

    def end(self):
        """Returns once it is over, with self.counts, or raises what ended it."""
        self.thread.join()
        if self.error is not None:
            raise self.error

    def give_up(self):
        """It is not wanted any more; its mesh is closed."""
        self.load.error = self.load.error or KeyboardInterrupt()
        self.thread.join()

    def check_books(self):
        """How many rules do not hold."""
        acknowledged = [one.order_id for one in self.load.orders.values() if one.is_acknowledged]
        report = invariants.check(self.mesh, acknowledged)
        for line in str(report).splitlines():
            say(f"{self.name}: {line}")
        failed = len({text.split(":", 1)[0] for text in report.violations})
        if report.counts["orders"] != len(self.load.orders):
            failed += 1
            say(f"{self.name}: VIOLATED {len(self.load.orders)} orders were placed")
        for offences in (
            self.differences, kill_outside.unpaid_and_unreturned(self.mesh), self.audited()
        ):
            failed += bool(offences)
            for offence in offences[: invariants.SHOWN_MAX]:
                say(f"{self.name}: VIOLATED {offence}")
        return failed

    def audited(self):
        """The services' own look at the same; what is quarantined waits for a person."""
        return [
            "audit: {kind} {id} {code}: {what}".format(**finding)
            for finding in audit.findings(self.mesh, "--rate=100000")
            if finding["code"] != "PAYMENT_NEEDS_PERSON"
        ]

    def show_open(self):
        """Where the orders stand that did not end, for whoever looks for the reason."""
        say(f"    answers that were none: {listed(self.load.troubles)}; last: {self.load.last_trouble}")
        try:
            sagas = self.mesh.sagas.List(
                self.mesh.saga_pb.ListRequest(page_size=1000), timeout=5).sagas
            states = {}
            for saga in sagas:
                what = (saga.state, self.mesh.saga_pb.SagaPhase.Name(saga.phase), saga.error_code)
                states[what] = states.get(what, 0) + 1
            for what, count in states.items():
                say(f"    {count} sagas in {what}")
            for saga in sagas[-3:]:
                say(f"    {self.mesh.saga(saga.saga_id)}")
            rows = self.mesh.psql(
                "orders", "SELECT id, status, version, cancel_wanted FROM orders"
                " WHERE status < 3 ORDER BY id LIMIT 5")
            say(f"    open orders: {rows}")
        except Exception as error:  # pylint: disable=broad-except
            say(f"    (nobody could be asked: {error})")


# ---- kills -----------------------------------------------------------------------------------------


def backend_of(mesh, database, rng):
    """One that is in COMMIT when there is one, else any that works for a service."""
    rows = mesh.psql(
        "postgres",
        "SELECT pid, state = 'active' AND query = 'COMMIT' FROM pg_stat_activity"
        f" WHERE datname = '{database}' AND backend_type = 'client backend' ORDER BY pid",
    )
    committing = [row for row in rows if row[1] == "t"]
    return int(rng.choice(committing or rows)[0]) if rows else None


def kill_backend(mesh, database, how, rng):
    pid = wait_until(lambda: backend_of(mesh, database, rng), 30, f"a backend of {database}")
    if how == "terminate":
        mesh.psql("postgres", f"SELECT pg_terminate_backend({pid})")
        return
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass  # it went by itself; its service has another by now
    wait_until(lambda: postgres_answers(mesh), 60, "PostgreSQL recovered")


def postgres_answers(mesh):
    try:
        return mesh.psql("postgres", "SELECT 1")
    except AssertionError:
        return None


def listed(counts):
    """A text of counts by name, the greatest first."""
    rows = sorted(counts.items(), key=lambda row: -row[1])
    return ", ".join(f"{count} {name}" for name, count in rows) or "none"


def pause(seconds):
    threading.Event().wait(seconds)


def kill_program(one, kill):
    """Kills it, leaves it away for as long as it says, and starts it."""
    mesh, victim = one.mesh, kill.victim
    mesh.kill(victim)
    one.count("postmaster" if victim == "postgres" else victim)
    if kill.meanwhile:
        pause(kill.away_seconds * MEANWHILE_AT)
        one.note_parked()
        mesh.kill(kill.meanwhile)
        one.count(kill.meanwhile)
        mesh.start(kill.meanwhile, wait=False)
        pause(kill.away_seconds * (1 - MEANWHILE_AT))
    elif kill.away_seconds:
        pause(kill.away_seconds)
    mesh.start(victim, wait=False)
    if kill.again_ms:
        pause(kill.again_ms / 1000)
        mesh.kill(victim)
        one.count(victim)
        mesh.start(victim, wait=False)
    if kill.gap and victim != "postgres":
        mesh.wait_ready(victim)


def do_kills(kills, rng, has_kafka, replicas):
    schedule = kill_schedule(kills, rng, has_kafka)
    if replicas > 1:
        spread(schedule, replicas, rng)
    faults = collections.Counter()

    def act(one):
        for kill in schedule:
            if isinstance(kill, Fault):
                do_fault(one.mesh, kill)
                faults[kill.name] += 1
            elif kill.how in ("kill", "postmaster"):
                kill_program(one, kill)
            else:
                kill_backend(one.mesh, kill.victim, kill.how, rng)
                one.count(f"PostgreSQL backend ({kill.how})")
            one.check_alive()
            if kill.gap:
                one.move_on(kill.gap)
        for name in one.mesh.programs:
            one.mesh.wait_ready(name)
        say("kills: %d, of which %d of bff, the provider and Kafka"
            % check_kills(one.kills, kills))
        say(f"kills: faults {sum(faults.values())}: {listed(faults)}")

    return act


# ---- both ------------------------------------------------------------------------------------------


def main():
    parser = argparse.ArgumentParser(description="kill -9 in the middle of it all")
    parser.add_argument("--kills", type=int, default=110,
                        help="of the services and PostgreSQL; others come on top")
    parser.add_argument("--orders", type=int, default=2000, help="how many are kept open")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    parser.add_argument("--only", choices=("kills", "points"))
    parser.add_argument("--kafka", action="store_true", help="a real one, which ./dev kafka fetches")
    parser.add_argument("--replicas", type=int, default=1, help="of each service, in the pass of kills")
    parser.add_argument("--tls", nargs="?", const="both", choices=("both", "kills", "points"),
                        help="TLS to all but Kafka, in both passes or in that one")
    parser.add_argument("--logs", action="store_true", help="keep the logs of the programs")
    options = parser.parse_args()
    faulthandler.register(signal.SIGUSR1)  # where its threads are, for who wonders why nothing moves
    say(f"seed {options.seed} ({options.kills} kills, {options.orders} orders open)")

    passed, failed, unfinished = run_passes(options)
    if unfinished:
        say(unfinished)
        if not failed and not again.promises_broken():
            note_again(options, unfinished)
        failed += 1
    say(f"{passed} passed, {failed} failed, 0 skipped")
    sys.exit(1 if failed else 0)


def run_passes(options):
    """How many rules held and did not; and why one of the passes did not come to its end, or ""."""
    rng = random.Random(options.seed)
    crash_build = os.environ.get("MESH_CRASH_BUILD", "build-crash")
    passes = (
        ("kills", None, options.replicas, CLOCKS, do_kills(options.kills, rng, options.kafka, options.replicas)),
        ("points", crash_build, 1, (), do_points(1 + options.kills // KILLS_A_ROUND, rng)),
    )
    lives, unfinished = [], ""
    try:
        for name, build, replicas, clocks, act in passes:
            if options.only in (None, name):
                lives.append(Pass(name, build, options, replicas, clocks))
                lives[-1].run_beside(act)
        for one in lives:
            one.end()
    except BaseException as error:
        for one in lives:
            one.give_up()
        if not isinstance(error, Exception):
            raise
        unfinished = traceback.format_exc()
    passed, failed = [sum(column) for column in zip(*(one.counts for one in lives))]
    return passed, failed, unfinished


def note_again(options, text):
    said = {name: value for name, value in vars(options).items() if value and name != "logs"}
    words = [f"--{name}" if value is True else f"--{name}={value}" for name, value in said.items()]
    again.note("kill", ["tests/e2e/kill.py", *words], text)


if __name__ == "__main__":
    main()
