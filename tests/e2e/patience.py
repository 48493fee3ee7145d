"""How long tests wait for what must come.

A limit is there to end a test that hangs, not to measure: where the machine is shared, MESH_PATIENCE
multiplies every one of them. What must *not* take longer is measured in the test, by its own clock.
"""

import os
import time

PATIENCE = float(os.environ.get("MESH_PATIENCE", "1"))


def wait_until(condition, seconds, what, pause=0.05, patience=PATIENCE):
    """Polls until condition() is true; returns what it returned. Whoever expects
    to wait in vain says patience=1."""
    seconds *= patience
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds:g} s: {what}")
        time.sleep(pause)
