"""test_schema.py BUILD [--write] -- the steps of all databases: an expand step only adds, and none is edited once it is
listed in steps.list. --write lists those that are new, and refuses to list an edited one anew: its line is taken out by
hand, which is right only while no database has had it. The last line is "N passed, N failed, N skipped".
"""

import pathlib
import re
import subprocess
import sys
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))
sys.path.insert(0, str(ROOT / "dev.d"))
sys.path.insert(0, str(pathlib.Path(__file__).parent))
import programs  # noqa: E402
import rules  # noqa: E402
import totals  # noqa: E402

BUILD = ROOT / (sys.argv[1] if len(sys.argv) > 1 else "build")
LIST = pathlib.Path(__file__).with_name("steps.list")
FILES = sorted(ROOT.glob("*/schema/*.sql"))


def carried():
    """PROGRAM NUMBER -> KIND NAME DIGEST, of what the programs carry."""
    found = {}
    for program in programs.read_table():
        if program.database:
            words = [str(BUILD / program.binary), "--migrate=steps"]
            for line in subprocess.check_output(words, text=True).splitlines():
                number, rest = line.split(" ", 1)
                found[f"{program.binary} {number}"] = rest
    return found


def listed():
    lines = [line for line in LIST.read_text().splitlines() if line and not line.startswith("#")]
    return {" ".join(line.split()[:2]): " ".join(line.split()[2:]) for line in lines}


def write():
    with open(LIST, "a") as file:
        for step, rest in carried().items():
            if step not in listed():
                file.write(f"{step} {rest}\n")


class Rules(unittest.TestCase):
    ADD = [
        "CREATE TABLE gift (id uuid NOT NULL PRIMARY KEY); CREATE INDEX gift_by_id ON gift (id)",
        "CREATE TABLE gift (id int); ALTER TABLE gift ADD CHECK (id > 0)",
        "ALTER TABLE orders ADD COLUMN note text",
        "ALTER TABLE orders ADD COLUMN IF NOT EXISTS note text NOT NULL DEFAULT ''",
        "ALTER TABLE orders ADD COLUMN a int, ADD COLUMN b numeric(10, 2) NOT NULL DEFAULT 0",
        "ALTER TABLE orders ADD COLUMN kind int NOT NULL DEFAULT 0 CHECK (kind BETWEEN 0 AND 3)",
        "ALTER TABLE orders ALTER COLUMN note DROP NOT NULL",
        "ALTER TABLE orders ALTER COLUMN note SET DEFAULT ''",
        "ALTER TABLE orders SET (fillfactor = 70)",
        "CREATE INDEX CONCURRENTLY orders_by_note ON orders (note)",
        "CREATE OR REPLACE FUNCTION f() RETURNS int LANGUAGE sql AS $$ SELECT 1; DROP TABLE orders; $$",
        "INSERT INTO sweep (name) VALUES ('gifts; DROP TABLE orders') ON CONFLICT DO NOTHING",
        "-- only adds: 5 is a state that older programs never write\nALTER TABLE orders ADD CHECK (status < 6)",
    ]
    MORE = [
        "DROP TABLE gift",
        "DROP FUNCTION f()",
        "DROP INDEX CONCURRENTLY orders_by_note",
        "ALTER TABLE orders DROP COLUMN note",
        "ALTER TABLE orders ADD COLUMN a int, DROP COLUMN note",
        "ALTER TABLE orders ADD COLUMN note text NOT NULL",
        "ALTER TABLE orders ADD COLUMN seq bigint NOT NULL DEFAULT nextval('s')",
        "ALTER TABLE orders ADD COLUMN code text UNIQUE",
        "ALTER TABLE orders ADD CONSTRAINT c CHECK (total_minor > 0)",
        "ALTER TABLE orders ADD CHECK (total_minor > 0) NOT VALID",
        "ALTER TABLE orders ALTER COLUMN note SET NOT NULL",
        "ALTER TABLE orders ALTER COLUMN note TYPE varchar(5)",
        "ALTER TABLE orders RENAME COLUMN note TO text",
        "ALTER TABLE orders RENAME TO orders_old",
        "CREATE INDEX orders_by_note ON orders (note)",
        "CREATE UNIQUE INDEX CONCURRENTLY orders_by_note ON orders (note)",
        "UPDATE orders SET note = ''",
        "DELETE FROM orders",
        "TRUNCATE orders",
        "DO $$ BEGIN DROP TABLE orders; END $$",
        "-- only adds:\nDROP TABLE gift",
        "CREATE TABLE gift (); -- only adds: of another statement\n SELECT 1; DROP TABLE gift",
    ]

    def test_what_only_adds(self):
        for sql in self.ADD:
            with self.subTest(sql):
                self.assertEqual(rules.unfit(sql), [])

    def test_what_does_more(self):
        for sql in self.MORE:
            with self.subTest(sql):
                self.assertEqual(len(rules.unfit(sql)), 1)

    def test_concurrently_is_alone(self):
        one = "-- Why; and how.\nCREATE INDEX CONCURRENTLY i ON t (a);\n"
        self.assertTrue(rules.is_alone(one))
        self.assertTrue(rules.is_alone("SELECT 1; SELECT 2"))
        self.assertFalse(rules.is_alone(one + "SELECT 1"))


class Steps(unittest.TestCase):
    def test_there_are_steps(self):
        self.assertEqual({file.parent.parent.name for file in FILES if file.name.startswith("0001_expand_")},
                         {"account-svc", "alerts", "order-svc", "saga", "storage-svc"})

    def test_expand_steps_only_add(self):
        for file in FILES:
            # Nothing runs on a database before it has its first step.
            if "_expand_" in file.name and not file.name.startswith("0001_"):
                text = expand(file)
                found = "".join(f"\n  {statement[:200]}\n    {why}" for statement, why in rules.unfit(text))
                self.assertEqual(found, "", f"{file.relative_to(ROOT)} does more than add. Make it a contract step, or see "
                                 "tests/schema/rules.py:")

    def test_concurrently_is_alone(self):
        for file in FILES:
            self.assertTrue(rules.is_alone(expand(file)), f"{file.relative_to(ROOT)}: an index CONCURRENTLY is a step of its own")

    def test_listed_steps_are_not_edited(self):
        steps, known = carried(), listed()
        for step, rest in known.items():
            self.assertEqual(steps.get(step), rest, f"step {step} was edited or taken away since it was listed: a new step "
                             "changes what it made")
        new = sorted(steps.keys() - known.keys())
        self.assertEqual(new, [], "not listed yet: python3 tests/schema/test_schema.py build --write")


def expand(file):
    r"""The text, with what it includes (\ir)."""
    text = file.read_text()
    return re.sub(r"^\\ir (\S+)$", lambda found: expand(file.parent / found.group(1)), text, flags=re.M)


if __name__ == "__main__":
    if "--write" in sys.argv:
        write()
    else:
        del sys.argv[1:]
        sys.exit(totals.main())
