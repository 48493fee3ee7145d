"""The cluster that KUBECONFIG names, by kubectl and helm: a namespace of our own, what is in it, and what runs there."""

import json
import os
import pathlib
import shlex
import subprocess
import time

PATIENCE = float(os.environ.get("MESH_PATIENCE", "1"))
BEGAN = time.monotonic()
# What a cluster makes by itself, and what says only what happened.
NOT_OURS = ("events", "leases", "endpoints", "pods.metrics.k8s.io")


class Failed(Exception):
    """A command that ended with an error, and what it said."""


def say(*words):
    print(f"  {time.monotonic() - BEGAN:4.0f} s  ", *words, flush=True)


def run(words, text=None, seconds=60, check=True):
    """What the command printed; check=False: its exit status too, and what it said on standard error."""
    try:
        done = subprocess.run(words, input=text, capture_output=True, text=True, timeout=seconds * PATIENCE)
    except subprocess.TimeoutExpired as late:
        raise Failed(f"{shlex.join(words)}: not done after {late.timeout:.0f} s") from None
    if not check:
        return done.returncode, done.stdout, done.stderr
    if done.returncode != 0:
        raise Failed(f"{shlex.join(words)}: {done.returncode}\n{done.stdout[-3000:]}{done.stderr[-3000:]}")
    return done.stdout


def wait_until(what, question, seconds):
    """The first true answer to question()."""
    until = time.monotonic() + seconds * PATIENCE
    while True:
        answer = question()
        if answer:
            return answer
        if time.monotonic() > until:
            raise Failed(f"{what}: not so after {seconds * PATIENCE:.0f} s")
        time.sleep(0.5)


class Cluster:
    def __init__(self, tools, namespace):
        self.tools = pathlib.Path(tools)
        self.namespace = namespace

    def tool(self, name):
        """The one that `./dev test chart` fetches too, else what PATH has."""
        fetched = self.tools / name
        return str(fetched) if fetched.exists() else name.rstrip("4")

    def kubectl(self, *words, **how):
        return run([self.tool("kubectl"), "--namespace", self.namespace, *words], **how)

    def helm(self, *words, **how):
        return run([self.tool("helm4"), "--namespace", self.namespace, *words], **how)

    def why_not(self):
        """Why no cluster answers; empty: one does."""
        status, _, said = self.kubectl("version", "--request-timeout=10s", seconds=30, check=False)
        return said.strip() if status != 0 else ""

    # ---- the namespace ----

    def begin(self):
        labels = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "warn")}
        self.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self.namespace, "labels": labels}})
        kinds = run([self.tool("kubectl"), "api-resources", "--verbs=list", "--namespaced", "-o", "name"]).split()
        self.kinds = ",".join(kind for kind in kinds if not {kind, kind.split(".")[0]} & set(NOT_OURS))
        made = {"serviceaccount/default", "configmap/kube-root-ca.crt"}
        wait_until("the namespace has what every one has", lambda: made <= self.objects(), 30)

    def end(self):
        self.kubectl("delete", "namespace", self.namespace, "--ignore-not-found", "--timeout=180s", seconds=200)

    def apply(self, *objects):
        text = json.dumps({"apiVersion": "v1", "kind": "List", "items": objects})
        return self.kubectl("apply", "-f", "-", text=text)

    def objects(self):
        """The names of all there is."""
        return set(self.kubectl("get", self.kinds, "-o", "name", "--ignore-not-found").split())

    # ---- pods ----

    def pods(self, selector):
        found = json.loads(self.kubectl("get", "pods", "-l", selector, "-o", "json"))["items"]
        return [pod for pod in found if "deletionTimestamp" not in pod["metadata"]]

    def restarts(self, selector):
        """How often each container was started again, without those that never were."""
        counts = {}
        for pod in self.pods(selector):
            for status in pod["status"].get("containerStatuses", []):
                if status["restartCount"]:
                    counts[f"{pod['metadata']['name']} {status['name']}"] = status["restartCount"]
        return counts

    def rolled_out(self, selector, seconds=180):
        """Until all Deployments and StatefulSets have as many ready pods as they want, all of them new."""
        for name in self.kubectl("get", "deployments,statefulsets", "-l", selector, "-o", "name").split():
            self.kubectl("rollout", "status", name, f"--timeout={seconds * PATIENCE:.0f}s", seconds=seconds + 10)

    def tell_why(self, selector):
        """How pods stand, what happened, and what those say that are not ready: beside a failure."""
        say(self.kubectl("get", "pods", "-o", "wide"))
        say(self.kubectl("get", "events", "--sort-by=.lastTimestamp")[-4000:])
        for pod in self.pods(selector):
            if not all(status["ready"] for status in pod["status"].get("containerStatuses", [])):
                name = pod["metadata"]["name"]
                say(name, self.kubectl("logs", name, "--all-containers", "--tail=15", check=False)[1])
