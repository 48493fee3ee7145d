"""What tests of bad input have in common: a mesh for each module, a look at every row, and refusals."""

import time
import unittest

from mesh import Mesh, refusal, uuid7

DAY_MS = 24 * 3600 * 1000
TABLES = {
    "orders": ("orders", "event", "op"),
    "storage": ("product", "hold", "op"),
    "account": (
        "account", "transfer", "ledger_hold", "op", "event",
        "payment", "payment_inbox", "provider_task",
    ),
    # Not journal_page: the orchestrator forgets pages when it has time.
    "saga": ("journal_parked", "journal_final", "op"),
}
# What a refusal of a rule may not change: it is recorded, and nothing else.
TRUTHS = {"orders": ("orders", "event"), "storage": ("product",), "account": ("account",)}

the_mesh = None


def open_mesh():
    global the_mesh
    the_mesh = Mesh()
    the_mesh.open()
    return the_mesh


def close_mesh():
    the_mesh.close()


def contents(tables=TABLES):
    """A digest of every row of these tables."""
    found = {}
    for database, names in tables.items():
        columns = ", ".join(
            f"(SELECT count(*) || ' ' || coalesce(md5(string_agg(t::text, ' ' ORDER BY t::text)), '')"
            f" FROM {name} t)"
            for name in names
        )
        found[database] = the_mesh.psql(database, f"SELECT {columns}")
    return found


class BadInput(unittest.TestCase):
    def setUp(self):
        self.mesh = the_mesh

    def check(self, row, call, request, code, reason, **metadata):
        """Refused like this, with these in its metadata; of the rule, a part of the sentence."""
        error = refusal(call, request, timeout=5)
        self.assertEqual((error.code.name, error.reason), (code, reason), error)
        self.assertEqual(error.domain, "sagamesh", error)
        for key, value in metadata.items():
            found = error.metadata.get(key, "")
            compare = self.assertIn if key == "rule" else self.assertEqual
            compare(value, found, f"{row}: {key} of {error}")
        return error

    def refuse(self, rows, call, request_of):
        """rows: (what, change to a good request, field, what the rule says)"""
        for what, change, field, rule in rows:
            with self.subTest(f"{field}: {what}"):
                self.check(
                    what, call, request_of(**change), "INVALID_ARGUMENT", "BAD_REQUEST",
                    field=field, rule=rule,
                )


def id_from_now(ms):
    """An id as it will be made, or was, so many milliseconds from now."""
    return uuid7(now_ms=int(time.time() * 1000) + ms)


def uuid4():
    return "6fa459ea-ee8a-4ca4-894e-db77e160355e"
