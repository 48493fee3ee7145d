"""A whole mesh for tests: a private PostgreSQL, the programs as dev.d/programs.py starts them, and a client.

    with Mesh() as mesh:
        mesh.put_product("tea", 500, pieces=10)
        mesh.open_wallet("ada", top_up_minor=2000)
        order_id = mesh.place("ada", [("tea", 2)])
        assert mesh.wait_final(order_id).status == mesh.order_pb.ORDER_STATUS_PAID

Every mesh has databases, ports and logs of its own, so several can run at once. Faults are done to it
by name: kill, pause, resume, start, stop; "postgres" is the database server.

The changing helpers repeat their call with the same id while the answer is unknown or says that
nothing was done: what a careful caller does. Tests that look at errors call the stubs themselves.

Needs ./dev build and the stubs in build/py; ./dev test stories makes both. MESH_BUILD names another
build directory (build-crash).
"""

import copy
import http.client
import json
import os
import pathlib
import random
import re
import shutil
import signal
import ssl
import subprocess
import sys
import tempfile
import time

import again
from clock import Clocks
from patience import PATIENCE, wait_until

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "dev.d"))
import programs  # noqa: E402
from programs import process_identity  # noqa: E402

STUBS = ROOT / "build" / "py"

# While calls fail at once because a program is away, no thread looks whether a new connection has come about,
# but for this.
os.environ.setdefault("GRPC_CLIENT_CHANNEL_BACKUP_POLL_INTERVAL_MS", "100")
# The stubs lie in packages that Debian's own Python packages also have: grpc, google.
sys.path.insert(0, str(STUBS))
import grpc  # noqa: E402

grpc.__path__.append(str(STUBS / "grpc"))

from google.rpc import error_details_pb2, status_pb2  # noqa: E402
from grpc.health.v1 import health_pb2, health_pb2_grpc  # noqa: E402
from sagamesh.batch.v1 import batch_service_pb2, batch_service_pb2_grpc  # noqa: E402
from sagamesh.ledger.v1 import ledger_service_pb2, ledger_service_pb2_grpc  # noqa: E402
from sagamesh.order.v1 import order_service_pb2, order_service_pb2_grpc  # noqa: E402
from sagamesh.payment.v1 import payment_service_pb2, payment_service_pb2_grpc  # noqa: E402
from sagamesh.saga.v1 import saga_service_pb2, saga_service_pb2_grpc  # noqa: E402
from sagamesh.storage.v1 import storage_service_pb2, storage_service_pb2_grpc  # noqa: E402

PORTS = range(12000, 20000)  # others than those of ./dev up
READY_SECONDS = 60
# bff's default, or more: where the machine is slow, an order that is too is not one that waits.
PLACE_WAIT_SECONDS = 1 + round(PATIENCE)
PATIENT_FLAGS = {"bff": [f"--place-wait-ms={PLACE_WAIT_SECONDS}000"]}
LAST_WORDS = 200  # lines of a log
# What a careful caller asks again after, with the same id.
ASK_AGAIN = (
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.ABORTED,
    grpc.StatusCode.INTERNAL,
    grpc.StatusCode.UNKNOWN,
    grpc.StatusCode.CANCELLED,
)
PENDING_STATES = (
    order_service_pb2.ORDER_STATUS_PENDING,
    order_service_pb2.ORDER_STATUS_WAITING_PAYMENT,
)


# ---- small things ----------------------------------------------------------------------------------


def uuid7(now_ms=None, rng=random):
    """An id as every caller makes one, in order within a millisecond too. rng: a seeded random.Random
    for runs that repeat."""
    us = time.time_ns() // 1000 if now_ms is None else now_ms * 1000
    ms, fraction = us // 1000, us % 1000 * 4096 // 1000
    value = (ms << 80) | (7 << 76) | (fraction << 64) | (2 << 62) | rng.getrandbits(62)
    text = f"{value:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


class Stubs:
    """The methods of a service that all may call, and of the one beside it that the mesh alone may call, which
    answers on the program's inner port."""

    def __init__(self, public, inner):
        self.public, self.inner = public, inner

    def __getattr__(self, method):
        return getattr(self.public if hasattr(self.public, method) else self.inner, method)


class Refusal:
    """What an error says: status code, reason and metadata of its one ErrorInfo, message."""

    def __init__(self, error):
        self.code = error.code()
        self.message = error.details()
        self.reason = ""
        self.domain = ""
        self.metadata = {}
        for key, value in error.trailing_metadata() or ():
            if key == "grpc-status-details-bin":
                self._read(value)

    def _read(self, value):
        status = status_pb2.Status.FromString(value)
        for detail in status.details:
            info = error_details_pb2.ErrorInfo()
            if detail.Unpack(info):
                self.reason, self.domain = info.reason, info.domain
                self.metadata = dict(info.metadata)

    def __repr__(self):
        return f"Refusal({self.code.name}, {self.reason}, {self.metadata}, {self.message!r})"


def refusal(call, *arguments, **options):
    """The Refusal that a call ends in; an AssertionError when it is answered."""
    try:
        answer = call(*arguments, **options)
    except grpc.RpcError as error:
        return Refusal(error)
    raise AssertionError(f"it was answered: {answer}")


# Called when all tests are over: what they shared is closed.
at_end = []


def free_port():
    return programs.free_port(PORTS)


def names_of(service, replicas):
    """Of its programs in a mesh with so many."""
    numbers = range(2, replicas + 1) if service in programs.REPLICATED else ()
    return [service, *(f"{service}{number}" for number in numbers)]


def dev(*words, **environment):
    """Runs ./dev with words; its standard output, stripped."""
    done = subprocess.run(
        [str(ROOT / "dev"), *words],
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return done.stdout.strip()


# ---- a mesh ----------------------------------------------------------------------------------------


class Mesh(programs.Programs):
    ports = PORTS
    ready_seconds = READY_SECONDS * PATIENCE
    stop_seconds = 30

    def __init__(self, build=None, flags=None, environment=None, clocks=(), without=(), kafka=None, tls=None, replicas=1,
                 shards=None):
        """flags: {"saga": ["--retry-ms=10"]}, more of them for a program; environment likewise:
        {"order": {"MESH_CRASH": "..."}}. clocks: names of programs, or "postgres", whose wall clocks
        can be moved (clock.py). without: programs that it is not to have. kafka: kafka_server.Kafka, for a
        real one of the mesh's own, which then is its "broker". tls: whether gRPC has certificates; None: as
        MESH_TLS=1 says. replicas: of each service: "order", "order2", ...; flags are for all of them, and a
        call to "order" goes to one after the other. shards: of the sagas; None: as many as the schema says."""
        left_out = (*without, *(("broker",) if kafka else ()))
        super().__init__(ROOT / (build or os.environ.get("MESH_BUILD", "build")), left_out, replicas)
        self.kafka_class, self.kafka = kafka, None
        self.has_tls = self.has_tls if tls is None else tls
        self.schema_environment = {"PGOPTIONS": f"-c mesh.shards={shards}"} if shards else {}
        self.flags = flags or {}
        self.environment = environment or {}
        self.clock_names = clocks
        self.clocks = None
        self.has_moved_clocks = False
        self.channels = {}
        self.order_pb = order_service_pb2
        self.storage_pb = storage_service_pb2
        self.ledger_pb = ledger_service_pb2
        self.saga_pb = saga_service_pb2
        self.payment_pb = payment_service_pb2
        self.batch_pb = batch_service_pb2

    def __enter__(self):
        self.open()
        return self

    def __exit__(self, kind, value, trace):
        self.close(keep_logs=kind is not None)

    # -- life

    def open(self):
        """Makes everything and returns when all programs are ready."""
        results = ROOT / ".run" / "results"
        results.mkdir(parents=True, exist_ok=True)
        logs = pathlib.Path(tempfile.mkdtemp(prefix="mesh-", dir=results))
        again.log_folders.add(logs)
        directory = pathlib.Path(dev("scratch", "new", str(os.getpid())))
        self.settle_in(directory, directory / "pids", logs)
        if self.clock_names:
            self.clocks = Clocks(self.clock_names)
        try:
            self.start("postgres")
            if self.kafka_class:
                self.kafka = self.kafka_class(directory / "kafka")
                self.start("broker")
            self.start_all()
        except BaseException:
            self.close(keep_logs=True)
            raise

    def token(self, customer_id, *flags):
        """A bearer token for bff, by the mesh's own key; flags: "--operator", "--seconds=5"."""
        key = f"--jwks={self.secrets}/jwks.json"
        words = [self.build / "bff-token", key, *flags, customer_id]
        return subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True).stdout.strip()

    def close(self, keep_logs=False):
        """Ends and removes everything. Logs that are kept are named on standard output. Programs built
        with a sanitizer are asked to stop, and must end well: LeakSanitizer looks at what is left."""
        for channel in self.channels.values():
            channel.close()
        self.channels = {}
        try:
            if self.is_sanitized() and not keep_logs:
                keep_logs = True
                self._stop_all()
                keep_logs = False
        finally:
            self._remove(keep_logs)

    def is_sanitized(self):
        cache = (self.build / "CMakeCache.txt").read_text()
        return re.search(r"^MESH_SANITIZE:\w+=.", cache, re.MULTILINE) is not None

    def _stop_all(self):
        """In the reverse order of their start."""
        bad = []
        for name, program in reversed(self.programs.items()):
            if program.process is None:
                continue
            status = self.stop(name)
            if status != 0:
                bad.append(f"{name} ended with {status}:\n{self.log_tail(name, LAST_WORDS)}")
        if bad:
            raise AssertionError("\n".join(bad))

    def _remove(self, keep_logs):
        if self.kafka:
            self.kafka.close()
        for program in self.programs.values():
            if program.process:
                program.process.kill()
                program.process.wait()
                program.process = None
        if self.directory and self.directory.exists():
            if keep_logs:
                shutil.copy(self.directory / "pg" / "log", self.logs / "postgres.log")
            dev("scratch", "remove", str(self.directory))
        if keep_logs:
            print(f"logs are kept in {self.logs}", flush=True)
        else:
            shutil.rmtree(self.logs, ignore_errors=True)
        if self.clocks:
            self.clocks.close()

    # -- processes, by name

    def connect(self, address, timeout):
        """HTTP to bff or provider."""
        host, port = address.split(":")
        if not self.has_tls:
            return http.client.HTTPConnection(host, int(port), timeout=timeout)
        context = ssl.create_default_context(cafile=self.certificates / "ca.crt")
        return http.client.HTTPSConnection(host, int(port), timeout=timeout, context=context)

    def add(self, name, like):
        """One more program, with the flags of another and ports of its own; it does not run yet."""
        program = copy.copy(self.programs[like])
        program.name = program.service = name  # others do not know it
        program.process = None
        program.port, program.inner_port, program.ops_port = free_port(), free_port(), free_port()
        self.programs[name] = program
        if like in self.flags:
            self.flags[name] = self.flags[like]
        return program

    def start(self, name, wait=True, environment=None):
        """Starts a program that does not run, or "postgres"; waits until it is ready. One that ends itself at a
        crash point is not waited for: it may come there before it is ready."""
        if name == "postgres":
            own = " ".join(f"{key}={value}" for key, value in self.own_clock(name).items())
            directory = str(self.directory / "pg")
            self.conninfo = dev("postgres", "start", directory, POSTGRES_ENVIRONMENT=own)
            return
        if self.is_real_kafka(name):
            self.kafka.start()
            return
        program = self.programs[name]
        assert not program.is_alive(), f"{name} runs already"
        settings = {
            **os.environ,
            **self.own_clock(name),
            **self.environment.get(name, {}),
            **(environment or {}),
        }
        self.launch(name, settings)
        again.programs.append(program.process)
        if wait and "MESH_CRASH_AT" not in settings:
            self.wait_ready(name)

    def start_ended(self):
        """What a test has left dead runs again, for the next one."""
        for name, program in self.programs.items():
            if not program.is_alive():
                print(f"    {name} is dead, and starts again", flush=True)
                self.start(name)

    def start_one(self, name):
        self.start(name, wait=False)

    def is_real_kafka(self, name):
        return name == "broker" and self.kafka is not None

    def address(self, name):
        return self.kafka.address if self.is_real_kafka(name) else super().address(name)

    def kafka_address(self):
        return self.kafka.address if self.kafka else super().kafka_address()

    def wait_ready(self, name, seconds=None):
        if not self.is_real_kafka(name):  # start() has waited for it
            super().wait_ready(name, seconds)

    def flags_of(self, name):
        service = self.programs[name].service
        return super().flags_of(name) + PATIENT_FLAGS.get(service, []) + self.flags.get(service, [])

    def own_clock(self, name):
        """What a program is started with, so that its clock can be moved."""
        settings = self.clocks.environment(name) if self.clocks else {}
        if settings and name != "postgres" and self.is_sanitized():
            # It takes no memory, so it may be loaded before the sanitizer's library.
            options = os.environ.get("ASAN_OPTIONS", "")
            settings["ASAN_OPTIONS"] = f"{options}:verify_asan_link_order=0".lstrip(":")
        return settings

    def move_clock(self, name, seconds):
        """The wall clock of a program, or of "postgres", is so much ahead from now on."""
        self.has_moved_clocks = True
        self.clocks.move(name, seconds)

    def set_clocks_right(self):
        if self.clocks:
            self.clocks.set_right()

    def pid(self, name):
        if name == "postgres":
            lines = (self.directory / "pg" / "data" / "postmaster.pid").read_text().splitlines()
            return int(lines[0])
        return self.kafka.process.pid if self.is_real_kafka(name) else self.programs[name].pid

    def kill(self, name):
        """kill -9, and waits until it is gone."""
        self._end(name, signal.SIGKILL)

    def stop(self, name):
        """SIGTERM, waits for the drain, returns the exit status. postgres: a fast shutdown."""
        return self._end(name, signal.SIGINT if name == "postgres" else signal.SIGTERM)

    def _end(self, name, number):
        if name == "postgres":
            self._end_postgres(number)
            return 0
        if self.is_real_kafka(name):
            self.kafka.kill()
            return 0
        program = self.programs[name]
        if program.is_alive():
            program.process.send_signal(number)
        try:
            status = program.process.wait(self.stop_seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{name} did not end within {self.stop_seconds} s of {number}") from None
        program.process = None
        return status

    def _end_postgres(self, number):
        pid = self.pid("postgres")
        identity = process_identity(pid)
        os.kill(pid, number)
        wait_until(lambda: process_identity(pid) != identity, self.stop_seconds, "PostgreSQL gone")

    def restart(self, name):
        """kill -9 and start."""
        self.kill(name)
        self.start(name)

    def pause(self, name):
        os.kill(self.pid(name), signal.SIGSTOP)

    def resume(self, name):
        os.kill(self.pid(name), signal.SIGCONT)

    def wait_ended(self, name, seconds=READY_SECONDS):
        """Until a program has ended by itself (a crash point); its exit status."""
        program = self.programs[name]
        wait_until(lambda: not program.is_alive(), seconds, f"{name} ended")
        status = program.process.returncode
        program.process = None
        return status

    # -- SQL

    def psql(self, database, statement):
        """Rows as lists of text. database: orders, storage, account, saga, alerts."""
        owners = [p.name for p in self.programs.values() if p.database == database]
        conninfo = self.conninfos.get(owners[0], self.conninfo) if owners else self.conninfo
        lines = self.psql_run(conninfo, database, "-c", statement).splitlines()
        return [line.split("\t") for line in lines if line]

    def kill_backend(self, database, rng=random):
        """Ends one backend that serves a database, as an operator would; its pid, or None."""
        rows = self.psql(
            "postgres",
            f"SELECT pid FROM pg_stat_activity WHERE datname = '{database}'"
            " AND backend_type = 'client backend' ORDER BY pid",
        )
        if not rows:
            return None
        pid = int(rng.choice(rows)[0])
        self.psql("postgres", f"SELECT pg_terminate_backend({pid})")
        return pid

    # -- calls

    def channel(self, name):
        """To a program, or, with "-inner" behind its name, to its inner port; to each of its replicas in turn."""
        if name not in self.channels:
            options = [
                ("grpc.enable_retries", 0),
                ("grpc.initial_reconnect_backoff_ms", 50),
                ("grpc.min_reconnect_backoff_ms", 5000),  # how long it may take to come about
                ("grpc.max_reconnect_backoff_ms", 500),
            ]
            program = name.removesuffix("-inner")
            target = self.target(name) if program == name else self.inner_target(program)
            if "," in target:
                target = f"ipv4:{target}"
                options += [
                    ("grpc.service_config", json.dumps({"loadBalancingConfig": [{"round_robin": {}}]})),
                    ("grpc.default_authority", "localhost"),  # of their certificates
                ]
            self.channels[name] = self._channel(target, options)
        return self.channels[name]

    def _channel(self, address, options):
        if not self.has_tls:
            return grpc.insecure_channel(address, options)
        files = [(self.certificates / file).read_bytes() for file in ("ca.crt", "sagactl.key", "sagactl.crt")]
        return grpc.secure_channel(address, grpc.ssl_channel_credentials(*files), options)

    def _stubs(self, name, public, inner):
        return Stubs(public(self.channel(name)), inner(self.channel(f"{name}-inner")))

    @property
    def orders(self):
        services = order_service_pb2_grpc
        return self._stubs("order", services.OrderServiceStub, services.OrderSagaServiceStub)

    @property
    def storage(self):
        services = storage_service_pb2_grpc
        return self._stubs("storage", services.StorageServiceStub, services.StorageSagaServiceStub)

    @property
    def ledger(self):
        services = ledger_service_pb2_grpc
        return self._stubs("account", services.LedgerServiceStub, services.LedgerSagaServiceStub)

    @property
    def payments(self):
        services = payment_service_pb2_grpc
        return self._stubs("account", services.PaymentServiceStub, services.PaymentSagaServiceStub)

    @property
    def sagas(self):
        services = saga_service_pb2_grpc
        return self._stubs("saga", services.SagaServiceStub, services.SagaControlServiceStub)

    def batch(self, name):
        return batch_service_pb2_grpc.BatchServiceStub(self.channel(name))

    def health(self, name, service="", seconds=5):
        """health_pb2.HealthCheckResponse.SERVING or NOT_SERVING."""
        stub = health_pb2_grpc.HealthStub(self.channel(name))
        return stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=seconds).status

    def insist(self, call, request, seconds=120, attempt_seconds=5):
        """The answer to call(request), asked again with the same ids until there is one. A refusal
        is raised at once."""
        deadline = time.monotonic() + seconds * PATIENCE
        while True:
            try:
                return call(request, timeout=attempt_seconds)
            except grpc.RpcError as error:
                if error.code() not in ASK_AGAIN or time.monotonic() > deadline:
                    raise
            time.sleep(0.1)

    def put_product(self, sku, unit_price_minor, pieces=0, currency="EUR"):
        pb = storage_service_pb2
        self.insist(
            self.storage.PutProduct,
            pb.PutProductRequest(
                request_id=uuid7(), sku=sku, unit_price_minor=unit_price_minor, currency=currency
            ),
        )
        if pieces:
            self.restock(sku, pieces)

    def restock(self, sku, quantity):
        request = storage_service_pb2.RestockRequest(request_id=uuid7(), sku=sku, quantity=quantity)
        return self.insist(self.storage.Restock, request).product

    def product(self, sku):
        request = storage_service_pb2.GetProductRequest(sku=sku)
        return self.insist(self.storage.GetProduct, request).product

    def open_wallet(self, customer_id, currency="EUR", top_up_minor=0):
        pb = ledger_service_pb2
        request = pb.OpenWalletRequest(
            request_id=uuid7(), customer_id=customer_id, currency=currency
        )
        self.insist(self.ledger.OpenWallet, request)
        if top_up_minor:
            self.top_up(customer_id, top_up_minor, currency)

    def top_up(self, customer_id, amount_minor, currency="EUR"):
        request = ledger_service_pb2.TopUpRequest(
            request_id=uuid7(),
            customer_id=customer_id,
            amount_minor=amount_minor,
            currency=currency,
            reference="test",
        )
        return self.insist(self.ledger.TopUp, request).transfer_id

    def balance(self, customer_id, currency="EUR"):
        request = ledger_service_pb2.BalanceRequest(customer_id=customer_id, currency=currency)
        return self.insist(self.ledger.Balance, request).balance_minor

    def place_request(self, customer_id, lines, currency="EUR", flow="", order_id=None, provider=""):
        """lines: [(sku, quantity)]. provider: it is paid there, and not from the wallet."""
        pb = order_service_pb2
        return pb.PlaceRequest(
            order_id=order_id or uuid7(),
            customer_id=customer_id,
            currency=currency,
            lines=[pb.OrderLine(sku=sku, quantity=quantity) for sku, quantity in lines],
            flow=flow,
            payment_method="external" if provider else "",
            provider=provider,
        )

    def place(self, customer_id, lines, **options):
        """Places an order; its id, once that is acknowledged."""
        request = self.place_request(customer_id, lines, **options)
        self.insist(self.orders.Place, request)
        return request.order_id

    def order(self, order_id):
        return self.insist(self.orders.Get, order_service_pb2.GetRequest(order_id=order_id)).order

    def wait_final(self, order_id, seconds=60):
        """The order once it is PAID or FAILED."""
        seconds *= PATIENCE
        deadline = time.monotonic() + seconds
        version, order = 0, None
        while True:
            left = deadline - time.monotonic()
            if left <= 0:
                raise AssertionError(f"order {order_id} is not final after {seconds:g} s: {order}")
            wait_ms = int(min(left, 2) * 1000)
            request = order_service_pb2.GetRequest(
                order_id=order_id, wait_ms=wait_ms, known_version=version
            )
            order = self.insist(self.orders.Get, request, seconds=left + 1, attempt_seconds=10).order
            if order.status not in PENDING_STATES:
                return order
            version = order.version

    def cancel(self, order_id):
        request = order_service_pb2.CancelRequest(request_id=uuid7(), order_id=order_id)
        return self.insist(self.orders.Cancel, request)

    def events(self, order_id, after_version=0):
        request = order_service_pb2.ListEventsRequest(
            order_id=order_id, after_version=after_version
        )
        return list(self.insist(self.orders.ListEvents, request).events)

    def saga(self, saga_id):
        """The saga with its steps."""
        return self.insist(self.sagas.Get, saga_service_pb2.GetRequest(saga_id=saga_id))
