"""A collector of spans for tests: OTLP over HTTP in JSON, which looks at each body strictly.

    with Collector() as collector:
        ...                                  # programs with collector.environment()
        collector.wait(trace, "order-svc: send order-status-changed")

A body that OTLP does not allow is answered 400 and kept in `flaws`, and a test that asserts that there is none
fails. mode makes it slow, away or full.
"""

import collections
import contextlib
import gzip
import http.server
import json
import threading

import jsonschema
from patience import wait_until

KINDS = ("", "INTERNAL", "SERVER", "CLIENT", "PRODUCER", "CONSUMER")
NOT_ALL_ZERO = {"not": {"pattern": "^0+$"}}
TRACE = {"type": "string", "pattern": "^[0-9a-f]{32}$", **NOT_ALL_ZERO}
SPAN = {"type": "string", "pattern": "^[0-9a-f]{16}$", **NOT_ALL_ZERO}
NANOS = {"type": "string", "pattern": "^[1-9][0-9]{18}$"}  # fixed64 is a text


def shape(required, **optional):
    """An object with these members and no others."""
    return {
        "type": "object",
        "properties": {**required, **optional},
        "required": list(required),
        "additionalProperties": False,
    }


def items(schema, **more):
    return {"type": "array", "items": schema, **more}


VALUE = {
    "oneOf": [
        shape({"stringValue": {"type": "string"}}),
        shape({"intValue": {"type": "string", "pattern": "^-?[0-9]{1,19}$"}}),
        shape({"boolValue": {"type": "boolean"}}),
    ]
}
ATTRIBUTES = items(shape({"key": {"type": "string", "minLength": 1}, "value": VALUE}))
LINK = shape({"traceId": TRACE, "spanId": SPAN})
STATUS = shape({}, code={"enum": [0, 1, 2]}, message={"type": "string"})
ONE_SPAN = shape(
    {
        "traceId": TRACE,
        "spanId": SPAN,
        "name": {"type": "string", "minLength": 1},
        "kind": {"enum": [1, 2, 3, 4, 5]},
        "startTimeUnixNano": NANOS,
        "endTimeUnixNano": NANOS,
        "attributes": ATTRIBUTES,
        "status": STATUS,
        "flags": {"type": "integer", "minimum": 0, "maximum": 0x3FF},
    },
    parentSpanId=SPAN,
    links=items(LINK),
)
SCOPE = shape({"name": {"type": "string", "minLength": 1}}, version={"type": "string"})
SCOPE_SPANS = shape({"scope": SCOPE, "spans": items(ONE_SPAN, minItems=1)})
RESOURCE_SPANS = shape(
    {"resource": shape({"attributes": ATTRIBUTES}), "scopeSpans": items(SCOPE_SPANS, minItems=1)}
)
REQUEST = jsonschema.Draft202012Validator(
    shape({"resourceSpans": items(RESOURCE_SPANS, minItems=1)})
)

Span = collections.namedtuple(
    "Span", "service trace id parent name kind start_us end_us attributes links is_error"
)


def values_of(attributes):
    """{key: text or number}; a key that comes twice is a flaw."""
    values = {}
    for attribute in attributes:
        assert attribute["key"] not in values, f"{attribute['key']} comes twice"
        ((kind, value),) = attribute["value"].items()
        values[attribute["key"]] = int(value) if kind == "intValue" else value
    return values


def span_of(service, span):
    started, ended = int(span["startTimeUnixNano"]), int(span["endTimeUnixNano"])
    assert started <= ended, span
    return Span(
        service,
        span["traceId"],
        span["spanId"],
        span.get("parentSpanId", ""),
        span["name"],
        KINDS[span["kind"]],
        started // 1000,
        ended // 1000,
        values_of(span["attributes"]),
        [(link["traceId"], link["spanId"]) for link in span.get("links", [])],
        span["status"].get("code") == 2,
    )


def read(body):
    """The spans of a body; raises where it is none."""
    message = json.loads(body)
    REQUEST.validate(message)
    for resource in message["resourceSpans"]:
        values = values_of(resource["resource"]["attributes"])
        for name in ("service.name", "service.version", "service.instance.id"):
            assert values[name], name
        for scope in resource["scopeSpans"]:
            for span in scope["spans"]:
                yield span_of(values["service.name"], span)


class Collector:
    def __init__(self):
        self.spans, self.flaws = [], []
        self.refused = 0  # requests
        self.status = 200
        self.hangs = threading.Event()
        self.lock = threading.Lock()
        collector = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"]))
                while collector.hangs.is_set() and not collector.is_over.wait(0.05):
                    pass
                with contextlib.suppress(ConnectionError):  # who asked may wait no longer
                    self.answer(collector.take(self.path, self.headers, body))

            def answer(self, status):
                text = b"{}" if status == 200 else b""
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, *arguments):
                pass

        self.is_over = threading.Event()
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.thread = threading.Thread(target=self.server.serve_forever)
        self.thread.start()

    def close(self):
        self.is_over.set()
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()

    def __enter__(self):
        return self

    def __exit__(self, *what):
        self.close()

    def environment(self, **more):
        """For a program that sends its spans here, soon."""
        url = f"http://127.0.0.1:{self.server.server_port}"
        return {
            "OTEL_EXPORTER_OTLP_ENDPOINT": url,
            "OTEL_BSP_SCHEDULE_DELAY": "100",
            "OTEL_BSP_MAX_QUEUE_SIZE": "65536",
            **more,
        }

    def take(self, path, headers, body):
        """The status that answers a request."""
        if self.status != 200:
            with self.lock:
                self.refused += 1
            return self.status
        try:
            assert path == "/v1/traces", path
            assert headers["content-type"] == "application/json", headers
            if headers["content-encoding"]:
                assert headers["content-encoding"] == "gzip", headers
                body = gzip.decompress(body)
            spans = list(read(body))
        except (AssertionError, ValueError, KeyError, jsonschema.ValidationError) as flaw:
            self.flaws.append(f"{flaw}\n{body[:2000]}")
            return 400
        with self.lock:
            self.spans += spans
        return 200

    def of(self, trace):
        with self.lock:
            return [span for span in self.spans if span.trace == trace]

    def all(self):
        with self.lock:
            return list(self.spans)

    def doubles(self):
        """Spans that came twice."""
        counts = collections.Counter((span.trace, span.id) for span in self.all())
        return [span for span in self.all() if counts[span.trace, span.id] > 1]

    def wait(self, trace, *wanted, seconds=30):
        """The spans of a trace, once those that are wanted ("service: name") have come, each as often as it is
        named."""

        def missing():
            counts = collections.Counter(f"{span.service}: {span.name}" for span in self.of(trace))
            return collections.Counter(wanted) - counts

        try:
            wait_until(lambda: not missing(), seconds, "all spans of the trace")
        except AssertionError as error:
            there = "\n".join(sorted(f"{span.service}: {span.name}" for span in self.of(trace)))
            raise AssertionError(f"{error}\nmissing: {missing()}\nthere:\n{there}") from None
        return self.of(trace)
