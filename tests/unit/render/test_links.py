"""Traces of requests for which something was done in the course of others: links lead to where it was done."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from contextvars import copy_context
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

import gevent
import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from sidecar.observability import tracing
from sidecar.observability.otel import OtelTracer
from sidecar.observability.otel_variables import Wanted as Asked
from sidecar.observability.tracing import Report
from sidecar.observability.work import Work
from sidecar.render.client import Client
from sidecar.render.shared_decode import Wanted
from sidecar.render.whole_responses import WholeResponses
from tests.unit.render.test_gathering import BLOB, Held, Site, begun, tile
from tests.unit.render.test_whole_responses import Maker

T = TypeVar("T")


@dataclass
class Traces:
    """Requests that are traced, and what is exported of them."""

    exported: InMemorySpanExporter = field(default_factory=InMemorySpanExporter)

    def request(self, name: str, call: Callable[[], T], *, sampled: bool = True) -> gevent.Greenlet[..., T]:
        """Begin a request in a greenlet; its server span has its name."""

        def run() -> T:
            work = Work()
            head = f"00-{hash(name) & (1 << 127) - 1 | 1:032x}-{1:016x}-{sampled:02}"
            made = tracing.begin({"HTTP_TRACEPARENT": head}, work)
            assert made is not None
            result = call()
            made.end(Report(name, {}), work)
            return result

        asking: gevent.Greenlet[..., T] = gevent.spawn(copy_context().run, run)
        gevent.idle()
        return asking

    def of(self, name: str) -> tuple[ReadableSpan, dict[str, ReadableSpan]]:
        """The span of a request, and those of its stages."""
        every = self.exported.get_finished_spans()
        (server,) = (span for span in every if span.name == name)
        return server, {span.name: span for span in every if span.parent and span.parent == server.context}


@pytest.fixture
def traces() -> Iterator[Traces]:
    """Trace to memory."""
    made, tracer = Traces(), OtelTracer(Asked())
    tracer._provider.add_span_processor(SimpleSpanProcessor(made.exported))
    tracing.use(tracer)
    yield made
    tracing.stop()


def links(span: ReadableSpan) -> list[tuple[int, object]]:
    """The spans that one leads to, and what was done there."""
    return [(each.context.span_id, (each.attributes or {})["sidecar.link"]) for each in span.links]


def served(site: Site, column: int) -> Callable[[], object]:
    """What a request for a tile does."""
    return partial(site._get, Wanted(BLOB, site._image, 0, tile(column)))


@pytest.mark.parametrize("sampled", [True, False])
def test_a_tile_leads_to_the_decode_that_served_it(traces: Traces, sampled: bool) -> None:  # noqa: FBT001
    """Of tiles decoded together each has its own decode span, which leads to the first one's, if that is recorded.

    A tile that is cut out later, of what is kept, leads there from its server span, for want of a decode.
    """
    held = Held()
    with ExitStack() as stack:
        stack.callback(held.go.set)
        site = Site(stack, held, cache=1 << 20)
        before = traces.request("before", served(site, 7))
        begun(held)
        # They wait for the processor, and the first of them takes the others along.
        near = [
            traces.request(f"near {column}", served(site, column), sampled=sampled or column > 0) for column in range(3)
        ]
        held.go.set()
        gevent.joinall([before, *near], timeout=20, raise_error=True)
        traces.request("later", served(site, 1)).get(timeout=20)
    assert len(held.decoded) == 2
    if sampled:
        _, first = traces.of("near 0")
        decode = first["decode"].context
        assert links(first["decode"]) == []
        for column in (1, 2):
            assert links(traces.of(f"near {column}")[1]["decode"]) == [(decode.span_id, "decode")]
        server, stages = traces.of("later")
        assert links(server) == [(decode.span_id, "decode")]
        assert "decode" not in stages
    else:
        assert links(traces.of("near 1")[1]["decode"]) == []
    assert links(traces.of("before")[0]) == []


def test_a_shared_response_leads_to_the_request_that_it_was_made_for(traces: Traces) -> None:
    """Of identical requests those that wait for the first one's response lead to its server span."""
    maker, responses = Maker(), WholeResponses()

    def get() -> None:
        whole = responses.get("etag", maker.start, Client())
        whole.over()

    asking = [traces.request(name, get) for name in ("first", "second")]
    maker.go.set()
    gevent.joinall(asking, timeout=20, raise_error=True)
    first, second = traces.of("first")[0], traces.of("second")[0]
    assert len(maker.began) == 1
    assert links(first) == []
    assert links(second) == [(first.context.span_id, "response")]
