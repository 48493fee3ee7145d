"""run.py SUITE [PATTERN]: runs tests/e2e/test_*.py with a line for each test and one for the totals.

SUITE is "interop" (test_interop*.py), "kafka" (test_kafka*.py), or "stories" (all others). PATTERN:
only tests whose name holds it. The last line is "N passed, N failed, N skipped".

Stories wait more than they work: without a PATTERN, two processes with a mesh each share their files.
"""

import multiprocessing
import os
import pathlib
import sys
import threading
import time
import unittest

SIGN_OF_LIFE_SECONDS = 15
WORKERS = 2
HERE = pathlib.Path(__file__).resolve().parent


class Result(unittest.TestResult):
    """One line for each test; a sign of life for one that takes long."""

    def __init__(self):
        super().__init__()
        self.passed = 0
        self.running = None
        self.began = 0.0

    def startTest(self, test):
        super().startTest(test)
        self.running, self.began, self.bad_before = test, time.monotonic(), self.bad()

    def stopTest(self, test):
        super().stopTest(test)
        self.running = None

    def bad(self):
        return len(self.failures) + len(self.errors) + len(self.unexpectedSuccesses)

    def say(self, test, outcome):
        took = time.monotonic() - self.began if self.running else 0.0
        print(f"{name_of(test)}: {outcome} ({took:.1f} s)", flush=True)

    def say_failed(self, test, text):
        """Also into the file that ./dev test shows at its end."""
        self.say(test, text)
        if "FAILURES" in os.environ:
            with open(os.environ["FAILURES"], "a", encoding="utf-8") as file:
                file.write("".join(f"  {line}\n" for line in f"{name_of(test)}: {text}".splitlines()))

    def addSuccess(self, test):
        if self.bad() == self.bad_before:
            self.passed += 1
            self.say(test, "passed")

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        self.say(test, f"skipped: {reason}")

    def addFailure(self, test, error):
        super().addFailure(test, error)
        self.say_failed(test, "FAILED\n" + self.failures[-1][1])

    def addError(self, test, error):
        super().addError(test, error)
        self.say_failed(test, "FAILED\n" + self.errors[-1][1])

    def addUnexpectedSuccess(self, test):
        super().addUnexpectedSuccess(test)
        self.say_failed(test, "FAILED: it passes, and should not")

    def addSubTest(self, test, subtest, error):
        super().addSubTest(test, subtest, error)
        if error is not None:
            self.say_failed(subtest, "FAILED\n" + (self.failures + self.errors)[-1][1])


def name_of(test):
    return str(test).split(" ")[0]


def show_life(result, stop):
    while not stop.wait(SIGN_OF_LIFE_SECONDS):
        test = result.running
        if test is not None:
            print(f"  {name_of(test)}: {time.monotonic() - result.began:.0f} s so far", flush=True)


class End(unittest.TestCase):
    """The last one: what tests shared is closed, which may fail too."""

    def test_the_end(self):
        for close in sys.modules["mesh"].at_end:
            with self.subTest(close.__qualname__):
                close()


def names_of(suite_name):
    """The modules of a suite, the largest first: two processes shall end together."""
    paths = sorted(HERE.glob("test_*.py"), key=lambda path: -path.stat().st_size)
    names = [path.stem for path in paths]
    apart = [name for name in names if name.startswith(("test_interop", "test_kafka"))]
    if suite_name == "stories":
        return [name for name in names if name not in apart]
    return [name for name in apart if name.startswith(f"test_{suite_name}")]


class Taken(unittest.TestSuite):
    """What take() gives, until it gives None; as one suite, for classes are closed by their next one."""

    _cleanup = False

    def __init__(self, suites, take):
        super().__init__()
        self.suites, self.take = suites, take

    def __iter__(self):
        tests = 0
        while name := self.take():
            tests += self.suites[name].countTestCases()
            yield self.suites[name]
        if tests and "mesh" in sys.modules:
            yield End("test_the_end")


def run(names, pattern, take):
    """Loads all names, for they may add to what a mesh begins with, and runs those that take() gives
    until it gives None: (passed, failed, skipped)."""
    sys.path.insert(0, str(HERE))
    loader = unittest.TestLoader()
    if pattern:
        loader.testNamePatterns = [f"*{pattern}*"]
    suites = {name: loader.loadTestsFromName(name) for name in names}
    result, stop = Result(), threading.Event()
    threading.Thread(target=show_life, args=(result, stop), daemon=True).start()
    Taken(suites, take).run(result)
    stop.set()
    return result.passed, result.bad(), len(result.skipped)


def one_by_one(names, pattern):
    return run(names, pattern, iter(names + [None]).__next__)


def end_with_parent():
    """Nobody would read the totals of one whose parent was killed."""
    multiprocessing.parent_process().join()
    os._exit(1)


def work(names, queue, totals):
    """One of WORKERS processes."""
    threading.Thread(target=end_with_parent, daemon=True).start()
    totals.put(run(names, "", queue.get))


def share(names):
    """As run(), by WORKERS processes; one that ends badly counts as a failure more."""
    context = multiprocessing.get_context("spawn")
    try:
        queue, totals = context.SimpleQueue(), context.SimpleQueue()
    except OSError as error:  # a machine without /dev/shm
        print(f"in one process: {error}")
        return one_by_one(names, "")
    for name in names + [None] * WORKERS:
        queue.put(name)
    workers = [context.Process(target=work, args=(names, queue, totals)) for _ in range(WORKERS)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    counts = [(0, sum(worker.exitcode != 0 for worker in workers), 0)]
    while not totals.empty():
        counts.append(totals.get())
    return [sum(column) for column in zip(*counts)]


def main():
    if len(sys.argv) < 2 or sys.argv[1] not in ("stories", "interop", "kafka"):
        sys.exit(__doc__)
    names, pattern = names_of(sys.argv[1]), " ".join(sys.argv[2:])
    if sys.argv[1] == "stories" and not pattern:
        passed, failed, skipped = share(names)
    else:
        passed, failed, skipped = one_by_one(names, pattern)
    print(f"{passed} passed, {failed} failed, {skipped} skipped")
    sys.exit(1 if failed or not passed else 0)


if __name__ == "__main__":
    main()
