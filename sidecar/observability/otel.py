"""Traces by OpenTelemetry: one server span a request, and below it one span for each stage, made when it is over.

Spans are collected by OpenTelemetry's batch processor, whose thread is a greenlet here. What it calls, encoding and
sending, runs in a native thread of its own, so that it does not hold the event loop up; that thread begins after the
fork and in the sandbox. A stage's span begins early only if another server is to go on with the trace below it.

Only this module and `otel_metrics` import OpenTelemetry; `sidecar.observability.tracing` loads them if they are needed.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib.metadata import entry_points
from typing import Any, Final, TypeVar

import gevent
from gevent.monkey import is_module_patched
from gevent.threadpool import ThreadPool
from opentelemetry.context import Context
from opentelemetry.propagators.textmap import Getter, TextMapPropagator
from opentelemetry.sdk.metrics.export import MetricExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.trace import Span, SpanContext, SpanKind, Status, StatusCode, format_trace_id, set_span_in_context
from opentelemetry.trace import Tracer as OpenTelemetryTracer

from sidecar.errors import StartError
from sidecar.observability.logging import log
from sidecar.observability.otel_metrics import MetricsExport
from sidecar.observability.otel_variables import Wanted
from sidecar.observability.tracing import Report
from sidecar.observability.work import Stage, StageTime, Work

T = TypeVar("T")
_PATIENCE: Final = 3.0
"""Seconds for which a worker that ends waits until its last spans are exported."""


def check(wanted: Wanted) -> None:
    """Load what is wanted. Raises ImportError if a library is missing, StartError for names that nobody knows."""
    _propagator()
    _ids(wanted.ids)
    for name in wanted.exporters:
        _exporter(name, grpc=wanted.grpc)
    if wanted.metrics:
        _metric_exporter(grpc=wanted.metrics_grpc)


def _propagator() -> TextMapPropagator:
    """Return what OTEL_PROPAGATORS names; OpenTelemetry reads it when this is first imported."""
    try:
        from opentelemetry.propagate import get_global_textmap  # noqa: PLC0415  # it may raise
    except ValueError as error:
        raise StartError(f"OTEL_PROPAGATORS: {error}") from error
    return get_global_textmap()


def _ids(name: str) -> IdGenerator:
    for found in entry_points(group="opentelemetry_id_generator", name=name):
        made: IdGenerator = found.load()()
        return made
    raise StartError(f"OTEL_PYTHON_ID_GENERATOR: {name!r} is not known here; random and xray are")


def _exporter(name: str, *, grpc: bool) -> Callable[[], SpanExporter]:
    """Return what makes an exporter; gRPC's begins threads with its channel, so it is made later."""
    if name == "console":
        return ConsoleSpanExporter
    if grpc:
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter  # noqa: PLC0415  # large

        return OTLPSpanExporter
    from opentelemetry.exporter.otlp.proto.http import trace_exporter  # noqa: PLC0415  # one of both is enough

    return trace_exporter.OTLPSpanExporter


def _metric_exporter(*, grpc: bool) -> Callable[[], MetricExporter]:
    if grpc:
        from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter  # noqa: PLC0415  # as above

        return OTLPMetricExporter
    from opentelemetry.exporter.otlp.proto.http import metric_exporter  # noqa: PLC0415  # as above

    return metric_exporter.OTLPMetricExporter


def export_metrics(wanted: Wanted) -> Callable[[], None]:
    """Begin to export metrics; returns what ends that, within seconds."""
    exporter = _metric_exporter(grpc=wanted.metrics_grpc)()
    begun = MetricsExport(exporter, _resource(wanted.version), wanted.version, wanted.metrics_interval, _OwnThread())
    return partial(_in_time, begun.stop)


def _in_time(call: Callable[[], object]) -> None:
    try:
        gevent.with_timeout(_PATIENCE, call)
    except gevent.Timeout:
        log.warning("the last spans or metrics could not be exported in time")


def _resource(version: str) -> Resource:
    """Return who exports; what OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES say comes first."""
    ours: dict[str, str | int] = {
        "service.name": "iiif-sidecar",
        "service.version": version,
        "service.instance.id": f"{socket.gethostname()}-{os.getpid()}",
        "process.pid": os.getpid(),
    }
    given = OTELResourceDetector().detect().attributes
    return Resource.create({name: value for name, value in ours.items() if name not in given})


class _OwnThread:
    """A native thread for one purpose. Called in greenlets."""

    def __init__(self) -> None:
        # Without gevent's threading, who calls is in a native thread already.
        self._pool = ThreadPool(1) if is_module_patched("threading") else None

    def __call__(self, call: Callable[[], T]) -> T:
        """Run a call, while greenlets go on."""
        if self._pool is None:
            return call()
        result: T = self._pool.apply(call)
        return result


class _InOwnThread(SpanExporter):
    """An exporter that works in a native thread of its own."""

    def __init__(self, exporter: SpanExporter) -> None:
        self._exporter = exporter
        self._native = _OwnThread()

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Encode and send spans."""
        return self._native(lambda: self._exporter.export(spans))

    def shutdown(self) -> None:
        """Send no more; what is on its way ends by itself."""
        self._exporter.shutdown()


class _Environ(Getter[Mapping[str, Any]]):
    """Reads headers from a WSGI environment (PEP 3333)."""

    def get(self, carrier: Mapping[str, Any], key: str) -> list[str] | None:
        # `xray-lambda` reads Lambda's own variable, and hands it on in a carrier that is no WSGI environment.
        value = carrier.get(f"HTTP_{key.upper().replace('-', '_')}", carrier.get(key))
        return None if value is None else [value]

    def keys(self, carrier: Mapping[str, Any]) -> list[str]:
        return [name[5:].lower().replace("_", "-") for name in carrier if name.startswith("HTTP_")]


class OtelTracer:
    """A Tracer for the life of a worker."""

    def __init__(self, wanted: Wanted) -> None:
        """Begin the greenlet that exports. Raises StartError."""
        self._propagator = _propagator()
        # Baggage is not ours to change.
        self.fields = frozenset(each.lower() for each in self._propagator.fields) - {"baggage"}
        self._provider = TracerProvider(
            resource=_resource(wanted.version), id_generator=_ids(wanted.ids), shutdown_on_exit=False
        )
        for name in wanted.exporters:
            exporter = _InOwnThread(_exporter(name, grpc=wanted.grpc)())
            self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("iiif-sidecar", wanted.version)
        self._environ = _Environ()

    def begin(self, environ: Mapping[str, Any]) -> OtelTrace:
        """Begin the server span of a request, or go on with the trace in its headers."""
        remote = self._propagator.extract(environ, Context(), getter=self._environ)
        method = str(environ.get("REQUEST_METHOD", ""))
        # What samplers decide by; the rest follows at the end.
        attributes = {"http.request.method": method, "url.path": str(environ.get("PATH_INFO", ""))}
        span = self._tracer.start_span(method, remote, SpanKind.SERVER, attributes)
        return OtelTrace(self._tracer, self._propagator, span)

    def flush(self) -> None:
        """Export what is left; gives up after some seconds."""
        _in_time(self._provider.force_flush)

    def stop(self) -> None:
        """Export what is left; gives up after some seconds."""
        _in_time(self._provider.shutdown)


class OtelTrace:
    """The trace of one request."""

    def __init__(self, tracer: OpenTelemetryTracer, propagator: TextMapPropagator, server: Span) -> None:
        self._tracer, self._propagator, self._server = tracer, propagator, server
        # A context without anything else, such as baggage: that is not for servers of images.
        self._context = set_span_in_context(server, Context())
        self._stages: dict[Stage, Span] = {}
        self.id = format_trace_id(server.get_span_context().trace_id)
        self.recording = server.is_recording()

    def onward(self, stage: Stage | None, began: int) -> Mapping[str, str]:
        """Return the headers with which another server goes on with the trace; `began` as in `time.perf_counter_ns`."""
        context = self._context
        if stage and self.recording:
            epoch = time.time_ns() - time.perf_counter_ns()
            context = set_span_in_context(self._begun(stage, epoch + began), Context())
        headers: dict[str, str] = {}
        self._propagator.inject(headers, context)
        return {name.lower(): value for name, value in headers.items()}

    def anchor(self, stage: Stage | None, began: int) -> SpanContext | None:
        """Return the context of the span of a stage, or of the request; None if it is not recorded, or over."""
        if not self._server.is_recording():
            return None
        epoch = time.time_ns() - time.perf_counter_ns()
        return (self._begun(stage, epoch + began) if stage else self._server).get_span_context()

    def end(self, report: Report, work: Work) -> None:
        """Make the spans of the stages, and end that of the request."""
        if not self.recording:
            return
        for stage, spent in [*work.stages.items()]:
            self._begun(stage, work.epoch + spent.first)
        self._link(work)
        for stage, spent in [*work.stages.items()]:
            self._end_stage(self._stages[stage], spent, work.epoch)
        for stage in self._stages.keys() - work.stages.keys():
            self._stages[stage].end()
        server = self._server
        server.update_name(report.name)
        server.set_attributes(report.attributes)
        if report.error:
            server.set_attribute("error.type", report.error)
            server.set_status(Status(StatusCode.ERROR))
        server.end()

    def _link(self, work: Work) -> None:
        """Let the spans of what was done in the course of other requests lead there."""
        own = {span.get_span_context().span_id for span in (self._server, *self._stages.values())}
        for each in work.links:
            if isinstance(each.anchor, SpanContext) and each.anchor.span_id not in own:
                span = self._stages.get(each.stage, self._server) if each.stage else self._server
                span.add_link(each.anchor, {"sidecar.link": each.stage or "response"})

    def _begun(self, stage: Stage, began: int) -> Span:
        if stage not in self._stages:
            kind = SpanKind.CLIENT if stage == "proxy" else SpanKind.INTERNAL
            self._stages[stage] = self._tracer.start_span(stage, self._context, kind, start_time=began)
        return self._stages[stage]

    @staticmethod
    def _end_stage(span: Span, spent: StageTime, epoch: int) -> None:
        span.set_attributes({"sidecar.stage.count": spent.count, "sidecar.stage.busy_seconds": spent.busy / 1e9})
        for sample in spent.samples:
            seconds = (sample.ended - sample.began) / 1e9
            span.add_event("piece", {"number": sample.number, "seconds": seconds, **sample.note}, epoch + sample.ended)
        span.end(epoch + spent.last)
