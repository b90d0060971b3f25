"""A collector of traces and metrics: receives OTLP over HTTP or gRPC, and decodes it by the official classes."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import grpc  # type: ignore[import-untyped]  # it has no annotations
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from sidecar.observability.work import STAGES
from tests.nginx.peers import HOST
from tests.nginx.servers import wait_for

_METRICS = "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export"


def attributes(pairs: Iterable[KeyValue]) -> Mapping[str, Any]:
    """Attributes as plain values."""
    return {pair.key: getattr(pair.value, str(pair.value.WhichOneof("value"))) for pair in pairs}


@dataclass
class Collector:
    """What has been received."""

    port: int = 0
    requests: list[ExportTraceServiceRequest] = field(default_factory=list)
    metrics: list[ExportMetricsServiceRequest] = field(default_factory=list)
    heads: list[Mapping[str, str]] = field(default_factory=list)
    """The headers or metadata of each request, by lower-case name."""

    @property
    def spans(self) -> list[Span]:
        """All spans so far."""
        resources = [each for request in self.requests for each in request.resource_spans]
        return [span for resource in resources for scope in resource.scope_spans for span in scope.spans]

    def trace(self, trace_id: str) -> list[Span]:
        """Wait for the server span of a trace, which ends last; all its spans by their beginning."""

        def found() -> list[Span]:
            return [span for span in self.spans if span.trace_id.hex() == trace_id]

        wait_for(lambda: any(map(is_server, found())), f"spans of {trace_id}")
        return sorted(found(), key=lambda span: span.start_time_unix_nano)


def is_server(span: Span) -> bool:
    """Whether a span is that of a request, not of a stage."""
    return bool(span.kind == Span.SPAN_KIND_SERVER)


def tree(spans: Iterable[Span]) -> str:
    """A trace as text: names, indented below their parents, stages in their order."""
    every = list(spans)
    lines: list[str] = []

    def add(span: Span, depth: int) -> None:
        given = attributes(span.attributes)
        kept = [
            given[name] for name in ("http.response.status_code", "sidecar.outcome", "sidecar.reason") if name in given
        ]
        lines.append(" ".join(["  " * depth + span.name, *map(str, kept)]))
        children = [each for each in every if each.parent_span_id == span.span_id]
        for below in sorted(children, key=lambda each: [str(stage) for stage in STAGES].index(each.name)):
            add(below, depth + 1)

    known = {span.span_id for span in every}
    for span in every:
        if span.parent_span_id not in known:
            add(span, 0)
    return "\n".join(lines)


@contextmanager
def over_http() -> Iterator[Collector]:
    """Receive OTLP over HTTP, in protobuf."""
    collector = Collector()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            if self.path == "/v1/metrics":
                collector.metrics.append(ExportMetricsServiceRequest.FromString(body))
                self._answer(ExportMetricsServiceResponse().SerializeToString())
                return
            collector.heads.append({name.lower(): value for name, value in self.headers.items()} | {"path": self.path})
            collector.requests.append(ExportTraceServiceRequest.FromString(body))
            self._answer(ExportTraceServiceResponse().SerializeToString())

        def _answer(self, answer: bytes) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "application/x-protobuf")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base's name
            """Log nothing."""

    with ThreadingHTTPServer((HOST, 0), Handler) as server:
        collector.port = server.server_port
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        yield collector
        server.shutdown()
        thread.join()


@contextmanager
def over_grpc() -> Iterator[Collector]:
    """Receive OTLP over gRPC."""
    collector = Collector()

    def export(request: ExportTraceServiceRequest, context: Any) -> ExportTraceServiceResponse:
        collector.heads.append({str(name): str(value) for name, value in context.invocation_metadata()})
        collector.requests.append(request)
        return ExportTraceServiceResponse()

    def keep(request: ExportMetricsServiceRequest, _context: Any) -> ExportMetricsServiceResponse:
        collector.metrics.append(request)
        return ExportMetricsServiceResponse()

    class Service(grpc.GenericRpcHandler):  # type: ignore[misc]  # it has no annotations
        def service(self, details: Any) -> Any:
            if details.method == _METRICS:
                return grpc.unary_unary_rpc_method_handler(
                    keep, ExportMetricsServiceRequest.FromString, ExportMetricsServiceResponse.SerializeToString
                )
            return grpc.unary_unary_rpc_method_handler(
                export, ExportTraceServiceRequest.FromString, ExportTraceServiceResponse.SerializeToString
            )

    server = grpc.server(ThreadPoolExecutor(2))
    server.add_generic_rpc_handlers((Service(),))
    collector.port = server.add_insecure_port(f"{HOST}:0")
    server.start()
    yield collector
    server.stop(None).wait()
