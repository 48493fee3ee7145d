"""run.py SUITE [PATTERN | --alone NAME | --brief]: runs tests/e2e/test_*.py with a line for each test and one for
the totals.

SUITE is "interop" (test_interop*.py), "kafka" (test_kafka*.py), "eyes" (test_eyes*.py), "upgrade" (test_upgrade*.py), or
"stories" (all others). PATTERN: only tests whose name holds it. NAME: that one, module.Class.test. --brief leaves out files of stories that wait
for long and run no code of their own. The last line is "N passed, N failed, N skipped", of tests.

Stories wait more than they work: without a PATTERN, a few processes with a mesh each share their files.

A test that failed is noted for a second run (again.py). Not so what failed when things were closed, and
not a test whose mesh broke a promise: an assert or a sanitizer that ended a program is a fault, however
slow the machine was.
"""

import multiprocessing
import os
import pathlib
import sys
import threading
import time
import unittest

import again

SIGN_OF_LIFE_SECONDS = 15
WORKERS = 3
LONG = ("test_stories_alerts_raised", "test_stories_clocks", "test_stories_open")  # --brief has none of them
HERE = pathlib.Path(__file__).resolve().parent


class Result(unittest.TestResult):
    """One line for each test; a sign of life for one that takes long."""

    def __init__(self, suite_name):
        super().__init__()
        self.suite_name = suite_name
        self.passed = 0
        self.failed = {}  # what each test said that failed
        self.running = None
        self.began = 0.0

    def startTest(self, test):
        super().startTest(test)
        self.running, self.began = test, time.monotonic()

    def stopTest(self, test):
        super().stopTest(test)
        self.running = None
        if test.id() in self.failed:
            self.keep(test)

    def say(self, test, outcome):
        took = time.monotonic() - self.began if self.running else 0.0
        print(f"{name_of(test)}: {outcome} ({took:.1f} s)", flush=True)

    def say_failed(self, test, text):
        """One of the failures of a test, or of a class that cannot be opened or closed."""
        self.say(test, text)
        whole = getattr(test, "test_case", test)  # of a subtest
        self.failed.setdefault(whole.id(), []).append(f"{name_of(test)}: {text}")
        if self.running is None:
            self.keep(whole)

    def keep(self, test):
        """All that a test said is noted for a second run, or is a failure for good; ./dev test shows
        that at its end."""
        text = "".join(f"  {line}\n" for said in self.failed[test.id()] for line in said.splitlines())
        name = again_name(test)
        words = ["tests/e2e/run.py", self.suite_name, "--alone", name]
        is_fault = again.promises_broken() or name is None
        if not is_fault and again.note(name, words, text):
            return
        if "FAILURES" in os.environ:
            with open(os.environ["FAILURES"], "a", encoding="utf-8") as file:
                file.write(text)

    def addSuccess(self, test):
        if test.id() not in self.failed:
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


def again_name(test):
    """What a second run is given for a test: its name, or that of the class or module that could not be
    opened; None for what is not run again."""
    if isinstance(test, End):
        return None
    if isinstance(test, unittest.TestCase):
        return test.id()
    doing, _, where = test.id().partition(" ")
    return where.strip("()") if doing.startswith("setUp") else None


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
    """The modules of a suite, the largest first: the processes shall end together."""
    paths = sorted(HERE.glob("test_*.py"), key=lambda path: -path.stat().st_size)
    names = [path.stem for path in paths]
    apart = [name for name in names if name.startswith(("test_interop", "test_kafka", "test_eyes", "test_upgrade"))]
    if suite_name == "stories":
        return [name for name in names if name not in apart]
    return [name for name in apart if name.startswith(f"test_{suite_name}")]


class Taken(unittest.TestSuite):
    """What take() names, until it gives None; as one suite, for classes are closed by their next one."""

    _cleanup = False

    def __init__(self, load, take):
        super().__init__()
        self.load, self.take = load, take

    def __iter__(self):
        tests = 0
        while name := self.take():
            suite = self.load(name)
            tests += suite.countTestCases()
            yield suite
        if tests and "mesh" in sys.modules:
            yield End("test_the_end")


def run(suite_name, pattern, take):
    """Loads all modules, for they may add to what a mesh begins with, and runs those that take() gives
    until it gives None: (passed, failed, skipped)."""
    sys.path.insert(0, str(HERE))
    loader = unittest.TestLoader()
    if pattern:
        loader.testNamePatterns = [f"*{pattern}*"]
    suites = {name: loader.loadTestsFromName(name) for name in names_of(suite_name)}
    result, stop = Result(suite_name), threading.Event()
    threading.Thread(target=show_life, args=(result, stop), daemon=True).start()
    Taken(lambda name: suites.get(name) or loader.loadTestsFromName(name), take).run(result)
    stop.set()
    return result.passed, len(result.failed), len(result.skipped)


def one_by_one(suite_name, names, pattern=""):
    return run(suite_name, pattern, iter(names + [None]).__next__)


def end_with_parent():
    """Nobody would read the totals of one whose parent was killed."""
    multiprocessing.parent_process().join()
    os._exit(1)


def work(suite_name, queue, totals):
    """One of WORKERS processes."""
    threading.Thread(target=end_with_parent, daemon=True).start()
    totals.put(run(suite_name, "", queue.get))


def share(suite_name, names):
    """As run(), by WORKERS processes; one that ends badly counts as a failure more."""
    context = multiprocessing.get_context("spawn")
    try:
        queue, totals = context.SimpleQueue(), context.SimpleQueue()
    except OSError as error:  # a machine without /dev/shm
        print(f"in one process: {error}")
        return one_by_one(suite_name, names)
    count = min(WORKERS, len(names))
    for name in names + [None] * count:
        queue.put(name)
    workers = [context.Process(target=work, args=(suite_name, queue, totals)) for _ in range(count)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    counts = [(0, sum(worker.exitcode != 0 for worker in workers), 0)]
    while not totals.empty():
        counts.append(totals.get())
    return [sum(column) for column in zip(*counts)]


def main():
    if len(sys.argv) < 2 or sys.argv[1] not in ("stories", "interop", "kafka", "eyes", "upgrade"):
        sys.exit(__doc__)
    suite_name, words = sys.argv[1], sys.argv[2:]
    if words[:1] == ["--alone"]:
        passed, failed, skipped = one_by_one(suite_name, words[1:])
    elif words == ["--brief"]:
        passed, failed, skipped = share(suite_name, [name for name in names_of(suite_name) if name not in LONG])
    elif not words:
        passed, failed, skipped = share(suite_name, names_of(suite_name))
    else:
        passed, failed, skipped = one_by_one(suite_name, names_of(suite_name), " ".join(words))
    print(f"{passed} passed, {failed} failed, {skipped} skipped")
    sys.exit(1 if failed or not passed else 0)


if __name__ == "__main__":
    main()
