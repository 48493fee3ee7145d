"""k8s/chart on a real cluster: the one that KUBECONFIG names, in namespaces of our own whose pods must be `restricted`.

    test_k8s.py TOOLS BUILD            TOOLS: where dev.d/chart.sh put kubectl and helm4; BUILD: the programs

Of the environment: MESH_K8S_IMAGE=[REGISTRY/]REPOSITORY:TAG is sagamesh's image, MESH_K8S_POSTGRES PostgreSQL's and
MESH_K8S_KAFKA Kafka's; empty: no Kafka.

A release "for money" has three replicas and a PostgreSQL that is not the chart's; one "for trying out" brings its own. Load
is `sagactl demo --seconds` in pods of their own: one order that is paid, one that is undone and one over HTTP, again and
again. An upgrade, a rollback and pods that are killed must cost none of them.

The last line is "N passed, N failed, N skipped".
"""

import atexit
import base64
import json
import os
import pathlib
import random
import signal
import sys
import tempfile
import unittest

import yaml

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
import totals  # noqa: E402
from cluster import Cluster, Failed, PATIENCE, run, say, wait_until  # noqa: E402

CHART = HERE.parents[1] / "k8s/chart"
TOOLS, BUILD = "", pathlib.Path()
IMAGE = os.environ.get("MESH_K8S_IMAGE", "sagamesh:0.1.0")
POSTGRES = os.environ.get("MESH_K8S_POSTGRES", "docker.io/library/postgres:15")
KAFKA = os.environ.get("MESH_K8S_KAFKA", "docker.io/apache/kafka:4.1.1")
RELEASE = "shop"
OURS = f"app.kubernetes.io/instance={RELEASE}"
PROGRAMS = ("storage", "account", "saga", "order", "alerts", "bff")
REPLICAS = {name: 3 for name in PROGRAMS}
COMPONENTS = {name: "bff" if name == "bff" else f"{name}-svc" for name in PROGRAMS}
PODS_OF_PROGRAMS = f"app.kubernetes.io/component in ({','.join(COMPONENTS.values())})"
DATABASES = ("storage", "account", "saga", "orders", "alerts")
LOADS = 3
ROUNDS_A_SECOND = 2  # of each
LOAD_SECONDS = 570  # at most: a token of the sandbox is good for ten minutes

# What a node of two processors has room for.
SMALL = ["--set", "resources.requests.cpu=5m"]


def of_program(name):
    return f"{OURS},app.kubernetes.io/component={COMPONENTS[name]}"


def image_values():
    """MESH_K8S_IMAGE as the chart wants it."""
    name, _, tag = IMAGE.rpartition(":")
    registry, _, repository = name.rpartition("/")
    return ["--set", f"image.registry={registry},image.repository={repository}", "--set-string", f"image.tag={tag}"]


class Release(unittest.TestCase):
    """One story, told by tests in the order of their names: when one fails, those after it are left out."""

    name = ""
    values = []
    replicas = {}
    failed = None

    @classmethod
    def setUpClass(cls):
        cls.failed = None
        cls.cluster = Cluster(TOOLS, f"sagamesh-{cls.name}-{random.randrange(16**4):04x}")
        cls.addClassCleanup(cls.cluster.end)
        atexit.register(cls.cluster.end)  # when it is interrupted
        say(f"-- {cls.__doc__} (namespace {cls.cluster.namespace})")
        cls.cluster.begin()
        cls.prepare()

    @classmethod
    def prepare(cls):
        """What a release needs before it is installed."""

    def setUp(self):
        if self.failed:
            self.skipTest(f"{self.failed} failed")

    def run(self, result=None):
        """Beside a failure it tells how the cluster stands."""
        known = len(result.failures) + len(result.errors)
        super().run(result)
        if len(result.failures) + len(result.errors) > known:
            type(self).failed = self._testMethodName
            say(f"{self._testMethodName}: FAILED")
            self.cluster.tell_why(OURS)
        return result

    # ---- words ----

    def install(self):
        before = self.cluster.objects()
        flags = [*image_values(), *SMALL, *self.values]
        self.cluster.helm("install", RELEASE, CHART, *flags, "--wait", *limit(300), seconds=320)
        type(self).before, type(self).flags = before, flags
        for name, count in self.replicas.items():
            pods = self.cluster.pods(of_program(name))
            self.assertEqual(len(pods), count, name)
            for pod in pods:
                ready = [one["status"] for one in pod["status"]["conditions"] if one["type"] == "Ready"]
                self.assertEqual(ready, ["True"], pod["metadata"]["name"])
        say(f"installed: {sum(self.replicas.values())} pods of programs are ready")

    def helm_test(self):
        self.cluster.helm("test", RELEASE, *limit(180), seconds=200)
        say("helm test: orders were placed over gRPC and HTTP")

    def uninstall(self):
        self.cluster.helm("uninstall", RELEASE, "--wait", *limit(180), seconds=200)
        left = lambda: sorted(self.cluster.objects() - self.before)
        try:
            wait_until("nothing of the release is left", lambda: not left(), 30)
        except Failed:
            self.fail(f"these are left: {left()}")
        say("uninstalled: no object of any kind is left")

    def audit(self):
        """All that holds money or goods agrees, and no order is open."""
        is_done, said = self.sagactl("audit", "--minutes=0", "--timeout=20")
        self.assertTrue(is_done, f"the audit says:\n{said}")
        say("audit: " + said.strip().splitlines()[-1])

    def sagactl(self, *words):
        """Whether an operator's Job came to its end, and what it said."""
        show = ["--show-only", "templates/operator.yaml", "--set", f"operator.args={{{','.join(words)}}}"]
        job = self.cluster.helm("template", RELEASE, CHART, *self.flags, *show)
        name = self.cluster.kubectl("create", "-f", "-", "-o", "name", text=job).strip()
        status = lambda: json.loads(self.cluster.kubectl("get", name, "-o", "json"))["status"]
        wait_until(f"{name} has ended", lambda: status().get("succeeded") or status().get("failed"), 120)
        is_done, said = bool(status().get("succeeded")), self.cluster.kubectl("logs", name)
        self.cluster.kubectl("delete", name)
        return is_done, said

    def under_load(self, what, work):
        """Runs work() while orders are placed; none of them may end wrong."""
        load = Load(self.cluster)
        load.begin()
        try:
            work()
        finally:
            sums = load.end()
        say(f"{what}: {sums['orders']} orders in {sums['rounds']} rounds meanwhile, the slowest {sums['slowest_us'] / 1e6:.1f} s,"
            f" {sums['wrong']} rounds wrong")
        self.assertGreater(sums["orders"], 0)
        self.assertEqual(sums["wrong"], 0, "\n".join(load.said))

    def upgrade(self):
        """Another format of the log: every pod of a program is replaced."""
        old = self.uids()

        def work():
            self.cluster.helm("upgrade", RELEASE, CHART, *self.flags, "--set", "logFormat=text", "--wait", *limit(300), seconds=320)
            self.cluster.rolled_out(OURS)

        self.under_load("upgrade", work)
        self.assertFalse(old & self.uids(), "a pod was not replaced")
        self.assertEqual(self.cluster.restarts(f"{OURS},{PODS_OF_PROGRAMS}"), {})

    def uids(self):
        return {pod["metadata"]["uid"] for pod in self.cluster.pods(f"{OURS},{PODS_OF_PROGRAMS}")}


def limit(seconds):
    return ["--timeout", f"{seconds * PATIENCE:.0f}s"]


class Load:
    """Pods that place orders until they are told to end: the pod of `helm test`, with other arguments."""

    def __init__(self, cluster):
        self.cluster = cluster
        hooks = cluster.helm("get", "hooks", RELEASE)
        [self.pod] = [one for one in yaml.safe_load_all(hooks) if one and one["kind"] == "Pod"]
        self.names = [f"load-{number}" for number in range(LOADS)]
        self.said = []

    def begin(self):
        pods = []
        for name in self.names:
            pod = json.loads(json.dumps(self.pod))
            pod["metadata"] = {"name": name, "labels": pod["metadata"]["labels"]}
            pod["spec"]["terminationGracePeriodSeconds"] = 120
            [container] = pod["spec"]["containers"]
            told = ("--timeout",)
            container["args"] = [flag for flag in container["args"] if not flag.startswith(told)]
            container["args"] += ["--timeout=60", f"--seconds={LOAD_SECONDS}", f"--rate={ROUNDS_A_SECOND}", "--json"]
            pods.append(pod)
        self.cluster.apply(*pods)
        self.cluster.kubectl("wait", "pod", *self.names, "--for=condition=Ready", "--timeout=60s", seconds=70)

    def end(self):
        """Their sums. A deadline that has passed sends SIGTERM and lets the pod, and so its log, stay."""
        for name in self.names:
            self.cluster.kubectl("patch", "pod", name, "-p", json.dumps({"spec": {"activeDeadlineSeconds": 1}}))
        sums = {"rounds": 0, "orders": 0, "wrong": 0, "slowest_us": 0}
        for name in self.names:
            wait_until(f"{name} has ended", lambda: self.phase(name) in ("Failed", "Succeeded"), 150)
            lines = self.cluster.kubectl("logs", name, "-c", "order").splitlines()
            told = json.loads(lines.pop()) if lines else {}
            if "rounds" not in told:
                raise Failed(f"{name} did not come to its end: {lines[-3:]} {told}")
            self.said += [f"{name}: {line}" for line in lines]
            for key in ("rounds", "orders", "wrong"):
                sums[key] += told[key]
            sums["slowest_us"] = max(sums["slowest_us"], told["slowest_us"])
        self.cluster.kubectl("delete", "pod", *self.names, "--now")
        return sums

    def phase(self, name):
        return json.loads(self.cluster.kubectl("get", "pod", name, "-o", "json"))["status"]["phase"]


class ForMoney(Release):
    """three replicas on a PostgreSQL of ours by TLS, all gRPC with certificates and the policy"""

    name = "money"
    replicas = REPLICAS
    values = [
        "--set", "postgresql.host=postgresql,postgresql.existingSecret=own,postgresql.caSecret=own-tls-postgresql",
        "--set", "tls.enabled=true,tls.existingSecrets=own-tls",
        "--set", "programs.account.secret=own,programs.bff.secret=own,tests.tokenSecret.name=own",
        *(word for name, count in REPLICAS.items() if count != 1 for word in ("--set", f"programs.{name}.replicas={count}")),
    ]  # fmt: skip

    @classmethod
    def prepare(cls):
        key = base64.urlsafe_b64encode(os.urandom(32)).decode().rstrip("=")
        jwks = json.dumps({"keys": [{"kty": "oct", "alg": "HS256", "use": "sig", "kid": "test", "k": key}]})
        with tempfile.TemporaryDirectory() as work:
            file = pathlib.Path(work) / "jwks.json"
            file.write_text(jwks)
            file.chmod(0o600)
            token = run([BUILD / "bff-token", f"--jwks={file}", "--operator", "--seconds=7200"])
        secret = {"password": os.urandom(16).hex(), "jwks.json": jwks, "token": token, "providers.json": '{"providers": {}}'}
        sql = "".join(f"CREATE DATABASE {name};\n" for name in DATABASES)
        cls.cluster.apply(*certificates())
        meta = lambda name: {"name": name, "labels": {"app": "postgresql"}}
        cls.cluster.apply(
            {"apiVersion": "v1", "kind": "Secret", "metadata": meta("own"), "stringData": secret},
            {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta("databases"), "data": {"databases.sql": sql}},
            {
                "apiVersion": "v1",
                "kind": "Service",
                "metadata": meta("postgresql"),
                "spec": {"selector": {"app": "postgresql"}, "ports": [{"port": 5432}]},
            },
            {"apiVersion": "v1", "kind": "Pod", "metadata": meta("postgresql"), "spec": postgresql()},
        )
        cls.cluster.kubectl("wait", "pod/postgresql", "--for=condition=Ready", "--timeout=180s", seconds=190)

    def test_1_it_is_installed(self):
        self.install()
        self.assertEqual(self.cluster.restarts(f"{OURS},{PODS_OF_PROGRAMS}"), {})

    def test_2_orders_work(self):
        self.helm_test()

    def test_3_an_upgrade_fails_no_order(self):
        self.upgrade()
        self.audit()

    def test_4_each_pod_is_killed_once_and_no_order_fails(self):
        self.under_load("every pod killed", self.kill_all)
        self.audit()

    def kill_all(self):
        """One of each program at a time: gone at once, without what a pod does before its end. Then PostgreSQL."""
        doomed = {name: [pod["metadata"]["name"] for pod in self.cluster.pods(of_program(name))] for name in PROGRAMS}
        killed = 0
        while any(doomed.values()):
            now = [names.pop() for names in doomed.values() if names]
            self.cluster.kubectl("delete", "pod", *now, "--grace-period=0", "--force")
            self.cluster.rolled_out(OURS)
            killed += len(now)
            say(f"{killed} pods killed, and all are there again")
        # The first process of a container takes no SIGKILL from inside; SIGQUIT is PostgreSQL's immediate end.
        self.cluster.kubectl("exec", "postgresql", "--", "sh", "-c", "kill -QUIT 1")
        wait_until("PostgreSQL was started again", self.postgresql_is_back, 120)
        self.cluster.rolled_out(OURS)
        say("PostgreSQL killed, and it is there again")

    def postgresql_is_back(self):
        [pod] = self.cluster.pods("app=postgresql")
        [status] = pod["status"]["containerStatuses"]
        return status["ready"] and status["restartCount"] == 1

    def test_5_a_rollback_fails_no_order(self):
        def work():
            self.cluster.helm("rollback", RELEASE, "1", "--wait", *limit(300), seconds=320)
            self.cluster.rolled_out(OURS)

        self.under_load("rollback", work)
        self.audit()

    def test_6_nothing_is_left(self):
        self.uninstall()


def certificates():
    """A Secret for each identity, as cert-manager would make it, and for PostgreSQL one by its host's name."""
    with tempfile.TemporaryDirectory() as work:
        run([sys.executable, CHART.parents[1] / "dev.d/certificates.py", work])
        words = f"openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -CA {work}/ca.crt -CAkey {work}/ca.key"
        words += f" -keyout {work}/postgresql.key -out {work}/postgresql.crt -days 2 -subj /CN=postgresql"
        run([*words.split(), "-addext", "subjectAltName=DNS:postgresql", "-addext", "basicConstraints=critical,CA:FALSE"])
        read = lambda name: (pathlib.Path(work) / name).read_text()
        for name in sorted(file.stem for file in pathlib.Path(work).glob("*.key") if file.stem != "ca"):
            data = {"tls.crt": read(f"{name}.crt"), "tls.key": read(f"{name}.key"), "ca.crt": read("ca.crt")}
            yield {"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls", "metadata": {"name": f"own-tls-{name}"}, "stringData": data}


def postgresql():
    volumes = {"data": "/var/lib/postgresql/data", "socket": "/var/run/postgresql", "tmp": "/tmp"}
    ssl = {"ssl": "on", "ssl_cert_file": "/etc/tls/tls.crt", "ssl_key_file": "/etc/tls/tls.key"}
    settings = {"max_connections": "500", **ssl}
    return {
        "automountServiceAccountToken": False,
        "securityContext": {"runAsNonRoot": True, "runAsUser": 999, "runAsGroup": 999, "fsGroup": 999, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [
            {
                "name": "postgresql",
                "image": POSTGRES,
                "args": [word for name, value in settings.items() for word in ("-c", f"{name}={value}")],
                "env": [
                    {"name": "POSTGRES_USER", "value": "sagamesh"},
                    {"name": "POSTGRES_DB", "value": "postgres"},
                    {"name": "PGDATA", "value": "/var/lib/postgresql/data/pgdata"},
                    {"name": "POSTGRES_PASSWORD", "valueFrom": {"secretKeyRef": {"name": "own", "key": "password"}}},
                ],
                "readinessProbe": {"exec": {"command": ["pg_isready", "-q", "-h", "127.0.0.1", "-U", "sagamesh"]}, "periodSeconds": 2},
                "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
                "volumeMounts": [{"name": name, "mountPath": path} for name, path in volumes.items()]
                + [{"name": "databases", "mountPath": "/docker-entrypoint-initdb.d"}, {"name": "tls", "mountPath": "/etc/tls"}],
            }
        ],
        "volumes": [{"name": name, "emptyDir": {}} for name in volumes]
        + [{"name": "databases", "configMap": {"name": "databases"}}]
        + [{"name": "tls", "secret": {"secretName": "own-tls-postgresql", "defaultMode": 0o440}}],
    }


class ForTryingOut(Release):
    """what the chart brings along: its PostgreSQL and the sandbox's provider"""

    name = "try"
    replicas = {"storage": 2, "account": 1, "saga": 2, "order": 2, "alerts": 2, "bff": 2}
    values = [
        "--set", f"bundled.enabled=true,bundled.kafka.enabled={str(KAFKA != '').lower()}",
        "--set", f"bundled.postgresql.image={POSTGRES},bundled.kafka.image={KAFKA or 'none'}",
        "--set", "bundled.kafka.resources.requests.cpu=50m",
    ]  # fmt: skip

    @classmethod
    def prepare(cls):
        """Its data is on a volume where the cluster has one to give."""
        classes = json.loads(cls.cluster.kubectl("get", "storageclasses", "-o", "json"))["items"]
        usual = "storageclass.kubernetes.io/is-default-class"
        makes = [one for one in classes if one["metadata"].get("annotations", {}).get(usual) == "true"]
        if makes and makes[0]["provisioner"] == "kubernetes.io/no-provisioner":
            volumes = json.loads(cls.cluster.kubectl("get", "persistentvolumes", "-o", "json"))["items"]
            makes = [one for one in volumes if one["status"]["phase"] == "Available"]
        if not makes:
            say("the cluster has no volume to give: PostgreSQL's data goes with its pod")
            cls.values = [*cls.values, "--set", "bundled.postgresql.storage="]

    def test_1_it_is_installed(self):
        self.install()

    def test_2_orders_work(self):
        self.helm_test()

    def test_3_an_upgrade_fails_no_order(self):
        self.upgrade()
        self.audit()

    @unittest.skipIf(KAFKA == "", "the cluster has no image of Kafka")
    def test_4_news_is_heard(self):
        """Orders come to alerts-svc through Kafka, also after all but Kafka was replaced."""
        wait_until("each pod of alerts-svc has its part of the partitions", lambda: min(self.numbers("up")) == 1, 120)
        before = sum(self.numbers("records_total"))
        self.helm_test()
        wait_until("alerts-svc has read of three orders", lambda: sum(self.numbers("records_total")) >= before + 6, 120)
        wait_until("alerts-svc has read all there is", lambda: sum(self.numbers("lag")) == 0, 120)
        say(f"alerts-svc has read {sum(self.numbers('records_total')):.0f} messages of Kafka")
        is_done, said = self.sagactl("alerts", "--ended")
        self.assertTrue(is_done, said)
        self.assertNotIn("RULE_", said)

    def numbers(self, name):
        """Each pod's sum of sagamesh_kafka_consumer_NAME."""
        for pod in self.cluster.pods(of_program("alerts")):
            path = f"/api/v1/namespaces/{self.cluster.namespace}/pods/{pod['metadata']['name']}:9464/proxy/metrics"
            lines = self.cluster.kubectl("get", "--raw", path).splitlines()
            rows = [line.rsplit(" ", 1) for line in lines]
            yield sum(float(row[1]) for row in rows if row[0].split("{")[0] == f"sagamesh_kafka_consumer_{name}")

    def test_5_nothing_is_left(self):
        self.uninstall()


def main():
    global TOOLS, BUILD
    BUILD = pathlib.Path(sys.argv.pop(2)).resolve()
    TOOLS = sys.argv.pop(1)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    why = Cluster(TOOLS, "default").why_not()
    if why:
        print(f"no cluster answers: {why}")
        print("0 passed, 0 failed, 1 skipped")
        return 0
    return totals.main()


if __name__ == "__main__":
    sys.exit(main())
