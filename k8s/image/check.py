"""check.py -- are the programs of an image whole? ROOT is what image.py unpack has laid out.

    check.py ROOT DIRECTORY CONNINFO

Each program is run in ROOT as the image's user, with ROOT read-only, and tells its flags. Then a mesh: psql of the
image applies the schemas to a PostgreSQL that runs, the programs are started in ROOT, and sagactl demo places an order
that is paid and one that is undone. DIRECTORY is the mesh's; it is /run in there.
"""

import os
import pathlib
import signal
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve()
sys.path.insert(0, str(HERE.parents[2] / "dev.d"))
import programs  # noqa: E402

USER = 10001
SHARE = "/usr/share/sagamesh"
# A mount namespace in which ROOT is read-only but for /run, then the program instead of the shell.
ENTER = f"""
root=$1 run=$2
shift 2
mount --bind "$root" "$root"
mount -o remount,ro,bind "$root"
mount --bind "$run" "$root/run"
exec chroot --userspec={USER}:{USER} "$root" "$@"
"""
PATIENCE = int(os.environ.get("MESH_PATIENCE", 1))


class ImagePrograms(programs.Programs):
    """Those of the image that the demo needs. News waits: there is no Kafka."""

    ready_seconds = 60 * PATIENCE

    def __init__(self, root):
        super().__init__(pathlib.Path("/usr/bin"), without=("broker", "alerts"))
        self.root = root

    def inside(self, words):
        words = [word.replace(str(self.directory), "/run") for word in words]
        words = [word.replace(f"{programs.ROOT}/saga/definitions", f"{SHARE}/definitions") for word in words]
        enter = ["unshare", "--mount", "--propagation", "private", "sh", "-euc", ENTER, "sh"]
        return [*enter, str(self.root), str(self.directory), *words]

    def command(self, name):
        return self.inside(super().command(name))

    def address(self, name):
        return "" if name == "broker" else super().address(name)

    def kafka_address(self):
        return ""

    def make_secrets(self):
        super().make_secrets()
        for path in [self.directory, *self.directory.rglob("*")]:
            if self.directory / "log" not in path.parents:
                os.chown(path, USER, USER)

    def migrate_command(self, program, conninfo, what):
        return self.inside(super().migrate_command(program, conninfo, what))

    def psql_run(self, conninfo, database, *arguments, input=None):
        command = ["/usr/bin/psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", f"{conninfo} dbname={database}", *arguments]
        done = subprocess.run(self.inside(command), input=input, capture_output=True, text=True)
        if done.returncode != 0:
            raise programs.Trouble(f"psql of the image, {database}: {done.stderr.strip()}")
        return done.stdout

    def check_flags(self):
        """Each program loads, and says what it is."""
        names = sorted(path.name for path in (self.root / "usr/bin").iterdir())
        for name in names:
            done = subprocess.run(self.inside([f"/usr/bin/{name}", "--help"]), capture_output=True, text=True)
            if done.returncode != 0 or name not in done.stdout:
                raise programs.Trouble(f"{name} --help in the image: status {done.returncode}", done.stderr)
        print(f"  in the image, as user {USER}: {' '.join(names)} tell their flags")

    def check_order(self):
        flags = [f"--{name}={self.address(name)}" for name in ("order", "storage", "account", "saga")]
        flags += [f"--bff=http://{self.address('bff')}", "--token-file=/run/token", f"--timeout={30 * PATIENCE}"]
        token = ["/usr/bin/bff-token", "--jwks=/run/secrets/jwks.json", "--operator", "--out=/run/token"]
        for words in (token, ["/usr/bin/sagactl", "demo", *flags]):
            done = subprocess.run(self.inside(words), capture_output=True, text=True)
            if done.returncode != 0:
                raise programs.Trouble(f"{words[0]} in the image", done.stdout + done.stderr)
        print("  in the image: an order was paid over gRPC and one over HTTP, one was undone")

    def stop_all(self):
        """False: one did not end well."""
        running = [program for program in self.programs.values() if program.is_alive()]
        for program in running:
            program.process.send_signal(signal.SIGTERM)
        statuses = {program.name: program.process.wait(60 * PATIENCE) for program in running}
        if any(statuses.values()):
            raise programs.Trouble(f"SIGTERM did not end them well: {statuses}")


def main(root, directory, conninfo):
    mesh = ImagePrograms(pathlib.Path(root))
    directory = pathlib.Path(directory)
    for name in ("pg", "pids"):
        (directory / name).mkdir(parents=True, exist_ok=True)
    mesh.settle_in(directory, directory / "pids", directory / "log")
    mesh.conninfo = conninfo
    try:
        mesh.check_flags()
        try:
            mesh.start_all()
            mesh.check_order()
        finally:
            mesh.stop_all()
    except programs.Trouble as trouble:
        print(f"{trouble.words}\ndev: {trouble.what}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
