"""A client that nobody here wrote: Debian's gRPC for Python. The mesh is found out by reflection, as
grpcurl would; messages are made from the descriptors that the servers sent."""

import queue
import threading
import unittest

from mesh import Mesh, uuid7  # first: it knows where the stubs are
from patience import wait_until

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.rpc import error_details_pb2, status_pb2
from grpc.health.v1 import health_pb2, health_pb2_grpc
from grpc.reflection.v1 import reflection_pb2 as reflection_v1
from grpc.reflection.v1 import reflection_pb2_grpc as reflection_v1_grpc
from grpc.reflection.v1alpha import reflection_pb2 as reflection_v1alpha
from grpc.reflection.v1alpha import reflection_pb2_grpc as reflection_v1alpha_grpc


SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
SERVICES = {
    "order": "sagamesh.order.v1.OrderService",
    "storage": "sagamesh.storage.v1.StorageService",
    "account": "sagamesh.ledger.v1.LedgerService",
    "saga": "sagamesh.saga.v1.SagaService",
}
INNER = {
    "order": {"sagamesh.order.v1.OrderSagaService"},
    "storage": {"sagamesh.storage.v1.StorageSagaService"},
    "account": {"sagamesh.ledger.v1.LedgerSagaService", "sagamesh.payment.v1.PaymentSagaService"},
    "saga": {"sagamesh.saga.v1.SagaControlService"},
}
COMMON = (
    "grpc.health.v1.Health",
    "grpc.reflection.v1.ServerReflection",
    "grpc.reflection.v1alpha.ServerReflection",
    "sagamesh.batch.v1.BatchService",
    "sagamesh.clock.v1.ClockService",
)
WATCH_SECONDS = 20

the_mesh = None


def setUpModule():
    global the_mesh
    the_mesh = Mesh()
    the_mesh.open()


def tearDownModule():
    the_mesh.close()


class Reflection:
    """What a server says of itself, through either version of the protocol."""

    def __init__(self, channel, messages, stubs):
        self.messages = messages
        self.stub = stubs.ServerReflectionStub(channel)

    def ask(self, *requests):
        """The answers, in one stream."""
        requests = [self.messages.ServerReflectionRequest(**fields) for fields in requests]
        return list(self.stub.ServerReflectionInfo(iter(requests), timeout=10))

    def services(self):
        (answer,) = self.ask(dict(list_services=""))
        return sorted(service.name for service in answer.list_services_response.service)

    def pool(self, symbol):
        """A descriptor pool with the symbol's file and all that it imports."""
        files, wanted = {}, [dict(file_containing_symbol=symbol)]
        while wanted:
            for answer in self.ask(*wanted):
                for data in answer.file_descriptor_response.file_descriptor_proto:
                    file = descriptor_pb2.FileDescriptorProto.FromString(data)
                    files[file.name] = file
            imported = {name for file in files.values() for name in file.dependency}
            wanted = [dict(file_by_filename=name) for name in sorted(imported - files.keys())]
        pool = descriptor_pool.DescriptorPool()
        add_in_order(pool, files)
        return pool


def add_in_order(pool, files):
    done = set()

    def add(name):
        if name not in done:
            done.add(name)
            for dependency in files[name].dependency:
                add(dependency)
            pool.Add(files[name])

    for name in sorted(files):
        add(name)


VERSIONS = (
    (reflection_v1, reflection_v1_grpc),
    (reflection_v1alpha, reflection_v1alpha_grpc),
)


class Stranger:
    """Calls a service that it knows by name only."""

    def __init__(self, channel, service):
        self.channel = channel
        reflection = Reflection(channel, reflection_v1, reflection_v1_grpc)
        pool = reflection.pool(service)
        self.service = pool.FindServiceByName(service)
        self.factory = message_factory.MessageFactory(pool)

    def request(self, method, **fields):
        input_type = self.service.FindMethodByName(method).input_type
        return self.factory.GetPrototype(input_type)(**fields)

    def call(self, method, **fields):
        descriptor = self.service.FindMethodByName(method)
        call = self.channel.unary_unary(
            f"/{self.service.full_name}/{method}",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=self.factory.GetPrototype(descriptor.output_type).FromString,
        )
        return call(self.request(method, **fields), timeout=10)


class Inner(unittest.TestCase):
    """What the mesh alone may call is on the inner port, and on no other: not even in an envelope."""

    def methods(self, service):
        pool = descriptor_pool.Default()
        return [f"{service}/{method.name}" for method in pool.FindServiceByName(service).methods]

    def code(self, channel, method):
        """Of an empty message, which each of them refuses but one that only lists."""
        try:
            channel.unary_unary(f"/{method}")(b"", timeout=10)
        except grpc.RpcError as error:
            return error.code()
        return grpc.StatusCode.OK

    def test_no_stranger_can_call_it(self):
        for name, services in INNER.items():
            inner = the_mesh.channel(f"{name}-inner")
            for method in [method for service in services for method in self.methods(service)]:
                with self.subTest(method):
                    self.assertEqual(self.code(the_mesh.channel(name), method), grpc.StatusCode.UNIMPLEMENTED)
                    served = "OK" if method.endswith("/ListShard") else "INVALID_ARGUMENT"
                    self.assertEqual(self.code(inner, method), grpc.StatusCode[served])
                    request = the_mesh.batch_pb.CallRequest()
                    request.items.add(method=method)
                    for port, code in ((name, "UNIMPLEMENTED"), (f"{name}-inner", served)):
                        result = the_mesh.batch(port).Call(request, timeout=10).results[0]
                        self.assertEqual(result.status.code, grpc.StatusCode[code].value[0], port)


class Reflect(unittest.TestCase):
    def test_services_are_listed(self):
        for name, service in SERVICES.items():
            for messages, stubs in VERSIONS:
                with self.subTest(f"{name}, {messages.DESCRIPTOR.package}"):
                    listed = Reflection(the_mesh.channel(name), messages, stubs).services()
                    self.assertTrue({service, *COMMON} <= set(listed), listed)
                    self.assertFalse(INNER[name] & set(listed), listed)
                    inner = Reflection(the_mesh.channel(f"{name}-inner"), messages, stubs).services()
                    self.assertEqual(set(listed) | INNER[name], set(inner))

    def test_every_listed_service_can_be_described(self):
        for name in SERVICES:
            for messages, stubs in VERSIONS:
                reflection = Reflection(the_mesh.channel(name), messages, stubs)
                for service in reflection.services():
                    with self.subTest(f"{name}: {service}"):
                        pool = reflection.pool(service)
                        self.assertTrue(pool.FindServiceByName(service).methods)

    def test_methods_and_messages_are_found_too(self):
        reflection = Reflection(the_mesh.channel("order"), reflection_v1, reflection_v1_grpc)
        for symbol in (
            "sagamesh.order.v1.OrderService.Place",
            "sagamesh.order.v1.PlaceRequest",
            "sagamesh.order.v1.OrderStatus",
        ):
            pool = reflection.pool(symbol)
            self.assertIsNotNone(pool.FindMessageTypeByName("sagamesh.order.v1.PlaceRequest"))

    def test_comments_come_with_the_descriptors(self):
        reflection = Reflection(the_mesh.channel("order"), reflection_v1, reflection_v1_grpc)
        (answer,) = reflection.ask(dict(file_containing_symbol=SERVICES["order"]))
        file = descriptor_pb2.FileDescriptorProto.FromString(
            answer.file_descriptor_response.file_descriptor_proto[0])
        self.assertTrue(any(place.leading_comments for place in file.source_code_info.location))

    def test_what_is_not_there_is_said_so_and_the_stream_goes_on(self):
        for messages, stubs in VERSIONS:
            reflection = Reflection(the_mesh.channel("order"), messages, stubs)
            bad, good = reflection.ask(
                dict(file_containing_symbol="no.Such"), dict(list_services="")
            )
            self.assertEqual(bad.error_response.error_code, grpc.StatusCode.NOT_FOUND.value[0])
            self.assertTrue(good.list_services_response.service)


class Health(unittest.TestCase):
    def test_check(self):
        for name, service in SERVICES.items():
            for asked in ("", service):
                self.assertEqual(the_mesh.health(name, asked), SERVING, f"{name} {asked}")

    def test_check_of_a_service_that_is_not_there(self):
        with self.assertRaises(grpc.RpcError) as caught:
            the_mesh.health("order", "no.Such")
        self.assertEqual(caught.exception.code(), grpc.StatusCode.NOT_FOUND)

    def test_all_are_listed(self):
        for name, service in SERVICES.items():
            stub = health_pb2_grpc.HealthStub(the_mesh.channel(name))
            listed = stub.List(health_pb2.HealthListRequest(), timeout=10).statuses
            self.assertTrue({"", service, *COMMON} <= set(listed), listed)
            for one, answer in listed.items():
                self.assertEqual(answer.status, the_mesh.health(name, one), f"{name} {one}")

    def test_watch_of_a_service_that_is_not_there(self):
        with self.watch("order", "no.Such") as watch:
            self.assertEqual(watch.next(), health_pb2.HealthCheckResponse.SERVICE_UNKNOWN)

    def test_watch_follows_the_database(self):
        with self.watch("storage", SERVICES["storage"]) as watch:
            self.assertEqual(watch.next(), SERVING)
            the_mesh.stop("postgres")
            try:
                self.assertEqual(watch.next(), NOT_SERVING)
            finally:
                the_mesh.start("postgres")
            self.assertEqual(watch.next(), SERVING)

    def test_watch_is_told_before_a_program_stops(self):
        wait_until(lambda: the_mesh.health("account") == SERVING, WATCH_SECONDS, "account serves")
        with self.watch("account") as watch:
            self.assertEqual(watch.next(), SERVING)
            self.assertEqual(the_mesh.stop("account"), 0)
            try:
                self.assertEqual(watch.next(), NOT_SERVING)
                self.assertIsInstance(watch.next(), grpc.RpcError)
            finally:
                the_mesh.start("account")

    def watch(self, name, service=""):
        return Watch(the_mesh.channel(name), service)


class Watch:
    """A health watch whose news arrive in a queue: statuses, and the error that ends it."""

    def __init__(self, channel, service):
        self.news = queue.Queue()
        self.stream = health_pb2_grpc.HealthStub(channel).Watch(
            health_pb2.HealthCheckRequest(service=service)
        )

    def __enter__(self):
        self.thread = threading.Thread(target=self.read, daemon=True)
        self.thread.start()
        return self

    def read(self):
        try:
            for answer in self.stream:
                self.news.put(answer.status)
        except grpc.RpcError as error:
            self.news.put(error)

    def next(self):
        return self.news.get(timeout=WATCH_SECONDS)

    def __exit__(self, kind, value, trace):
        self.stream.cancel()
        self.thread.join()


class Compressed(unittest.TestCase):
    """A client that compresses what it sends."""

    def setUp(self):
        self.stub = health_pb2_grpc.HealthStub(the_mesh.channel("order"))

    def test_messages_are_unpacked(self):
        request = health_pb2.HealthCheckRequest(service=SERVICES["order"])
        for how in (grpc.Compression.Gzip, grpc.Compression.Deflate):
            with self.subTest(how):
                self.assertEqual(self.stub.Check(request, compression=how, timeout=10).status, SERVING)
                watch = self.stub.Watch(request, compression=how, timeout=10)
                self.assertEqual(next(watch).status, SERVING)
                watch.cancel()

    def test_a_small_one_that_unpacks_to_a_large_one_is_refused(self):
        request = health_pb2.HealthCheckRequest(service="a" * (200 << 20))
        for call in (self.stub.Check, lambda *words, **more: next(self.stub.Watch(*words, **more))):
            with self.assertRaises(grpc.RpcError) as caught:
                call(request, compression=grpc.Compression.Gzip, timeout=60)
            self.assertEqual(caught.exception.code(), grpc.StatusCode.INVALID_ARGUMENT)
            self.assertIn("1048576 bytes at most when it is unpacked", caught.exception.details())


class Orders(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.orders = Stranger(the_mesh.channel("order"), SERVICES["order"])
        cls.storage = Stranger(the_mesh.channel("storage"), SERVICES["storage"])
        cls.ledger = Stranger(the_mesh.channel("account"), SERVICES["account"])
        cls.storage.call(
            "PutProduct", request_id=uuid7(), sku="tea", unit_price_minor=500, currency="EUR"
        )
        cls.storage.call("Restock", request_id=uuid7(), sku="tea", quantity=1000)
        cls.ledger.call("OpenWallet", request_id=uuid7(), customer_id="ada", currency="EUR")
        cls.ledger.call(
            "TopUp", request_id=uuid7(), customer_id="ada", amount_minor=2000, currency="EUR"
        )

    def wait_final(self, order_id):
        version = 0
        while True:
            order = self.orders.call(
                "Get", order_id=order_id, wait_ms=5000, known_version=version
            ).order
            if order.status in (3, 4):
                return order
            self.assertGreater(order.version, version, "Get waited five seconds for nothing")
            version = order.version

    def test_place_to_paid(self):
        order_id = uuid7()
        before = self.ledger.call("Balance", customer_id="ada", currency="EUR").balance_minor
        self.orders.call(
            "Place",
            order_id=order_id,
            customer_id="ada",
            currency="EUR",
            lines=[dict(sku="tea", quantity=2)],
        )
        order = self.wait_final(order_id)
        self.assertEqual((order.status, order.total_minor), (3, 1000))
        after = self.ledger.call("Balance", customer_id="ada", currency="EUR").balance_minor
        self.assertEqual(before - after, 1000)
        listed = self.orders.call("List", customer_id="ada", page_size=1)
        self.assertEqual(listed.orders[0].order_id, order_id)

    def test_an_error_has_details(self):
        with self.assertRaises(grpc.RpcError) as caught:
            self.orders.call("Place", order_id=uuid7(), customer_id="ada", currency="euro")
        error = caught.exception
        details = dict(error.trailing_metadata())["grpc-status-details-bin"]
        status = status_pb2.Status.FromString(details)
        self.assertEqual(status.code, error.code().value[0])
        self.assertEqual(status.message, error.details())
        self.assertEqual(len(status.details), 2)
        bad = error_details_pb2.BadRequest()
        self.assertTrue(status.details[1].Unpack(bad))
        self.assertEqual(bad.field_violations[0].field, "currency")
        self.assertTrue(status.message.startswith("currency must be "), status.message)
        info = error_details_pb2.ErrorInfo()
        self.assertTrue(status.details[0].Unpack(info))
        self.assertEqual((info.reason, info.domain), ("BAD_REQUEST", "sagamesh"))
        self.assertEqual(info.metadata["field"], "currency")
        self.assertIn("three upper-case letters", info.metadata["rule"])

    def test_an_envelope(self):
        batch = Stranger(the_mesh.channel("order"), "sagamesh.batch.v1.BatchService")
        ids = [uuid7() for _ in range(32)]
        items = [
            dict(
                method="sagamesh.order.v1.OrderService/Place",
                request=self.orders.request(
                    "Place",
                    order_id=order_id,
                    customer_id="nobody",
                    currency="EUR",
                    lines=[dict(sku="tea", quantity=1)],
                ).SerializeToString(),
            )
            for order_id in ids
        ]
        results = batch.call("Call", items=items).results
        self.assertEqual(len(results), len(ids))
        answer_type = self.orders.service.FindMethodByName("Place").output_type
        answers = [self.orders.factory.GetPrototype(answer_type).FromString(r.response) for r in results]
        self.assertEqual([answer.order_id for answer in answers], ids)
        for order_id in ids:
            self.assertEqual(self.wait_final(order_id).reason, "NO_ACCOUNT")

    def test_a_deadline_of_the_client_is_honoured(self):
        order_id = uuid7()
        self.orders.call(
            "Place",
            order_id=order_id,
            customer_id="nobody",
            currency="EUR",
            lines=[dict(sku="tea", quantity=1)],
        )
        order = self.wait_final(order_id)
        request = self.orders.request(
            "Get", order_id=order_id, wait_ms=60000, known_version=order.version
        )
        call = the_mesh.channel("order").unary_unary(
            f"/{SERVICES['order']}/Get", request_serializer=lambda m: m.SerializeToString()
        )
        with self.assertRaises(grpc.RpcError) as caught:
            call(request, timeout=0.3)
        self.assertEqual(caught.exception.code(), grpc.StatusCode.DEADLINE_EXCEEDED)


if __name__ == "__main__":
    unittest.main()
