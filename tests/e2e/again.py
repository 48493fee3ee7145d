"""What failed and is run once more: ./dev test does that, alone, when all suites are over
(dev.d/test.sh), for a machine that stands still for half a minute is no fault of ours. A program that
an assert, a sanitizer or a bad access to memory ended is one, however slow the machine was.

AGAIN names a folder. A note there is a file named like the test: its first line is the command that
runs it again, the rest is what it said when it failed.
"""

import os
import pathlib
import re
import shlex
import signal
import sys

# The last words of a program that broke a promise.
BROKEN = re.compile(rb"Assertion .* failed|ERROR: (Address|Leak)Sanitizer|: runtime error: ")

# No test sends these.
CRASHES = {signal.SIGABRT, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGSEGV}

programs = []  # subprocess.Popen, of all that meshes started
log_folders = set()  # of the meshes that were opened
read_bytes = {}  # of a log, when it was last looked at


def note(name, words, text):
    """True once it is written: `words` are the test program and its arguments. False where nothing is
    run again: by hand, and in the second run itself."""
    if "AGAIN" not in os.environ:
        return False
    command = [sys.executable, "-B", "-u", *words]
    if "MESH_BUILD" in os.environ:
        command.insert(0, f"MESH_BUILD={os.environ['MESH_BUILD']}")
    path = pathlib.Path(os.environ["AGAIN"]) / name
    path.write_text(f"{shlex.join(command)}\n{text}\n")
    return True


def crashed():
    """Whether one of programs was ended by a signal of CRASHES since this was last asked."""
    ended = [program for program in programs if program.poll() is not None]
    programs[:] = [program for program in programs if program.poll() is None]
    return any(-program.returncode in CRASHES for program in ended)


def promises_broken():
    """Whether a program crashed, or a log of log_folders says so in what was written since this was last
    asked."""
    broken = crashed()
    for log in [log for folder in log_folders for log in folder.glob("*.log")]:
        with open(log, "rb") as file:
            file.seek(read_bytes.get(log, 0))
            text = file.read()
        read_bytes[log] = read_bytes.get(log, 0) + len(text)
        broken = broken or BROKEN.search(text) is not None
    return broken
