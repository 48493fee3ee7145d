"""k8s/chart: `helm lint --strict` and `helm template` by Helm 3 and 4 for the files in values/, each object against
Kubernetes's own closed schemas, the renders against those in golden/, and what must hold between the objects, the
programs and the rest of the repository.

    test_chart.py DIRECTORY            what dev.d/chart.sh fetched
    test_chart.py DIRECTORY --write    writes golden/

The last line is "N passed, N failed, N skipped".
"""

import base64
import concurrent.futures
import functools
import json
import pathlib
import re
import subprocess
import sys
import unittest

import jsonschema
import yaml

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(ROOT / "tests"))
import totals  # noqa: E402
CHART = ROOT / "k8s/chart"
HELMS = ("helm4", "helm3")
VALUES = sorted(file.stem for file in (HERE / "values").glob("*.yaml"))
KUBERNETES = ("v1.30.0", "v1.34.0")  # the oldest that the chart takes, and one of today
TOOLS = pathlib.Path()
WORKLOADS = ("Deployment", "StatefulSet")
Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def helm(version, *words):
    return subprocess.run([TOOLS / version, *words], capture_output=True, text=True)


@functools.lru_cache(maxsize=None)
def render(version, values, *flags):
    """What helm template prints, after the golden files' fashion: what is random, or a file of its own, is named."""
    words = ["template", "shop", CHART, "--namespace", "orders", "-f", HERE / f"values/{values}.yaml", *flags]
    done = helm(version, *words)
    assert done.returncode == 0, f"{version}, {values}: {done.stderr}"
    return done.stdout


def objects(values, *flags):
    return [found for found in yaml.load_all(render(HELMS[0], values, *flags), Loader) if found]


def named(found, kind, name):
    [one] = [o for o in found if o["kind"] == kind and o["metadata"]["name"] == name]
    return one


def golden(text):
    """Sorted by kind and name. The bundled secrets are random, and rules and dashboard are files of their own."""
    made = []
    for found in yaml.load_all(text, Loader):
        if not found:
            continue
        if found["kind"] == "Secret":
            found["data"] = {key: "random" for key in found["data"]}
        if found["kind"] == "PrometheusRule":
            found["spec"] = "rules.yaml"
        if found["kind"] == "ConfigMap" and "sagamesh.json" in found["data"]:
            found["data"]["sagamesh.json"] = "dashboard.json"
        made.append(found)
    made.sort(key=lambda found: (found["kind"], found["metadata"]["name"]))
    return yaml.dump_all(made, sort_keys=True, width=120)


def pods(found):
    """(object, pod's metadata and spec) of all that makes pods."""
    for one in found:
        if one["kind"] == "Pod":
            yield one, one
        elif "template" in one.get("spec", {}):
            yield one, one["spec"]["template"]


def containers(pod):
    return pod["spec"].get("initContainers", []) + pod["spec"]["containers"]


def selects(selector, labels):
    return all(labels.get(key) == value for key, value in selector.get("matchLabels", {}).items())


class Rendered(unittest.TestCase):
    def test_lint(self):
        jobs = [(version, values) for version in HELMS for values in VALUES]
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            lint = lambda job: helm(job[0], "lint", "--strict", CHART, "-f", HERE / f"values/{job[1]}.yaml")
            for job, done in zip(jobs, pool.map(lint, jobs)):
                self.assertEqual(done.returncode, 0, f"{job}: {done.stdout}{done.stderr}")

    def test_golden(self):
        for values in VALUES:
            for version in HELMS:
                with self.subTest(values=values, version=version):
                    self.maxDiff = 4000
                    file = HERE / f"golden/{values}.yaml"
                    hint = f"if that is meant: {pathlib.Path(__file__).name} {TOOLS} --write"
                    self.assertEqual(golden(render(version, values)), file.read_text(), hint)

    def test_each_object_is_as_its_schema_says(self):
        for version in KUBERNETES:
            for values in VALUES:
                for found in objects(values):
                    where = f"{version} {values} {found['kind']}/{found['metadata']['name']}"
                    with self.subTest(where):
                        validator(version, found["apiVersion"], found["kind"]).validate(found)

    def test_a_field_that_is_not_known_breaks_its_schema(self):
        for version in KUBERNETES:
            found = json.loads(json.dumps(named(objects("least"), "Deployment", "shop-sagamesh-order")))
            found["spec"]["template"]["spec"]["containers"][0]["lifecycle"]["preStop"]["sleeps"] = 1
            with self.assertRaisesRegex(jsonschema.ValidationError, "sleeps"):
                validator(version, "apps/v1", "Deployment").validate(found)

    def test_values_that_are_not_known_are_refused(self):
        cases = {
            "bundled.enable=true": "enable",
            "programs.order.replica=3": "replica",
            "programs.wallet.replicas=3": "wallet",
            "postgresql.sslMode=maybe": "sslMode",
            "kafka.brokers=nonsense": "brokers",
            "ports.http=80": "http",
        }
        for setting, word in cases.items():
            for version in HELMS:
                done = helm(version, "template", CHART, "-f", HERE / "values/external.yaml", "--set", setting)
                self.assertNotEqual(done.returncode, 0, setting)
                self.assertIn(word, done.stderr, setting)

    def test_what_is_missing_is_named(self):
        done = helm(HELMS[0], "template", CHART)
        self.assertNotEqual(done.returncode, 0)
        for line in ("postgresql.host: empty, and programs.order", "programs.account.secret: empty", "bundled.enabled"):
            self.assertIn(line, done.stderr)
        cases = {
            "programs.storage.enabled=false": "programs.storage.enabled: false, and a flag of programs.order names it",
            "programs.bff.extraFlags={--redis={redis\\}}": "programs.bff.flags: {redis} is no place that there is",
        }
        for setting, words in cases.items():
            done = helm(HELMS[0], "template", CHART, "--set", "bundled.enabled=true", "--set", setting)
            self.assertIn(words, done.stderr)


NAMES = {"type": "object", "additionalProperties": False, "properties": {name: {"type": "string"} for name in ("name", "kind", "group")}}
STRANGERS = {  # of the Prometheus operator and of cert-manager, as far as the chart goes
    "Issuer": {
        "selfSigned": {"type": "object", "additionalProperties": False},
        "ca": {"type": "object", "additionalProperties": False, "required": ["secretName"], "properties": {"secretName": {"type": "string"}}},
    },
    "Certificate": {
        **{name: {"type": "string"} for name in ("commonName", "secretName", "duration", "renewBefore")},
        "isCA": {"type": "boolean"},
        "dnsNames": {"type": "array", "minItems": 1, "items": {"type": "string"}},
        "uris": {"type": "array", "minItems": 1, "items": {"type": "string", "pattern": "^spiffe://[a-z0-9.-]+/[a-z-]+$"}},
        "usages": {"type": "array", "items": {"enum": ["digital signature", "server auth", "client auth"]}},
        "privateKey": {
            "type": "object",
            "additionalProperties": False,
            "properties": {
                "algorithm": {"enum": ["ECDSA"]},
                "size": {"enum": [256]},
                "encoding": {"enum": ["PKCS8"]},
                "rotationPolicy": {"enum": ["Always"]},
            },
        },
        "issuerRef": NAMES,
    },
    "ServiceMonitor": {
        "jobLabel": {"type": "string"},
        "selector": {"type": "object", "additionalProperties": False, "properties": {"matchLabels": {"type": "object"}}},
        "endpoints": {
            "type": "array",
            "items": {
                "type": "object",
                "additionalProperties": False,
                "required": ["port"],
                "properties": {name: {"type": "string"} for name in ("port", "path", "interval")},
            },
        },
    },
    "PrometheusRule": {
        "groups": {
            "type": "array",
            "items": {
                "type": "object",
                "additionalProperties": False,
                "required": ["name", "rules"],
                "properties": {
                    "name": {"type": "string"},
                    "interval": {"type": "string"},
                    "rules": {
                        "type": "array",
                        "items": {
                            "type": "object",
                            "additionalProperties": False,
                            "required": ["expr"],
                            "properties": {
                                **{name: {"type": "string"} for name in ("alert", "record", "expr", "for")},
                                **{name: {"type": "object"} for name in ("labels", "annotations")},
                            },
                        },
                    },
                },
            },
        }
    },
}


@functools.lru_cache(maxsize=None)
def validator(version, api, kind):
    if kind in STRANGERS:
        spec = {"type": "object", "additionalProperties": False, "properties": STRANGERS[kind]}
        return jsonschema.Draft7Validator({"required": ["spec"], "properties": {"spec": spec}})
    group, _, number = api.rpartition("/")
    name = "-".join(filter(None, [kind.lower(), group.split(".")[0], number]))
    schema = schema_read(version, name)
    return jsonschema.Draft7Validator({**schema, "$defs": schema_read(version, "_definitions")["$defs"]})


@functools.lru_cache(maxsize=None)
def schema_read(version, name):
    """Its references as those of one document."""
    text = (TOOLS / f"schemas/{version}-local-strict/{name}.json").read_text()
    schema = json.loads(text.replace("/api/_definitions.json#", "#"))
    schema.pop("$id", None)
    return schema


class Promises(unittest.TestCase):
    """What must hold whatever the values are."""

    def test_pods_are_restricted(self):
        """The Pod Security Standard's own words, and a root that is read-only but for Kafka's."""
        volumes = {"configMap", "emptyDir", "persistentVolumeClaim", "projected", "secret"}
        for values in VALUES:
            for one, pod in pods(objects(values)):
                with self.subTest(values=values, name=one["metadata"]["name"]):
                    spec = pod["spec"]
                    self.assertTrue(spec["securityContext"]["runAsNonRoot"])
                    self.assertNotEqual(spec["securityContext"]["runAsUser"], 0)
                    self.assertEqual(spec["securityContext"]["seccompProfile"], {"type": "RuntimeDefault"})
                    self.assertFalse(spec["automountServiceAccountToken"])
                    self.assertFalse({"hostNetwork", "hostPID", "hostIPC"} & set(spec))
                    for volume in spec.get("volumes", []):
                        self.assertTrue(set(volume) - {"name"} <= volumes, volume)
                    for container in containers(pod):
                        context = container["securityContext"]
                        self.assertFalse(context["allowPrivilegeEscalation"])
                        self.assertEqual(context["capabilities"], {"drop": ["ALL"]})
                        self.assertTrue(context.get("readOnlyRootFilesystem") or container["name"] == "kafka")
                        self.assertIn("memory", container["resources"]["limits"])

    def test_programs_know_their_flags(self):
        for values in VALUES:
            for _, pod in pods(objects(values)):
                for container in containers(pod):
                    command = container.get("command", [""])[0]
                    if command.startswith("/usr/bin/"):
                        known = flags_known(command[len("/usr/bin/") :])
                        for flag in container["command"][1:] + container.get("args", []):
                            if flag.startswith("--"):
                                self.assertIn(flag[2:].split("=")[0], known, command)

    def test_flags_are_those_of_dev_up(self):
        """dev.d/programs.table has the same programs, with the same flags, in the same places."""
        values = yaml.load((CHART / "values.yaml").read_text(), Loader)
        rows = [line.split() for line in (ROOT / "dev.d/programs.table").read_text().splitlines() if line[:1].isalpha()]
        rows = {row[0]: row[1:] for row in rows if not row[1].startswith("sandbox-")}
        self.assertEqual(set(rows), set(values["programs"]))
        for name, (binary, database, inner, *flags) in rows.items():
            program = values["programs"][name]
            self.assertEqual([program["binary"], program.get("database", "-")], [binary, database])
            self.assertEqual(program.get("inner", False), inner == "inner")
            flags = [flag.replace("{root}/saga/", "{share}/").replace("{run}/secrets", "{secrets}") for flag in flags]
            apart = ("--webhook-listen", "--token-issuer", "--token-audience")  # values of their own
            self.assertEqual(set(program["flags"]), {flag for flag in flags if flag.split("=")[0] not in apart}, name)

    def test_selectors_find_pods(self):
        for values in VALUES:
            found = objects(values, "--set", "operator.args={ping}")
            labels = [pod["metadata"]["labels"] for _, pod in pods(found)]
            for one in found:
                spec = one.get("spec", {})
                selectors = {
                    "Service": {"matchLabels": spec.get("selector")},
                    "NetworkPolicy": spec.get("podSelector"),
                    "PodDisruptionBudget": spec.get("selector"),
                    "Deployment": spec.get("selector"),
                    "StatefulSet": spec.get("selector"),
                }
                if one["kind"] in selectors:
                    selector = selectors[one["kind"]]
                    where = f"{values} {one['kind']}/{one['metadata']['name']}"
                    self.assertTrue(any(selects(selector, pod) for pod in labels), where)
            for one in found:
                if one["kind"] == "Service":
                    ports = {
                        port["name"]
                        for _, pod in pods(found)
                        if selects({"matchLabels": one["spec"]["selector"]}, pod["metadata"]["labels"])
                        for container in containers(pod)
                        for port in container.get("ports", [])
                    }
                    for port in one["spec"]["ports"]:
                        self.assertIn(port["targetPort"], ports, one["metadata"]["name"])

    def test_policies_let_through_who_calls_whom_and_nobody_else(self):
        found = objects("external")
        by_name = {p["metadata"]["name"][len("shop-") :]: p["spec"] for p in found if p["kind"] == "NetworkPolicy"}
        labels = {
            one["metadata"]["name"][len("shop-sagamesh-") :]: pod["metadata"]["labels"]
            for one, pod in pods(found)
            if one["kind"] in WORKLOADS
        }
        args = {
            one["metadata"]["name"][len("shop-sagamesh-") :]: " ".join(pod["spec"]["containers"][0]["args"])
            for one, pod in pods(found)
            if one["kind"] in WORKLOADS
        }
        self.assertIn("sagamesh-default-deny", by_name)
        for caller in labels:
            for called in labels:
                for port in (7000, 7001):  # for all, and the inner one
                    wanted = f"shop-sagamesh-{called}:{port}" in args[caller] or caller == called and f"--advertise=$(POD_IP):{port}" in args[caller]
                    out = lets_through(by_name[f"sagamesh-{caller}"].get("egress", []), "to", labels[called], port)
                    into = lets_through(by_name[f"sagamesh-{called}"].get("ingress", []), "from", labels[caller], port)
                    self.assertEqual((out, into), (wanted, wanted), f"{caller} calls {called} at {port}")

    def test_headless_services_for_grpc(self):
        for one in objects("external"):
            if one["kind"] == "Service" and any(port["name"] == "grpc" for port in one["spec"]["ports"]):
                self.assertEqual(one["spec"]["clusterIP"], "None")

    def test_pods_outlive_their_drain(self):
        found = objects("external", "--set", "drainSeconds=40")
        for one, pod in pods(found):
            if one["kind"] in WORKLOADS:
                container = pod["spec"]["containers"][0]
                wait = container["lifecycle"]["preStop"]["sleep"]["seconds"]
                self.assertIn("--drain-ms=40000", container["args"])
                self.assertGreaterEqual(pod["spec"]["terminationGracePeriodSeconds"], wait + 40 + 10)

    def test_with_tls_each_pod_has_its_certificate_and_each_service_the_policy(self):
        found = objects("tls")
        identities = {one["spec"]["secretName"]: one["spec"].get("uris") for one in found if one["kind"] == "Certificate"}
        shipped = json.loads((ROOT / "packaging/policy.json").read_text())
        seen = set()
        for one, pod in pods(found):
            container = pod["spec"]["containers"][0]
            if one["metadata"]["labels"]["app.kubernetes.io/component"] in ("postgresql", "kafka", "schema"):
                continue
            with self.subTest(one["metadata"]["name"]):
                binary = container["command"][0].split("/")[-1]
                mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
                volumes = {volume["name"]: volume for volume in pod["spec"]["volumes"]}
                env = {row["name"]: row.get("value") for row in container["env"]}
                for flag, file in {"CERT": "tls.crt", "KEY": "tls.key", "CA": "ca.crt"}.items():
                    self.assertEqual(env[f"MESH_TLS_{flag}"], f"{mounts['tls']}/{file}")
                secret = volumes["tls"]["secret"]["secretName"]
                self.assertEqual(identities[secret], [f"spiffe://sagamesh.local/{binary}"])
                seen.add(f"/{binary}")
                has_policy = "--policy=/usr/share/sagamesh/policy.json" in container["args"]
                self.assertEqual(has_policy, binary not in ("bff", "sagactl"))
                self.assertNotIn("grpc", container.get("readinessProbe", {}))
        self.assertLessEqual({name for rule in shipped["rules"] for name in rule["identities"]}, seen)

    def test_another_policy_is_mounted(self):
        pod = named(objects("everything"), "Deployment", "shop-order")["spec"]["template"]
        container = pod["spec"]["containers"][0]
        self.assertIn("--policy=/etc/sagamesh/policy/policy.json", container["args"])
        self.assertIn({"name": "policy", "mountPath": "/etc/sagamesh/policy", "readOnly": True}, container["volumeMounts"])
        self.assertIn({"name": "policy", "configMap": {"name": "shop-policy"}}, pod["spec"]["volumes"])

    def test_what_an_operator_asks_is_no_part_of_a_release(self):
        shown = ("--set", "operator.args={audit,--minutes=0}")
        for values in ("tls", "external", "everything"):
            self.assertFalse([one for one in objects(values) if "generateName" in one["metadata"]])
            [job] = [one for one in objects(values, *shown) if "generateName" in one["metadata"]]
            for version in KUBERNETES:
                validator(version, "batch/v1", "Job").validate(job)
            [container] = job["spec"]["template"]["spec"]["containers"]
            env = {row["name"]: row["value"] for row in container["env"]}
            services = {
                f"dns:///{one['metadata']['name']}:{port['port']}": port["name"]
                for one in objects(values)
                if one["kind"] == "Service"
                for port in one["spec"]["ports"]
            }
            for name in ("SAGA", "ORDER", "STORAGE", "ACCOUNT", "ALERTS"):
                self.assertEqual(services[env[f"MESH_{name}"]], "grpc" if name == "ALERTS" else "inner")
            labels = job["spec"]["template"]["metadata"]["labels"]
            policies = [p["spec"] for p in objects(values) if p["kind"] == "NetworkPolicy"]
            into = [p for p in policies if p["podSelector"].get("matchLabels", {}).get("app.kubernetes.io/component") == "order-svc"]
            self.assertTrue(lets_through(into[0]["ingress"], "from", labels, 7001))

    def test_https_is_bffs_alone(self):
        found = objects("everything")
        for one, pod in pods(found):
            if one["kind"] in WORKLOADS:
                args = " ".join(pod["spec"]["containers"][0]["args"])
                self.assertEqual("--https-cert=/etc/sagamesh/https/tls.crt" in args, one["metadata"]["name"] == "shop-bff")
        [port] = named(found, "Service", "shop-frontend")["spec"]["ports"]
        self.assertEqual(port["port"], 443)
        over_grpc = named(found, "Pod", "shop-test-order")
        self.assertNotIn("--bff", " ".join(over_grpc["spec"]["containers"][0]["args"]))
        told = named(objects("everything", "--set", "tests.url=https://shop.example"), "Pod", "shop-test-order")
        self.assertIn("--bff=https://shop.example", told["spec"]["containers"][0]["args"])
        for url, port in {"https://shop.example": 443, "http://shop.example": 80, "https://shop.example:8443": 8443}.items():
            policy = named(objects("everything", "--set", f"tests.url={url}"), "NetworkPolicy", "shop-test")
            self.assertEqual(policy["spec"]["egress"][-1], {"ports": [{"port": port}]})
        done = helm(HELMS[0], "template", CHART, "--set", "bundled.enabled=true,bff.httpsSecret=own")
        self.assertIn("bff.httpsSecret: the provider", done.stderr)

    def test_who_speaks_to_kafka_has_what_its_flags_name(self):
        with_kafka = {"shop-account", "shop-order", "shop-alerts"}
        for one, pod in pods(objects("everything")):
            if one["kind"] not in WORKLOADS:
                continue
            container = pod["spec"]["containers"][0]
            named_files = {flag.split("/")[-1] for flag in container["args"] if "=/etc/sagamesh/kafka/" in flag}
            volumes = [volume["projected"]["sources"] for volume in pod["spec"].get("volumes", []) if volume["name"] == "kafka"]
            mounted = {item["path"] for sources in volumes for source in sources for item in source["secret"]["items"]}
            self.assertEqual(named_files, mounted)
            wanted = {"ca.crt", "tls.crt", "tls.key", "password"} if one["metadata"]["name"] in with_kafka else set()
            self.assertEqual(mounted, wanted, one["metadata"]["name"])
        system = json.dumps(objects("external", "--set", "kafka.tls.enabled=true"))
        self.assertEqual(system.count("--kafka-tls-ca=system"), len(with_kafka))
        cases = {
            "kafka.sasl.mechanism=SCRAM-SHA-512": "kafka.sasl: a mechanism needs user",
            "kafka.tls.caSecret=own": "kafka.tls.enabled: false, and",
            "kafka.sasl.mechanism=PLAIN,kafka.sasl.user=a,kafka.sasl.existingSecret=own": "kafka.tls.enabled: false, and",
        }
        for setting, words in cases.items():
            done = helm(HELMS[0], "template", CHART, "-f", HERE / "values/external.yaml", "--set", setting)
            self.assertIn(words, done.stderr)

    def test_alerts_keep_their_names(self):
        alerts = named(objects("external"), "StatefulSet", "shop-sagamesh-alerts")
        container = alerts["spec"]["template"]["spec"]["containers"][0]
        self.assertIn("--group-instance=$(POD_NAME)", container["args"])
        self.assertIn("POD_NAME", [row["name"] for row in container["env"]])

    def test_what_scales_has_no_number_of_its_own(self):
        found = objects("everything")
        scaled = {o["spec"]["scaleTargetRef"]["name"]: o["spec"] for o in found if o["kind"] == "HorizontalPodAutoscaler"}
        self.assertEqual(set(scaled), {f"shop-{name}" for name in ("storage", "account", "saga", "alerts", "bff")})
        for one in found:
            if one["kind"] in WORKLOADS:
                self.assertNotEqual("replicas" in one["spec"], one["metadata"]["name"] in scaled)

    def test_a_schema_job_is_a_hook_or_goes_by_what_it_does(self):
        def job(values, *flags):
            [found] = [one for one in objects(values, *flags) if one["kind"] == "Job"]
            return found["metadata"]["name"], found["metadata"].get("annotations", {}).get("helm.sh/hook")

        self.assertEqual(job("external"), ("shop-sagamesh-schema", "pre-install,pre-upgrade"))
        name, hook = job("bundled")
        self.assertIsNone(hook)
        self.assertEqual(job("bundled", "--set", "logFormat=text"), (name, None))
        self.assertNotEqual(job("bundled", "--set", "image.tag=next"), (name, None))

    def test_bundled_secrets_are_what_programs_read(self):
        secret = named(objects("bundled"), "Secret", "shop-sagamesh-sandbox")["data"]
        secret = {key: base64.b64decode(text).decode() for key, text in secret.items()}
        [key] = json.loads(secret["jwks.json"])["keys"]
        self.assertEqual(len(base64.urlsafe_b64decode(key["k"] + "=")), 32)
        self.assertEqual(len(base64.b64decode(secret["webhook-secret"][len("whsec_") :])), 32)
        provider = json.loads(secret["providers.json"])["providers"]["sandbox"]
        self.assertTrue({provider["api_key_file"], *provider["secret_files"]} <= set(secret))


def lets_through(rules, direction, labels, port):
    return any(
        {"port": port} in rule["ports"] and any(selects(peer["podSelector"], labels) for peer in rule.get(direction, []) if "podSelector" in peer)
        for rule in rules
    )


@functools.lru_cache(maxsize=None)
def flags_known(binary):
    text = subprocess.run([ROOT / "build" / binary, "--help"], capture_output=True, text=True, check=True).stdout
    return set(re.findall(r"^  --([a-z-]+)", text, re.MULTILINE))


class Repository(unittest.TestCase):
    def test_rules_and_dashboard_are_those_of_observability(self):
        found = objects("everything")
        rules = yaml.load((ROOT / "k8s/observability/rules.yaml").read_text(), Loader)
        self.assertEqual(named(found, "PrometheusRule", "shop")["spec"], rules)
        shown = named(found, "ConfigMap", "shop-dashboard")["data"]["sagamesh.json"]
        self.assertEqual(json.loads(shown), json.loads((ROOT / "k8s/observability/dashboard.json").read_text()))

    def test_a_job_of_prometheus_is_a_program(self):
        found = objects("everything")
        label = named(found, "ServiceMonitor", "shop")["spec"]["jobLabel"]
        jobs = {o["metadata"]["labels"][label] for o in found if o["kind"] == "Service" and o["spec"].get("clusterIP")}
        self.assertEqual(jobs, {"order-svc", "storage-svc", "account-svc", "saga-svc", "alerts-svc", "bff"})

    def test_the_table_of_values_is_current(self):
        done = subprocess.run([sys.executable, "-B", ROOT / "k8s/readme.py", "--check"], capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stdout)

    def test_the_readme_shows_what_is_rendered(self):
        [block] = re.findall(r"```yaml\n(.*?)```", (CHART / "README.md").read_text(), re.DOTALL)
        self.assertEqual(yaml.load(block, Loader), yaml.load((HERE / "values/external.yaml").read_text(), Loader))

    def test_versions_are_one(self):
        chart = yaml.load((CHART / "Chart.yaml").read_text(), Loader)
        version = re.search(r"project\(sagamesh VERSION (\S+)", (ROOT / "CMakeLists.txt").read_text()).group(1)
        self.assertEqual((chart["version"], chart["appVersion"]), (version, version))


def main():
    global TOOLS
    TOOLS = pathlib.Path(sys.argv.pop(1)).resolve()
    if "--write" in sys.argv:
        for values in VALUES:
            (HERE / f"golden/{values}.yaml").write_text(golden(render(HELMS[0], values)))
        return 0
    return totals.main()


if __name__ == "__main__":
    sys.exit(main())
