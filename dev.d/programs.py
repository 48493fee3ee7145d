"""programs.py -- the one place that knows how a mesh is started: which programs, in which order, with
which flags, on which ports, over which databases and secrets, how long they take and how they stop.
./dev up and ./dev bench run it as a program (CLI below); tests/e2e/mesh.py is built on Programs. MESH_WITHOUT
names programs that are left out: the benchmarks of orders have no alerts-svc beside them. MESH_REPLICAS says
how many there are of each service.

A mesh is a directory:

    pg/         its PostgreSQL, which postgres.sh starts
    ports/      the ports of its programs, one a file
    ready/      what each program writes when it is ready
    log/        of each program (a test's mesh: elsewhere)
    secrets/    what the programs share and nobody else may read
        provider-key     what we show the payment provider with every request
        webhook-secret   what its webhooks are signed with: whsec_ and base64 (Standard Webhooks)
        jwks.json        what bearer tokens are checked by: one HS256 key; ./dev token signs with it,
                         as issuer and for audience that programs.table tells bff
        providers.json   account-svc's providers: the sandbox, with the two files above
    tls/        with TLS: a CA and the programs' certificates (certificates.py), and policy.json, the shipped policy
    pids/       a record of each process (./dev up: in the state directory, see base.sh)

Secrets are made once for a mesh; real ones come from wherever an operator keeps them, in files of the
same form.
"""

import base64
import contextlib
import fcntl
import hashlib
import json
import os
import pathlib
import random
import re
import signal
import socket
import subprocess
import sys
import time

import certificates
import postgres_tls

# Of what there may be several. The others stand in for the outside world.
REPLICATED = ("storage", "account", "saga", "order", "alerts", "bff")

ROOT = pathlib.Path(__file__).resolve().parents[1]
LOCK = 9  # the descriptor of ./dev's lock

# A process writes its own record before it turns into the program, and holds ./dev's lock until then:
# who gets the lock next sees it, even if we are killed right here. Field 22 of stat is the start time.
RECORDED_START = """
trap '' HUP
record=$1 tag=$2
shift 2
read -r pid b c d e f g h i j k l m n o p q r s t u start rest </proc/$$/stat
read -r boot </proc/sys/kernel/random/boot_id
echo "$pid $start $boot $tag" >"$record.new"
mv "$record.new" "$record"
exec 9>&-
exec "$@"
"""


class Trouble(AssertionError):
    """What is wrong; `words` is what the program said last, `next_move` what can be done."""

    MEND = "Its last words are above. Once that is mended: ./dev up again."

    def __init__(self, what, words="", next_move=MEND):
        super().__init__(f"{what}\n{words}" if words else what)
        self.what, self.words, self.next_move = what, words, next_move


# ---- processes: known by pid, start time and boot, as base.sh records them ----------------------------


def process_identity(pid):
    """None when it is gone, or has ended and nobody has asked how."""
    try:
        state, *fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    if state in "ZX":
        return None
    return f"{pid} {fields[18]} {pathlib.Path('/proc/sys/kernel/random/boot_id').read_text().strip()}"


def recorded(record):
    """The pid and the tag in a record; (None, "") unless that very process is alive."""
    try:
        pid, start, boot, *tag = record.read_text().split()
    except (FileNotFoundError, ValueError):
        return None, ""
    if process_identity(pid) != f"{pid} {start} {boot}":
        return None, ""
    return int(pid), "".join(tag)


ports_kept = []


def free_port(ports, others=()):
    """A loopback port of a range below the one that the kernel hands out, so that nobody gets it by
    chance. It is kept while this process lives: a socket that is bound and does not listen keeps
    others out, who look for a port as we do, but not a program of ours, which says SO_REUSEADDR. So
    what is away for a while finds its port again."""
    while True:
        port = random.SystemRandom().randrange(ports.start, ports.stop)
        keeper = socket.socket()
        try:
            if port in others:
                raise OSError
            keeper.bind(("127.0.0.1", port))
        except OSError:
            keeper.close()
            continue
        keeper.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        ports_kept.append(keeper)
        return port


def is_listened_on(port):
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return True
    return False


def write_whole(path, text, mode=0o644):
    """Complete when it appears."""
    new = path.with_name(path.name + ".new")
    with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "w") as file:
        file.write(text)
    new.rename(path)


# ---- programs ----------------------------------------------------------------------------------------


class Program:
    """A row of programs.table, or one replica of it, and its process when it was started by this one."""

    def __init__(self, row, number=1):
        service, binary, database, inner, *flags = row.split()
        self.service = service  # whose address in other programs' flags has this one among others
        self.suffix = str(number) if number > 1 else ""
        self.name = service + self.suffix
        self.binary = binary
        self.database = None if database == "-" else database
        self.flags = [flag for flag in flags if flag != "-"]
        self.has_inner = inner == "inner"
        self.port = self.inner_port = self.ops_port = 0
        self.process = None

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    @property
    def inner(self):
        """Where the mesh alone may call it; of a program without such a port the one it has."""
        return f"127.0.0.1:{self.inner_port}" if self.has_inner else self.address

    @property
    def ops(self):
        return f"127.0.0.1:{self.ops_port}"

    @property
    def pid(self):
        return self.process.pid if self.process else None

    def is_alive(self):
        return self.process is not None and self.process.poll() is None


def read_table(replicas=1):
    """storage, storage2, storage3, account, ..."""
    lines = (ROOT / "dev.d" / "programs.table").read_text().splitlines()
    for line in lines:
        if line.strip() and not line.startswith("#"):
            count = replicas if line.split()[0] in REPLICATED else 1
            yield from (Program(line, number) for number in range(1, count + 1))


class Programs:
    """The programs of a mesh. What differs between ./dev up and a test is an attribute of the class."""

    ports = range(20000, 32000)
    ready_seconds = 60
    stop_seconds = 15  # after SIGTERM
    requests_per_second = 50  # how often the sandbox's provider may be asked
    schema_environment = {}  # of programs that apply their schemas: {"PGOPTIONS": "-c mesh.shards=1"}
    has_tls = os.environ.get("MESH_TLS") == "1"  # gRPC, HTTP of bff and provider, and PostgreSQL with certificates

    def __init__(self, build=ROOT / "build", without=(), replicas=1):
        """without: services that nobody calls, and that this mesh is not to have. replicas: of each service."""
        self.build = build
        self.programs = {
            program.name: program for program in read_table(replicas) if program.service not in without
        }
        self.webhook_ports = {}  # of each bff, beside its port for frontends
        self.conninfo = None  # of the server, without a database
        self.conninfos = {}  # of programs whose database is on another server than the others'
        self.directory = None
        self.logs = None
        self.pids = None

    def settle_in(self, directory, pids, logs):
        self.directory, self.pids, self.logs = directory, pids, logs
        for path in (logs, pids, directory / "ports", directory / "ready"):
            path.mkdir(parents=True, exist_ok=True)

    def say(self, text):
        """For who watches ./dev up; tests have no need of it."""

    def start_all(self):
        """Everything up and ready, on a PostgreSQL that runs."""
        self.end_others()
        self.keep_ports()
        self.make_secrets()
        if self.has_tls:
            certificates.keep(self.certificates)
            write_whole(self.policy, (ROOT / "packaging" / "policy.json").read_text())
        postgres_tls.settle(self)
        self.make_databases()
        # Else the first crash would replay the making of every database, for seconds.
        self.psql_run(self.conninfo, "postgres", "-c", "CHECKPOINT")
        for name in self.programs:
            self.start_one(name)
        for name in self.programs:
            self.wait_ready(name)

    def end_others(self):
        """What ran when there were more replicas; a test's mesh has a directory of its own."""

    def start_one(self, name):
        self.launch(name)

    # -- before the first program

    def keep_ports(self):
        """The port that a program had before while it is free, or the program runs; else another one."""
        for name in self.programs:
            self.programs[name].port = self._keep_port(name, name)
            self.programs[name].ops_port = self._keep_port(f"{name}-ops", name)
            if self.programs[name].has_inner:
                self.programs[name].inner_port = self._keep_port(f"{name}-inner", name)
        for name, program in self.replicas("bff").items():
            self.webhook_ports[name] = self._keep_port(f"webhook{program.suffix}", name)

    def _keep_port(self, name, owner):
        port = self.read_port(name)
        if not port or is_listened_on(port) and not self.is_running(owner):
            others = [self.read_port(file.name) for file in (self.directory / "ports").iterdir()]
            port = free_port(self.ports, others)
            write_whole(self.directory / "ports" / name, f"{port}\n")
        return port

    def read_port(self, name):
        try:
            return int((self.directory / "ports" / name).read_text())
        except (FileNotFoundError, ValueError):
            return 0

    def find_ports(self):
        """As they were settled: of a mesh that another process has started."""
        for name, program in self.programs.items():
            program.port = self.read_port(name)
            program.ops_port = self.read_port(f"{name}-ops")
            program.inner_port = self.read_port(f"{name}-inner")
        for name, program in self.replicas("bff").items():
            self.webhook_ports[name] = self.read_port(f"webhook{program.suffix}")

    @property
    def webhook_port(self):
        return self.webhook_ports.get("bff", 0)

    @property
    def certificates(self):
        return self.directory / "tls"

    def tls_flags(self, binary):
        """Of a program or tool; none where gRPC is plain, and of one that speaks no gRPC."""
        if not self.has_tls or binary not in certificates.PROGRAMS:
            return []
        files = {"cert": f"{binary}.crt", "key": f"{binary}.key", "ca": "ca.crt"}
        flags = [f"--tls-{flag}={self.certificates / file}" for flag, file in files.items()]
        return flags + ([f"--policy={self.policy}"] if binary in certificates.SERVERS else [])

    def https_flags(self, binary):
        """Of the programs whose own port speaks HTTP."""
        if not self.has_tls or binary not in ("bff", "sandbox-provider"):
            return []
        flags = [f"--https-{end}={self.certificates / binary}.{file}" for end, file in (("cert", "crt"), ("key", "key"))]
        flags.append("--https-hsts-seconds=0")  # a browser would heed it for all of localhost
        if binary == "sandbox-provider":
            flags.append(f"--webhook-ca-file={self.certificates}/ca.crt")
        return flags

    def database_of(self, name):
        """The conninfo that a program is given."""
        program = self.programs[name]
        conninfo = self.conninfos.get(name, self.conninfo)
        if self.has_tls and conninfo == self.conninfo:
            conninfo = postgres_tls.conninfo(self, program.binary)
        return f"{conninfo} dbname={program.database}"

    def url(self, name):
        return f"{'https' if self.has_tls else 'http'}://{self.address(name)}"

    @property
    def policy(self):
        """Which identity may call which method: the shipped one, as it was when the mesh was started."""
        return self.certificates / "policy.json"

    @property
    def secrets(self):
        return self.directory / "secrets"

    def make_secrets(self):
        def keep(name, text):
            if not (self.secrets / name).exists():
                write_whole(self.secrets / name, text + "\n", 0o600)

        self.secrets.mkdir(mode=0o700, exist_ok=True)
        key = {"kty": "oct", "alg": "HS256", "use": "sig", "kid": "sandbox"}
        key["k"] = base64.urlsafe_b64encode(os.urandom(32)).decode().rstrip("=")
        keep("provider-key", "sandbox_" + base64.urlsafe_b64encode(os.urandom(32)).decode())
        keep("webhook-secret", "whsec_" + base64.b64encode(os.urandom(32)).decode())
        keep("jwks.json", json.dumps({"keys": [key]}))
        sandbox = {
            "adapter": "sandbox",
            "base_url": self.url("provider"),
            "webhook_url": f"{self.url('webhook')}/webhooks/sandbox",
            "api_key_file": "provider-key",
            "secret_files": ["webhook-secret"],
            "requests_per_second": self.requests_per_second,
        }
        if self.has_tls:
            sandbox["ca_file"] = str(self.certificates / "ca.crt")
        providers = json.dumps({"providers": {"sandbox": sandbox}}, indent=4) + "\n"
        write_whole(self.secrets / "providers.json", providers, 0o600)

    def make_databases(self, prefix=""):
        """Those that are missing; and each program brings its own to what it needs. prefix: others of the same
        schemas."""
        due = {prefix + program.database: program for program in self.programs.values() if program.database}
        # \gexec runs what a SELECT has made; CREATE DATABASE knows no IF NOT EXISTS.
        missing = "SELECT 'CREATE DATABASE {0}' WHERE '{0}' NOT IN (SELECT datname FROM pg_database)\\gexec\n"
        self.psql_run(self.conninfo, "postgres", input="".join(missing.format(name) for name in due))
        for name, program in due.items():
            if "migrate=applied" in self.migrate(program, f"{self.conninfo} dbname={name}"):
                self.say(f"  database {name}: schema applied")

    def migrate(self, program, conninfo, what="expand"):
        """What the program logs."""
        words = self.migrate_command(program, conninfo, what)
        done = subprocess.run(
            words, env={**os.environ, **self.schema_environment}, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True,
        )
        if done.returncode != 0:
            raise Trouble(
                f"{program.binary} could not bring its database to what it needs",
                done.stdout,
                "Its words are above. To begin with empty databases: ./dev clean, ./dev up",
            )
        return done.stdout

    def migrate_command(self, program, conninfo, what):
        return [str(self.build / program.binary), f"--migrate={what}", f"--database={conninfo}"]

    def psql_run(self, conninfo, database, *arguments, input=None):
        """What psql prints, a row a line, with tabs."""
        done = subprocess.run(
            ["psql", "-X", "-q", "-A", "-t", "-F", "\t", "-v", "ON_ERROR_STOP=1"]
            + ["-d", f"{conninfo} dbname={database}", *arguments],
            env={**os.environ, "PGOPTIONS": "-c client_min_messages=warning"},
            input=input,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        if done.returncode != 0:
            raise Trouble(f"psql {database} {' '.join(arguments)}: {done.stderr.strip()}")
        return done.stdout

    # -- a program

    def replicas(self, service):
        """All programs of a row of the table, by name."""
        return {name: program for name, program in self.programs.items() if program.service == service}

    def address(self, name):
        """"webhook" is the second port of bff, or of the first of them."""
        return self.webhook_address("bff") if name == "webhook" else self.programs[name].address

    def inner_address(self, name):
        """Where programs of the mesh and operators call it."""
        return self.programs[name].inner

    def webhook_address(self, name):
        """The second port of a bff."""
        return f"127.0.0.1:{self.webhook_ports.get(name, 0)}"

    def target(self, service):
        """Of all its replicas: what a client is told of a service."""
        return ",".join(self.address(name) for name in self.replicas(service))

    def inner_target(self, service):
        return ",".join(self.inner_address(name) for name in self.replicas(service))

    def kafka_address(self):
        return os.environ.get("MESH_KAFKA") or self.address("broker")

    def flags_of(self, name):
        return self.programs[name].flags

    def command(self, name):
        """Its command line. Braces: see programs.table."""
        program = self.programs[name]
        words = [
            str(self.build / program.binary),
            f"--listen={program.address}",
            f"--ops-listen={program.ops}",
            f"--ready-file={self.ready_file(name)}",
        ]
        words += self.tls_flags(program.binary) + self.https_flags(program.binary)
        if program.has_inner:
            words.append(f"--inner-listen={program.inner}")
        if program.database:
            words.append(f"--database={self.database_of(name)}")
        places = {"root": ROOT, "run": self.directory, "webhook": self.webhook_address(name)}
        for service in {program.service for program in self.programs.values()}:
            places[service] = self.target(service)
            places[f"{service}-inner"] = self.inner_target(service)
        places["kafka"] = self.kafka_address()
        for flag in self.flags_of(name):
            for place, text in places.items():
                flag = flag.replace("{%s}" % place, str(text))
            words.append(flag)
        return words

    def ready_file(self, name):
        return self.directory / "ready" / name

    def log_tail(self, name, lines=20):
        with contextlib.suppress(FileNotFoundError):
            text = (self.logs / f"{name}.log").read_text(errors="replace")
            return "\n".join(text.splitlines()[-lines:])
        return ""

    def _last_words(self, name):
        return f"---- the end of {self.logs / name}.log\n{self.log_tail(name)}\n----"

    def is_running(self, name):
        program = self.programs[name]
        return program.is_alive() if program.process else recorded(self.pids / name)[0] is not None

    def is_ready(self, name):
        ready = self.ready_file(name)
        return self.is_running(name) and ready.exists() and ready.stat().st_size > 0

    def launch(self, name, environment=None, tag="-"):
        """Starts it, and does not wait. What keeps its record is that process itself."""
        program, lock = self.programs[name], ()
        with contextlib.suppress(OSError):
            fcntl.fcntl(LOCK, fcntl.F_GETFD)
            lock = (LOCK,)
        self.ready_file(name).unlink(missing_ok=True)
        with open(self.logs / f"{name}.log", "ab") as log:
            program.process = subprocess.Popen(
                ["sh", "-c", RECORDED_START, "sh", str(self.pids / name), tag, *self.command(name)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment,
                start_new_session=True,
                pass_fds=lock,
            )

    def wait_ready(self, name, seconds=None):
        deadline = time.monotonic() + (seconds or self.ready_seconds)
        while not self.is_ready(name):
            process = self.programs[name].process
            if not self.is_running(name):
                how = f", with status {process.returncode}" if process else ""
                raise Trouble(f"{name} ended as it started{how}", self._last_words(name))
            if time.monotonic() > deadline:
                limit = seconds or self.ready_seconds
                raise Trouble(f"{name} has not become ready in {limit:g} s", self._last_words(name))
            time.sleep(0.05)


# ---- ./dev -------------------------------------------------------------------------------------------


class CLI(Programs):
    """programs.py WORD DIRECTORY PIDS ARGUMENTS...: what programs.sh asks. Standard output is for people,
    or a list for the shell."""

    def say(self, text):
        print(text, flush=True)

    def start(self, conninfo, requests_per_second=Programs.requests_per_second):
        self.conninfo, self.requests_per_second = conninfo, int(requests_per_second)
        self.start_all()

    def start_one(self, name):
        """What runs is found out, never assumed: a program is current when its recorded process is alive,
        was started with the very command line, binary, files and OTEL_ variables that we would start now,
        and has written its ready file. Anything else is stopped and started."""
        tag = self._tag(name)
        if self.is_ready(name) and recorded(self.pids / name)[1] == tag:
            return
        self._stop(name)
        self.launch(name, tag=tag)
        self.say(f"  {name} started on {self.address(name)}")

    def _tag(self, name):
        words = self.command(name)
        binary = pathlib.Path(words[0])
        if not os.access(binary, os.X_OK):
            what = f"the program {binary.relative_to(ROOT)} was not built"
            raise Trouble(what, next_move="See what ./dev build says.")
        status, parts = binary.stat(), "\n".join(words).encode()
        digest = hashlib.sha256(parts + f"\n{status.st_mtime_ns} {status.st_size} {status.st_ino}".encode())
        for flag, folder in ((b"--definitions=", ROOT / "saga" / "definitions"), (b"/secrets/", self.secrets)):
            for file in sorted(folder.iterdir()) if flag in parts else ():
                digest.update(file.read_bytes())
        for name in sorted(name for name in os.environ if name.startswith("OTEL_")):
            digest.update(f"\n{name}={os.environ[name]}".encode())
        return digest.hexdigest()[:16]

    def _stop(self, name):
        """Asks, waits, ends."""
        record, deadline = self.pids / name, time.monotonic() + self.stop_seconds
        pid, _ = recorded(record)
        if pid:
            self._signal(pid, signal.SIGTERM)
            while recorded(record)[0]:
                if time.monotonic() > deadline:
                    self.say(f"  {name} did not stop within {self.stop_seconds} s: ending it")
                    self._signal(pid, signal.SIGKILL)
                    deadline = float("inf")
                time.sleep(0.05)
            self.say(f"  {name} stopped (process {pid})")
        for file in (record, self.pids / f"{name}.new", self.ready_file(name)):
            file.unlink(missing_ok=True)

    @staticmethod
    def _signal(pid, number):
        with contextlib.suppress(ProcessLookupError):  # it has ended by itself meanwhile
            os.kill(pid, number)

    def end_others(self):
        """What has a record and is no program of this mesh."""
        for record in sorted(self.pids.iterdir()):
            name = record.name
            if name not in self.programs and not name.startswith("postgres-") and not name.endswith(".new"):
                self._stop(name)

    def stop(self):
        """In the reverse order of their start; then those of a mesh with more replicas."""
        for name in reversed(self.programs):
            self._stop(name)
        self.end_others()

    def status(self, record, state, address):
        """A line a program, PostgreSQL first, of which ./dev knows how it is; 3 unless all are ready."""
        lines = [("postgres", recorded(pathlib.Path(record))[0], state, address)]
        for name, program in self.programs.items():
            state = "ready" if self.is_ready(name) else "starting"
            where = f"{program.address}, ops http://{program.ops}"
            lines.append((name, recorded(self.pids / name)[0], state, where))
        for name, pid, state, address in lines:
            if pid is None:
                print(f"{name:<9} is not running")
            else:
                print(f"{name:<9} {state:<13} process {pid:<8} for {age(pid)}, {address}")
        return 0 if all(pid is not None and state == "ready" for _, pid, state, _ in lines) else 3

    def addresses(self):
        for name, program in self.programs.items():
            inner = f", inner {program.inner}" if program.has_inner else ""
            address = self.url(name) if self.https_flags(program.binary) else program.address
            print(f"  {name:<9} {address:<16} ops http://{program.ops}{inner}")

    def url_of(self, name):
        print(self.url(name))

    def names(self):
        print("|".join(self.programs))

    def services(self):
        """Those with a database, which sagactl and the benchmark know by name."""
        for program in self.programs.values():
            if program.database and not program.suffix:
                print(f"--{program.service}={self.target(program.service)}")

    def processes(self):
        print(",".join(f"{name}:{recorded(self.pids / name)[0]}" for name in self.programs))

    def database(self, name):
        print(self.programs[name].database or "" if name in self.programs else "")

    def databases(self, conninfo, prefix):
        self.conninfo = conninfo
        self.make_databases(prefix)


def age(pid):
    """How long a process has run, from the kernel's own figures (ps need not be installed)."""
    identity = process_identity(pid)
    if identity is None:
        return ""
    up = float(pathlib.Path("/proc/uptime").read_text().split()[0])
    seconds = int(up - int(identity.split()[1]) / os.sysconf("SC_CLK_TCK"))
    return f"{seconds // 3600}:{seconds % 3600 // 60:02}:{seconds % 60:02}"


def main(word, directory, pids, *arguments):
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    without = os.environ.get("MESH_WITHOUT", "").split()
    mesh = CLI(without=without, replicas=int(os.environ.get("MESH_REPLICAS", "1")))
    mesh.settle_in(pathlib.Path(directory), pathlib.Path(pids), pathlib.Path(directory) / "log")
    mesh.find_ports()
    try:
        return getattr(mesh, word)(*arguments)
    except Trouble as trouble:
        lines = [trouble.words, f"dev: {trouble.what}.", f"     {trouble.next_move}"]
        print("\n".join(line for line in lines if line), file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
