"""Wall clocks of one's own for the programs of a mesh, and for PostgreSQL: moved while they run.

    mesh = Mesh(clocks=["saga", "postgres"])
    mesh.open()
    mesh.move_clock("saga", -400)       # saga-svc's clock is 400 s slow, from now on
    mesh.set_clocks_right()

A clock is a file that the program maps (ownclock.c, an LD_PRELOAD built here with cc). Only the program's
own calls are moved, not those of its libraries, and never CLOCK_MONOTONIC.
"""

import pathlib
import struct
import subprocess
import tempfile

SOURCE = pathlib.Path(__file__).with_name("ownclock.c")


class Clocks:
    """One for each name; all are right at first."""

    def __init__(self, names):
        # Below /tmp and open to all: PostgreSQL is another user, and must find both.
        self.folder = tempfile.TemporaryDirectory(prefix="mesh-clocks-")
        self.path = pathlib.Path(self.folder.name)
        self.path.chmod(0o755)
        self.library = self.path / "ownclock.so"
        words = ["cc", "-std=gnu11", "-shared", "-fPIC", "-O2", "-Wall", "-Wextra"]
        subprocess.run([*words, "-o", self.library, SOURCE, "-ldl"], check=True)
        self.off = {}
        for name in names:
            self.move(name, 0)

    def move(self, name, seconds):
        """It is so much ahead of the machine's clock from now on; negative: behind."""
        self.off[name] = seconds
        with open(self.path / name, "r+b" if (self.path / name).exists() else "wb") as file:
            file.write(struct.pack("=q", round(seconds * 1_000_000)))
        (self.path / name).chmod(0o644)

    def set_right(self):
        for name in self.off:
            self.move(name, 0)

    def environment(self, name):
        """What a program is started with; nothing for one without a clock of its own."""
        if name not in self.off:
            return {}
        return {"LD_PRELOAD": str(self.library), "MESH_CLOCK": str(self.path / name)}

    def close(self):
        self.folder.cleanup()
