"""A row that a person's session holds.

    with Lock(mesh, "storage", "SELECT FROM product WHERE sku = 'tea' FOR UPDATE"):
        ...
"""

import subprocess


class Lock:
    """A session that holds what its statement locked, until it is left."""

    def __init__(self, mesh, database, statement):
        self.mesh, self.database, self.statement = mesh, database, statement

    def __enter__(self):
        self.psql = subprocess.Popen(
            ["psql", "-X", "-q", "-A", "-t", "-d", f"{self.mesh.conninfo} dbname={self.database}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.psql.stdin.write(f"BEGIN; {self.statement}; SELECT 'locked';\n")
        self.psql.stdin.flush()
        while self.psql.stdout.readline().strip() != "locked":
            assert self.psql.poll() is None, "psql ended"

    def __exit__(self, kind, value, trace):
        self.psql.communicate("ROLLBACK;\n")
