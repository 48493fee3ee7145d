"""The second pass of the kill loop: programs built with MESH_CRASH_POINTS end themselves at named points
(mesh/base/crash.h), every point of every program that has it, at a seeded pass of it. Those of senders, which
pass theirs only when there is something to send, are in tests/store/test_alerts_crash.c.
"""

import signal

from kill_faults import SERVICES
from patience import wait_until

BATCH_SERVICES = ("storage", "account", "order")
# A point, who passes it, and up to which pass it is let live: most are passed once a batch.
POINTS = (
    ("store.after-begin", BATCH_SERVICES, 60),
    ("store.before-commit", BATCH_SERVICES, 60),
    ("store.after-commit", BATCH_SERVICES, 60),
    ("store.before-reply", BATCH_SERVICES, 60),
    ("pg.command-sent", SERVICES, 60),
    ("relay.after-send", ("account", "order"), 20),
    ("relay.after-send", ("alerts",), 2),
    ("order.before-start", ("order",), 500),
    ("journal.before-commit", ("saga", "alerts"), 60),
    ("journal.after-commit", ("saga", "alerts"), 60),
    ("saga.before-send", ("saga",), 2000),
    ("saga.recovering", ("saga",), 1),
    ("alerts.before-page", ("alerts",), 60),
    ("alerts.after-page", ("alerts",), 60),
    ("alerts.recover", ("alerts",), 1),
)
POINT_SECONDS = 10
POINT_TRIES = 5


def do_points(rounds, rng):
    def act(one):
        points = [(name, point, most) for point, names, most in POINTS for name in names] * rounds
        rng.shuffle(points)
        for program, point, most in points:
            end_at(one, program, f"{point}:{rng.randint(1, most)}")
            one.points[program, point] = one.points.get((program, point), 0) + 1
            one.move_on(rng.randint(20, 300))

    return act


def end_at(one, program, where):
    """Restarts a program that will end itself at a point, and starts it once it has. A recovery may
    find nothing to do: then it is given another."""
    mesh = one.mesh
    for _ in range(POINT_TRIES):
        mesh.kill(program)
        mesh.start(program, environment={"MESH_CRASH_AT": where})
        one.count(program)
        try:
            wait_until(lambda: not mesh.programs[program].is_alive(), POINT_SECONDS, where, patience=1)
            break
        except AssertionError:
            one.check_alive()
    status = mesh.wait_ended(program, POINT_SECONDS)
    if status != -signal.SIGKILL:
        raise AssertionError(
            f"{program} ended with {status} and not at {where}\n{mesh.log_tail(program)}"
        )
    mesh.start(program)
    one.count(f"{program}, by itself")
