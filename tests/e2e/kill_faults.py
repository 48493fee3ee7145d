"""What the kill loop does to a mesh besides killing: nothing ends, and all of it comes back.

    pause   a program stands still (SIGSTOP) for seconds, in the middle of its work
    step    the clock of a program or of PostgreSQL jumps, and jumps back after seconds (clock.py)
    freeze  a host stands still: a service with its backends of PostgreSQL, which keep what they have
            locked; or PostgreSQL as a whole. Its peers see connections that live and answer nothing.

A Fault is a row of the schedule; the seed gives its kind, victim, length and size.
"""

import os
import pathlib
import signal
import threading

SERVICES = ("storage", "account", "order", "saga", "alerts")
CLOCKS = SERVICES + ("bff", "postgres")  # whose clocks can be moved
HOSTS = SERVICES + ("postgres",)
# How far a clock is off: within what passes for the same time, beyond it, and so far behind that ids are
# from the future. Not as far ahead: what a wrong clock has stored as a time to come is waited for, and
# that would look like a standstill.
STEPS_SECONDS = (-400, -100, -40, -5, -1, 1, 5, 40)

SHORT_SECONDS = (1, 3)
LONG_SECONDS = (2, 9)
# Longer than a session may stand in a transaction, and than callers wait for an answer.
FREEZE_LONG_SECONDS = (3, 14)


class Fault:
    def __init__(self, how, victim, seconds, rng):
        self.how = how
        self.victim = victim
        self.seconds = rng.uniform(*seconds)
        self.ahead_seconds = rng.choice(STEPS_SECONDS) if how == "step" else 0
        self.gap = rng.randint(20, 300)  # how many more orders become final before the next row

    @property
    def name(self):
        return f"{self.victim} ({self.how})"


def victims_in_turn(victims, count, rng):
    """So many of them, and none twice as often as another."""
    order = rng.sample(victims, len(victims))
    return [order[i % len(order)] for i in range(count)]


def fault_schedule(kills, programs, is_short, rng):
    """Besides so many kills. The same for the same seed; some of each kind in the short form too."""
    counts = {"pause": max(2, kills // 6), "step": max(3, kills // 6), "freeze": max(2, kills // 12)}
    schedule = []
    for victim in victims_in_turn(programs, counts["pause"], rng):
        schedule.append(Fault("pause", victim, SHORT_SECONDS if is_short else LONG_SECONDS, rng))
    for victim in ["postgres"] + victims_in_turn(CLOCKS, counts["step"] - 1, rng):
        schedule.append(Fault("step", victim, SHORT_SECONDS if is_short else LONG_SECONDS, rng))
    for victim in ["postgres"] + victims_in_turn(SERVICES, counts["freeze"] - 1, rng):
        schedule.append(Fault("freeze", victim, SHORT_SECONDS if is_short else FREEZE_LONG_SECONDS, rng))
    return schedule


def children(pid):
    """Of a process, by /proc."""
    found = []
    for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rsplit(")", 1)[1].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(fields[1]) == pid:
            found.append(int(stat.parent.name))
    return found


def backends(mesh, database):
    """That work for a service; none while PostgreSQL itself comes back."""
    try:
        rows = mesh.psql(
            "postgres",
            f"SELECT pid FROM pg_stat_activity WHERE datname = '{database}'"
            " AND backend_type = 'client backend' ORDER BY pid",
        )
    except AssertionError:
        return []
    return [int(row[0]) for row in rows]


def processes(mesh, fault):
    """That stand still together. The database's part first: then it cannot say anything any more."""
    if fault.victim == "postgres":
        postmaster = mesh.pid("postgres")
        return [postmaster, *children(postmaster)]
    pids = [mesh.pid(fault.victim)]
    if fault.how == "freeze":
        pids = backends(mesh, mesh.programs[fault.victim].database) + pids
    return pids


def signal_all(pids, number):
    for pid in pids:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            pass  # a backend that went by itself


def do_fault(mesh, fault):
    """Returns once it is over."""
    if fault.how == "step":
        mesh.move_clock(fault.victim, fault.ahead_seconds)
        threading.Event().wait(fault.seconds)
        mesh.move_clock(fault.victim, 0)
        return
    pids = processes(mesh, fault)
    signal_all(pids, signal.SIGSTOP)
    try:
        threading.Event().wait(fault.seconds)
    finally:
        signal_all(pids, signal.SIGCONT)
