"""The runner itself: ./dev, dev.d/test.sh and tests/e2e/run.py in a checkout of their own, on stories and
test programs that fail as often as a test says. The last line is "N passed, N failed, N skipped".
"""

import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))
import totals  # noqa: E402

REAL = ("dev", "dev.d/base.sh", "dev.d/test.sh", "tests/e2e/run.py", "tests/e2e/again.py")
# The other parts of ./dev, which would install, build and start things.
OTHER_PARTS = [part.stem for part in (ROOT / "dev.d").glob("*.sh") if f"dev.d/{part.name}" not in REAL]
LAST_PART = "bare"  # ./dev reads it behind test.sh
NO_OTHER_PARTS = """
STATE=$ROOT/state PACKAGES_BUILD= PACKAGES_RUN= PACKAGES_E2E= PACKAGES_FORMAT=
packages_need() { :; }
build_tree() { :; }
postgres_start() { :; }
postgres_conninfo() { :; }
scratch_new() { mktemp -d "$STATE/scratch/XXXX"; }
scratch_remove() { rm -rf "$1"; }
kafka_fetch() { :; }
prometheus_fetch() { :; }
python_stubs() { :; }
c_files() { :; }
"""

# A test counts its runs in a file, and fails in the first so many of them.
COUNTED = """
import pathlib, subprocess, unittest, again

def run(name, failures):
    path = pathlib.Path("runs") / name
    runs = len(path.read_text()) + 1 if path.exists() else 1
    path.write_text("x" * runs)
    if runs <= failures:
        raise AssertionError(f"run {runs} of {name}")

def breaks_promise(name):
    folder = pathlib.Path("runs") / "logs"
    folder.mkdir(exist_ok=True)
    again.log_folders.add(folder)
    with open(folder / "saga.log", "a") as log:
        log.write("saga-svc: shard.c:1: decide: Assertion `it holds' failed.\\n")
    run(name, 1)

def crashes(name, signal):
    again.programs.append(subprocess.Popen(["sh", "-c", f"kill -{signal} $$"]))
    again.programs[-1].wait()
    run(name, 1)
"""

FAKE_CTEST = """#!/bin/sh
case $* in *unit*) echo "1: Test command: $PWD/test_table" ;; esac
"""
FAKE_CHECK = """#!/bin/sh
echo x >>runs/test_table
echo "0%: Checks: 1, Failures: 1, Errors: 0"
exit 1
"""

FAKE_KILL = """
import sys, again, counted
try:
    counted.run("kill", {failures})
except AssertionError as error:
    print(error)
    if not {is_fault}:
        again.note("kill", ["tests/e2e/kill.py", "--seed=7"], "  " + str(error))
    print("0 passed, 1 failed, 0 skipped")
    sys.exit(1)
assert sys.argv[1:] in (["--kills", "12"], ["--seed=7"], []), sys.argv
print("3 passed, 0 failed, 0 skipped")
"""


def method(name, failures=0, body=None):
    return f"    def test_{name}(self):\n        {body or f'counted.run({name!r}, {failures})'}\n"


class Checkout(unittest.TestCase):
    def setUp(self):
        self.root = pathlib.Path(tempfile.mkdtemp(prefix="mesh-runner-"))
        self.addCleanup(shutil.rmtree, self.root)
        for folder in ("dev.d", "tests/e2e", "runs", "bin"):
            (self.root / folder).mkdir(parents=True)
        for name in REAL:
            shutil.copy(ROOT / name, self.root / name)
        for name in OTHER_PARTS:
            (self.root / "dev.d" / f"{name}.sh").write_text("")
        (self.root / "dev.d" / LAST_PART).with_suffix(".sh").write_text(NO_OTHER_PARTS)
        (self.root / "tests/e2e/counted.py").write_text(COUNTED)
        self.write("bin/ctest", FAKE_CTEST)
        self.write("test_table", FAKE_CHECK)

    def write(self, name, text):
        (self.root / name).write_text(text)
        (self.root / name).chmod(0o755)

    def stories(self, *methods, module="test_stories", setup=""):
        text = f"import counted, unittest\n\nclass Orders(unittest.TestCase):\n{setup}{''.join(methods)}"
        (self.root / f"tests/e2e/{module}.py").write_text(text)

    def dev_test(self, *words):
        """./dev test WORDS: exit status, output."""
        environment = {name: text for name, text in os.environ.items() if not name.startswith("MESH_")}
        environment["PATH"] = f"{self.root}/bin:{environment['PATH']}"
        done = subprocess.run(
            [str(self.root / "dev"), "test", *words],
            cwd=self.root,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        return done.returncode, done.stdout

    def assert_ends(self, words, status, unsteady, totals):
        ended, output = self.dev_test(*words)
        self.assertEqual(output.splitlines()[-2:], [f"{unsteady} unsteady", totals], output)
        self.assertEqual(ended, status, output)
        return output

    def assert_runs(self, **counts):
        runs = {name: (self.root / "runs" / name).stat().st_size for name in counts}
        self.assertEqual(runs, counts)


class Runner(Checkout):
    def test_all_pass(self):
        self.stories(method("one"), method("two"))
        self.assert_ends(["stories"], 0, 0, "2 passed, 0 failed, 0 skipped")
        self.assert_runs(one=1, two=1)

    def test_one_that_fails_once(self):
        self.stories(method("one"), method("two", failures=1))
        output = self.assert_ends(["stories"], 0, 1, "1 passed, 0 failed, 0 skipped")
        self.assert_runs(one=1, two=2)
        # Its first failure is shown with it.
        self.assertRegex(output, r"unsteady: test_stories\.Orders\.test_two\n(.*\n)+.*run 1 of two")
        self.assertNotIn("what failed, once more\n", output.split("unsteady:")[1])

    def test_one_that_fails_once_as_the_only_one(self):
        self.stories(method("two", failures=1))
        self.assert_ends(["stories", "two"], 0, 1, "0 passed, 0 failed, 0 skipped")

    def test_one_that_fails_twice(self):
        self.stories(method("one"), method("two", failures=2))
        output = self.assert_ends(["stories"], 1, 0, "1 passed, 1 failed, 0 skipped")
        self.assert_runs(one=1, two=2)
        last_words = output.split("== what failed, once more")[1]
        for text in ("test_stories.Orders.test_two: FAILED twice", "run 1 of two", "run 2 of two"):
            self.assertIn(text, last_words)

    def test_two_unsteady_ones_pass_and_three_fail(self):
        for count, status in ((2, 0), (3, 1)):
            with self.subTest(count=count):
                self.stories(*[method(f"of_{count}_{i}", failures=1) for i in range(count)], method("one"))
                failed = count if status else 0
                self.assert_ends(["stories"], status, count, f"1 passed, {failed} failed, 0 skipped")

    def test_it_is_run_alone_after_all_suites(self):
        self.stories(method("two", failures=1))
        self.stories(method("other"), module="test_interop")
        (self.root / "tests/e2e/test_kafka.py").write_text("")
        _, output = self.dev_test()
        again = output.index("== once more, alone")
        for suite in re.findall(r"^== (\w+)$", output, re.MULTILINE):
            self.assertLess(output.index(f"== {suite}\n"), again)
        self.assert_runs(two=3, other=1)  # it passes under asan, the first time

    def test_an_asan_story_is_run_again_in_its_build(self):
        build = "print(__import__('os').environ.get('MESH_BUILD'));"
        self.stories(method("two", body=f"{build} counted.run('two', 2)"))
        self.write("bin/ctest", "#!/bin/sh\n")
        self.assert_ends(["asan"], 1, 0, "0 passed, 1 failed, 0 skipped")
        self.assertIn("build-asan", (self.root / ".run/results/again.out").read_text())

    def test_a_subtest_counts_once(self):
        loop = "[self.one(i) for i in range(3)]"
        one = "    def one(self, i):\n        with self.subTest(i=i):\n            counted.run(f'two{i}', 1)\n"
        self.stories(method("one"), method("two", body=loop), one)
        self.assert_ends(["stories"], 0, 1, "1 passed, 0 failed, 0 skipped")

    def test_a_class_that_cannot_be_opened(self):
        setup = "    @classmethod\n    def setUpClass(cls):\n        counted.run('setup', 1)\n"
        self.stories(method("one"), setup=setup)
        self.assert_ends(["stories"], 0, 1, "0 passed, 0 failed, 0 skipped")
        self.assert_runs(setup=2, one=1)

    def test_what_fails_as_it_is_closed_is_a_fault(self):
        setup = "    @classmethod\n    def tearDownClass(cls):\n        counted.run('closed', 1)\n"
        self.stories(method("one"), setup=setup)
        self.assert_ends(["stories"], 1, 0, "1 passed, 1 failed, 0 skipped")
        self.assert_runs(closed=1)

    def test_a_broken_promise_is_a_fault(self):
        self.stories(method("one", failures=1), method("two", body="counted.breaks_promise('two')"))
        output = self.assert_ends(["stories"], 1, 1, "0 passed, 1 failed, 0 skipped")
        self.assert_runs(one=2, two=1)
        self.assertIn("test_two", output.split("== what failed, once more")[1])

    def test_a_program_that_crashed_is_a_fault_and_one_that_was_killed_is_not(self):
        signals = ("KILL", "TERM", "SEGV", "ABRT", "BUS")
        self.stories(*[method(s.lower(), body=f"counted.crashes('{s}', '{s}')") for s in signals])
        self.assert_ends(["stories"], 1, 2, "0 passed, 3 failed, 0 skipped")
        self.assert_runs(KILL=2, TERM=2, SEGV=1, ABRT=1, BUS=1)

    def test_a_module_that_cannot_be_loaded(self):
        self.stories(method("one"))
        (self.root / "tests/e2e/test_bad.py").write_text("import nothing_of_this_name\n")
        self.assert_ends(["stories"], 1, 0, "1 passed, 1 failed, 0 skipped")

    def test_many_are_not_run_again(self):
        self.stories(*[method(f"of_many_{i}", failures=9) for i in range(12)])
        self.assert_ends(["stories"], 1, 0, "0 passed, 12 failed, 0 skipped")
        runs = [path.stat().st_size for path in (self.root / "runs").glob("of_many_*")]
        self.assertEqual(sorted(runs), [1] * 2 + [2] * 10)

    def test_the_kill_loop(self):
        for failures, is_fault, status, unsteady, totals, runs in (
            (0, False, 0, 0, "3 passed, 0 failed, 0 skipped", 1),
            (1, False, 0, 1, "0 passed, 0 failed, 0 skipped", 2),
            (2, False, 1, 0, "0 passed, 1 failed, 0 skipped", 2),
            (1, True, 1, 0, "0 passed, 1 failed, 0 skipped", 1),
        ):
            with self.subTest(failures=failures, is_fault=is_fault):
                (self.root / "runs/kill").unlink(missing_ok=True)
                self.write("tests/e2e/kill.py", FAKE_KILL.format(failures=failures, is_fault=is_fault))
                self.assert_ends(["kill"], status, unsteady, totals)
                self.assert_runs(kill=runs)

    def test_tables_are_never_run_again(self):
        self.assert_ends(["unit"], 1, 0, "0 passed, 1 failed, 0 skipped")
        self.assert_runs(test_table=len("x\n"))


class Ports(unittest.TestCase):
    """postgres_leave_port: a new server that cannot have its port gets another, one that was up keeps it."""

    BOUND = "FATAL:  could not create any TCP/IP sockets\n"

    def test_who_leaves_a_port(self):
        for was_up, log, keeps in [
            (False, self.BOUND, False),
            (False, "FATAL:  it is another trouble\n", True),
            (False, None, True),
            (True, self.BOUND, True),
        ]:
            with self.subTest(was_up=was_up, log=log), tempfile.TemporaryDirectory() as name:
                directory = pathlib.Path(name)
                (directory / "port").write_text("20001\n")
                if was_up:
                    (directory / "was-up").touch()
                if log is not None:
                    (directory / "log").write_text(log)
                script = 'set -eu; source "$1/dev.d/postgres.sh"; postgres_leave_port "$2"'
                subprocess.run(["bash", "-c", script, "bash", str(ROOT), name], check=True)
                self.assertEqual((directory / "port").exists(), keeps)


if __name__ == "__main__":
    sys.exit(totals.main())
