"""Two servers of one cluster that can both be written: a standby that was promoted, and the primary that
it replaced, back again and first in the list. All that the old one acknowledges would be lost."""

import os
import pathlib
import shutil
import subprocess
import unittest

import grpc
from grpc.health.v1 import health_pb2, health_pb2_grpc
from mesh import ROOT, dev, free_port, refusal, storage_service_pb2, storage_service_pb2_grpc, uuid7
from patience import wait_until

OLD, NEW = "old", "new"
SERVING = health_pb2.HealthCheckResponse.SERVING


class Primaries(unittest.TestCase):
    def setUp(self):
        self.build = ROOT / os.environ.get("MESH_BUILD", "build")
        self.scratch = pathlib.Path(dev("scratch", "new", str(os.getpid())))
        self.addCleanup(dev, "scratch", "remove", str(self.scratch))
        self.conninfo = {}
        self.log = self.scratch / "storage.log"
        self.process = None
        self.port = free_port()
        self.make_servers()

    # -- servers

    def server(self, name):
        return self.scratch / name

    def start(self, name):
        self.conninfo[name] = dev("postgres", "start", str(self.server(name)))

    def stop(self, name):
        dev("postgres", "stop", str(self.server(name)))

    def psql(self, name, statement, database="storage"):
        words = ["psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1"]
        words += ["-d", f"{self.conninfo[name]} dbname={database}", "-c", statement]
        return subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True).stdout.strip()

    def make_servers(self):
        """The new one is a copy of the old one, as a standby has it, and is promoted."""
        for name in (OLD, NEW):
            self.addCleanup(self.stop, name)
            self.start(name)
        self.psql(OLD, "CREATE DATABASE storage", "postgres")
        words = [self.build / "storage-svc", "--migrate=expand", f"--database={self.conninfo[OLD]} dbname=storage"]
        subprocess.run(words, stderr=subprocess.DEVNULL, check=True)
        for name in (OLD, NEW):
            self.stop(name)
        data = {name: self.server(name).resolve() / "data" for name in (OLD, NEW)}
        shutil.rmtree(data[NEW])
        subprocess.run(["cp", "-a", str(data[OLD]), str(data[NEW])], check=True)
        version, signal = data[NEW] / "PG_VERSION", data[NEW] / "standby.signal"
        subprocess.run(["cp", "-a", str(version), str(signal)], check=True)
        self.start(NEW)
        self.psql(NEW, "SELECT pg_promote()")
        self.start(OLD)

    # -- the program

    def launch(self, *flags):
        hosts = [dict(word.split("=") for word in self.conninfo[name].split()) for name in (OLD, NEW)]
        lists = [f"{key}={','.join(host[key] for host in hosts)}" for key in ("host", "port")]
        database = f"{' '.join(lists)} user={hosts[0]['user']} dbname=storage"
        words = [self.build / "storage-svc", f"--database={database}", f"--listen=127.0.0.1:{self.port}"]
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen([*words, *flags], stdout=log, stderr=log)
        self.addCleanup(self.stop_program)
        self.channel = grpc.insecure_channel(f"127.0.0.1:{self.port}")
        self.addCleanup(self.channel.close)

    def start_program(self, *flags):
        self.launch(*flags)
        self.wait_serving(True)

    def stop_program(self):
        self.process.kill()
        self.process.wait()

    def is_serving(self):
        try:
            stub = health_pb2_grpc.HealthStub(self.channel)
            return stub.Check(health_pb2.HealthCheckRequest(), timeout=5).status == SERVING
        except grpc.RpcError:
            return None

    def wait_serving(self, is_serving):
        wait_until(lambda: self.is_serving() is is_serving, 30, f"serving: {is_serving}")

    def put(self, sku):
        request = storage_service_pb2.PutProductRequest(
            request_id=uuid7(), sku=sku, unit_price_minor=5, currency="EUR"
        )
        stub = storage_service_pb2_grpc.StorageServiceStub(self.channel)
        return lambda: stub.PutProduct(request, timeout=5)

    def products(self, name):
        return self.psql(name, "SELECT coalesce(string_agg(sku, ' ' ORDER BY sku), '') FROM product")

    # -- stories

    def test_the_old_one_is_left_alone(self):
        self.start_program()
        self.put("tea")()
        self.stop(NEW)
        self.wait_serving(False)
        self.assertEqual(refusal(self.put("cup")).reason, "STORE_DOWN")
        self.assertIn("event=OLD_PRIMARY", self.log.read_text())
        self.start(NEW)
        self.wait_serving(True)
        self.put("pot")()
        self.assertEqual(self.products(NEW), "pot tea")
        self.assertEqual(self.products(OLD), "")

    def test_it_is_known_after_a_restart_too(self):
        file = f"--timeline-file={self.scratch}/timeline"
        self.start_program(file)
        self.put("tea")()
        self.stop_program()
        self.stop(NEW)
        self.log.write_text("")
        self.launch(file)
        wait_until(lambda: "event=OLD_PRIMARY" in self.log.read_text(), 30, "it is met again")
        self.assertFalse(self.is_serving())
        self.assertEqual(self.products(OLD), "")
        self.start(NEW)
        self.wait_serving(True)
        self.put("pot")()
        self.assertEqual(self.products(NEW), "pot tea")
