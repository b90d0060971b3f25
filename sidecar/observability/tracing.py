"""Spans: stages of a request, timed where the work is, in greenlets and native threads alike.

Times are summed up by request (`sidecar.observability.work`). A trace is made of the sums when the request is over, by
`sidecar.observability.otel`, which is loaded only if the `OTEL_*` variables ask for it: without, nothing of this costs
more than adding two numbers.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Final, Protocol, TypeAlias

from sidecar.errors import StartError
from sidecar.observability.logging import log
from sidecar.observability.metrics import STAGES
from sidecar.observability.otel_variables import Wanted, wanted
from sidecar.observability.work import CURRENT, Link, Note, Stage, Work

Value: TypeAlias = str | int | float | bool
_NOTHING: Final[Note] = {}


@dataclass(frozen=True, slots=True)
class Report:
    """What a trace states of a request that is over."""

    name: str
    attributes: Mapping[str, Value]
    error: str = ""
    """Why it failed, in a word; empty if the fault is not the server's."""


class Trace(Protocol):
    """The trace of one request."""

    @property
    def id(self) -> str:
        """32 hexadecimal digits."""
        ...

    @property
    def recording(self) -> bool:
        """Whether it is sampled."""
        ...

    def onward(self, stage: Stage | None, began: int) -> Mapping[str, str]:
        """Return the headers with which another server goes on with the trace, below a stage that began then."""
        ...

    def anchor(self, stage: Stage | None, began: int) -> object:
        """Return what links of other traces lead to: the span of a stage that began then, or that of the request.

        None if there will be none.
        """
        ...

    def end(self, report: Report, work: Work) -> None:
        """Make the spans. Called once, in the event loop."""
        ...


class Tracer(Protocol):
    """Makes traces and exports them."""

    fields: frozenset[str]
    """Headers that carry a trace, in lower case."""

    def begin(self, environ: Mapping[str, Any]) -> Trace:
        """Begin the trace of a request, or go on with the one in its headers."""
        ...

    def flush(self) -> None:
        """Export what is left, within seconds, and go on."""
        ...

    def stop(self) -> None:
        """Export what is left, within seconds."""
        ...


def _nothing() -> None:
    pass


@dataclass(slots=True)
class _State:
    """Of this process."""

    wanted: Wanted = field(default_factory=Wanted)
    tracer: Tracer | None = None
    stop_metrics: Callable[[], None] = _nothing


_state: Final = _State()
_trace: Final[ContextVar[Trace | None]] = ContextVar("trace", default=None)
_stage: Final[ContextVar[tuple[Stage, int] | None]] = ContextVar("stage", default=None)


@contextmanager
def span(stage: Stage, plugin: str = "", note: Note = _NOTHING) -> Iterator[None]:
    """Time one piece of work of a stage. Safe in any thread.

    `plugin`: who does it, a source's, decoder's or encoder's name; `note`: what shows in a trace of this piece.
    """
    began = time.perf_counter_ns()
    token = _stage.set((stage, began))
    try:
        yield
    finally:
        _stage.reset(token)
        spent(stage, CURRENT.get(), began, plugin, note)


def spent(stage: Stage, work: Work | None, began: int, plugin: str = "", note: Note = _NOTHING) -> None:
    """Note one piece of work of a stage that ends now, for a request that need not be the one that runs.

    `began`: nanoseconds of `time.perf_counter_ns`.
    """
    ended = time.perf_counter_ns()
    if work is not None:
        work.add(stage, began, ended, note)
    STAGES.labels(stage, plugin).observe((ended - began) / 1e9)


def begin(environ: Mapping[str, Any], work: Work, *, traced: bool = True) -> Trace | None:
    """Let everything that runs in this context from here on belong to a request; return its trace, if there is one."""
    CURRENT.set(work)
    made = _state.tracer.begin(environ) if _state.tracer and traced else None
    work.samples = made is not None and made.recording
    _trace.set(made)
    return made


def onward() -> Mapping[str, str]:
    """Return the headers with which a server that is asked for this request goes on with its trace; lower case."""
    made = _trace.get()
    return made.onward(*(_stage.get() or (None, 0))) if made else {}


def anchor(stage: Stage | None = None, began: int = 0) -> object:
    """Return what others link to for which the request that runs does something, see Trace; None if it has no trace."""
    made = _trace.get()
    return made.anchor(stage, began) if made else None


def link(work: Work | None, anchor: object, stage: Stage | None = None) -> None:
    """Note that a request had something done for it in the course of another one, whose anchor this is."""
    if work is not None and anchor is not None:
        work.links.append(Link(anchor, stage))


def carriers() -> frozenset[str]:
    """Return the names of the headers that carry traces here, in lower case."""
    return _state.tracer.fields if _state.tracer else frozenset()


def prepare(version: str) -> None:
    """Read the `OTEL_*` variables, and load what they ask for; starts nothing. Raises StartError.

    The variable of an endpoint may have been meant for others: if the libraries for it are missing, the log says so.
    """
    _state.wanted = asked = wanted(version)
    if not asked.anything:
        return
    try:
        from sidecar.observability import otel  # noqa: PLC0415  # optional, and it takes time and memory

        otel.check(asked)
    except ImportError as error:
        if asked.explicit:
            raise StartError(f"OTEL_*_EXPORTER: iiif-sidecar[tracing] is not installed: {error}") from error
        log.warning("no traces: there is an OTLP endpoint, but iiif-sidecar[tracing] is not installed")
        _state.wanted = Wanted()


def start() -> None:
    """Begin to trace and to export metrics, if that is asked for.

    Called in a worker after its fork, when it has entered its sandbox. What an exporter does not like of its variables
    is logged: images are worth more than traces.
    """
    if not _state.wanted.anything:
        return
    from sidecar.observability import otel  # noqa: PLC0415  # as above

    try:
        if _state.wanted.exporters:
            use(otel.OtelTracer(_state.wanted))
        if _state.wanted.metrics:
            _state.stop_metrics = otel.export_metrics(_state.wanted)
    except Exception as error:  # noqa: BLE001  # of libraries that read dozens of variables
        log.error("not everything that OTEL_* asks for can be exported", problem=f"{type(error).__name__}: {error}")


def use(tracer: Tracer | None) -> None:
    """Trace from here on with a tracer, or not at all."""
    _state.tracer = tracer


def flush() -> None:
    """Export what is left: for processes that are frozen between requests."""
    if _state.tracer is not None:
        _state.tracer.flush()


def stop() -> None:
    """Export what is left, and no more."""
    tracer, _state.tracer = _state.tracer, None
    if tracer is not None:
        tracer.stop()
    stop_metrics, _state.stop_metrics = _state.stop_metrics, _nothing
    stop_metrics()
