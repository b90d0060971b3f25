"""What would become of a request: it is sent through what answers clients, as HEAD, and what was decided is kept.

HEAD does everything that GET does before the first byte is made (RFC 9110 §9.3.2), so nothing is decided here a second
time: the routes, the reasons, the plan and the headers are those of the server.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import suppress
from contextvars import copy_context
from dataclasses import dataclass, field, fields, replace
from http import HTTPStatus
from pathlib import Path
from typing import Final, Literal, Self, TypeAlias, cast

import gevent

from sidecar.errors import SidecarError
from sidecar.http.app import make_api
from sidecar.http.asking import Asked, Question, as_asked, close_body, environ_of
from sidecar.http.error_responder import REASON
from sidecar.observability.event import event_of
from sidecar.observability.work import CURRENT
from sidecar.plugin import Blob
from sidecar.render.cost import Cost, cost_of
from sidecar.render.service import Found, ImageService, Planned

Outcome: TypeAlias = Literal["answered", "handover", "refused"]
_PAUSE: Final = 0.02
"""Seconds between two looks at whether decoders have learnt enough."""
_IO: Final = Path("/proc/self/io")
_FOR_NGINX: Final = frozenset({"x-accel-redirect", REASON.lower()})
"""Headers that are for nginx."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """What would become of a request."""

    target: str
    """Its URL, from the path on."""
    route: str
    """The template of the path; empty if it is none of the Image API."""
    outcome: Outcome
    status: int
    """Of the sidecar's own response: of a handover 421, see docs/handover.md."""
    reason: str = ""
    """Why it would be handed over or refused, a word of docs/reasons.md."""
    problem: str = ""
    """An explanation of that."""
    headers: Mapping[str, str]
    """Of the response, names in lower case."""
    image: str = ""
    """The file's or the object's own name, if it was found."""
    path: str = ""
    """Where it is, if that is on this machine."""
    file_bytes: int = 0
    """How long it is."""
    source: str = ""
    decoder: str = ""
    encoder: str = ""
    cost: Cost | None = None
    """What a picture takes; None if none would be made."""
    learning: bool = False
    """Whether decoders are still to learn what makes such requests cheaper: a worker that has run for a while knows."""
    milliseconds: float = 0.0
    """That it took to find all this out, the opening of the image included if it was not open."""


@dataclass(frozen=True, slots=True)
class Run:
    """A request that was answered, and what that took. Times in milliseconds."""

    status: int
    reason: str
    """Why it was not answered; empty if it was."""
    problem: str
    body_bytes: int
    milliseconds: float
    first_byte: float
    """Until the first bytes of the body."""
    processor: float
    """Processor time of all threads."""
    stages: Mapping[str, float]
    """Of each stage, from its first beginning to its last end; they overlap."""
    fetched_bytes: int
    """That were read of the source for windows."""
    system_read_bytes: int
    """That the process read by read(2) and the like, from wherever; -1 if the system does not say."""


@dataclass(slots=True)
class _Seen:
    """What passed through the service."""

    blob: Blob | None = None
    planned: Planned | None = None
    failure: SidecarError | None = None
    """What is raised as soon as there is a plan."""


@dataclass(frozen=True)
class _Watched(ImageService):
    """The service itself; what its steps return is kept."""

    seen: _Seen = field(default_factory=_Seen)

    @classmethod
    def of(cls, service: ImageService) -> Self:
        return cls(**{each.name: getattr(service, each.name) for each in fields(service)})

    def blob(self, name: str) -> Blob:
        self.seen.blob = found = super().blob(name)
        return found

    def plan(self, found: Found) -> Planned:
        self.seen.planned = planned = super().plan(found)
        if self.seen.failure is not None:
            raise self.seen.failure
        return planned


def forecast(service: ImageService, question: Question) -> Forecast:
    """Return what would become of a request. Called in a greenlet; opens the image, and decodes nothing.

    What workers know that run elsewhere is not in it: their load, and their quarantine.
    """
    began = time.perf_counter()
    watched = _Watched.of(as_asked(service, question))
    asked, cost = copy_context().run(_ask, watched, question), None
    seen: _Seen = watched.seen
    if seen.planned is not None and asked.status < HTTPStatus.BAD_REQUEST:
        try:
            cost = copy_context().run(cost_of, seen.planned, service.renderer, service.limits.memory)
        except SidecarError as error:  # GET would fail there, before its first byte
            seen.failure = error
            asked = copy_context().run(_ask, watched, question)
    event, blob = event_of(asked.environ), seen.blob
    return Forecast(
        target=asked.environ["RAW_URI"],
        route=event.route,
        outcome=cast("Outcome", event.outcome()),
        status=asked.status,
        reason=event.reason,
        problem=str(event.details.get("problem", "")),
        headers={name: value for name, value in asked.headers.items() if name not in _FOR_NGINX},
        image=blob.name if blob else "",
        path=str(blob.path) if blob and blob.path else "",
        file_bytes=blob.size if blob else 0,
        source=event.work.source,
        decoder=cost.decoder if cost else event.work.decoder,
        encoder=event.work.encoder,
        cost=cost,
        learning=service.renderer.readers.learning,
        milliseconds=_since(began),
    )


def settled(service: ImageService, question: Question, seconds: float) -> Forecast:
    """As `forecast`, once decoders have learnt what they learn in idle time, or after some seconds."""
    found, ends, waited = forecast(service, question), time.monotonic() + seconds, False
    while service.renderer.readers.learning and time.monotonic() < ends:
        waited = True
        gevent.sleep(_PAUSE)
    if not waited:
        return found
    return replace(forecast(service, question), milliseconds=found.milliseconds)


def run(service: ImageService, question: Question) -> Run:
    """Answer a request, and return what that took. Called in a greenlet."""
    return copy_context().run(_run, as_asked(service, question), question)


def _run(service: ImageService, question: Question) -> Run:
    api, asked = make_api(service), Asked(environ_of(question, "GET"))
    event = event_of(asked.environ)
    CURRENT.set(event.work)
    before, began, used = _system_read(), time.perf_counter(), time.process_time()
    body, sent, first = api(asked.environ, asked.start), 0, 0.0
    try:
        for chunk in body:
            first = first or _since(began)
            sent += len(chunk)
    finally:
        close_body(body)
        event.over()
    return Run(
        status=asked.status,
        reason=event.reason,
        problem=str(event.details.get("problem", "")),
        body_bytes=sent,
        milliseconds=_since(began),
        first_byte=first,
        processor=round((time.process_time() - used) * 1000, 1),
        stages=event.work.milliseconds(),
        fetched_bytes=event.work.read,
        system_read_bytes=_system_read() - before if before >= 0 else -1,
    )


def _ask(service: ImageService, question: Question) -> Asked:
    """Send a request as HEAD."""
    asked = Asked(environ_of(question, "HEAD"))
    CURRENT.set(event_of(asked.environ).work)
    close_body(make_api(service)(asked.environ, asked.start))
    return asked


def _since(began: float) -> float:
    return round((time.perf_counter() - began) * 1000, 1)


def _system_read() -> int:
    """Return how many bytes this process has read (proc_pid_io(5), rchar)."""
    with suppress(OSError, ValueError):
        return int(_IO.read_text(encoding="ascii").split()[1])
    return -1
