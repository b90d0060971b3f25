"""The account of one request: its times and sizes, counted, logged and traced when it is really over."""

from __future__ import annotations

import time
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

from structlog.contextvars import bind_contextvars

from sidecar.http.access_line import access_line, level
from sidecar.http.request_record import request_record
from sidecar.http.trace_report import report
from sidecar.observability import tracing
from sidecar.observability.event import event_of
from sidecar.observability.exposition import EXEMPLARS
from sidecar.observability.logging import log
from sidecar.observability.metrics import BROKEN, FIRST, HANDOVERS, IMAGES, IN_FLIGHT, REQUESTS, SAVED, SECONDS, SENT
from sidecar.observability.request_book import Record, RequestBook
from sidecar.observability.tracing import Trace

_OWN: Final = "/sidecar/"
"""Paths of the sidecar itself, which are asked every few seconds: not traced, and not shown on its status page."""


class Account:
    """One request's times and sizes."""

    def __init__(self, environ: dict[str, Any], book: RequestBook) -> None:
        self._began = time.monotonic()
        self._environ = environ
        self.event = event_of(environ)
        bind_contextvars(id=self.event.id)
        self._open = True
        self.status = 0
        self._first_byte: float | None = None
        self.sent = 0
        self.complete = False
        own = str(environ.get("PATH_INFO", "")).startswith(_OWN)
        self._trace = tracing.begin(environ, self.event.work, traced=not own)
        self._book = None if own else book
        self._number = 0 if own else book.begin(self._under_way)

    def count(self, chunk: bytes) -> None:
        """Count a chunk of the response that is about to be sent."""
        if not self.sent:
            seconds = time.monotonic() - self._began
            self._first_byte = round(seconds * 1000, 1)
            FIRST.labels(self.event.kind).observe(seconds)
        self.sent += len(chunk)

    def close(self) -> None:
        """Settle what was sent, all of it or not."""
        self.settle("" if self.complete else self.event.left)

    def settle(self, broken: str = "") -> None:
        """Count and log what became of the request, once."""
        if not self._open:
            return
        self._open = False
        # It leads back to the request, and would keep both from being freed.
        self.event.body = None
        self.event.over()
        seconds = time.monotonic() - self._began
        trace, self._trace = self._trace, None
        self._count(seconds, broken, trace)
        line = access_line(self._environ, self.event, self.status, broken)
        log.log(
            level(self.event, self.status, broken),
            "request",
            **line,
            milliseconds=round(seconds * 1000, 1),
            first_byte=self._first_byte,
            bytes=self.sent,
            trace=trace.id if trace else "",
        )
        if self._book is not None:
            self._book.end(self._number, self._record(line, trace=trace.id if trace else ""), seconds)
        if trace is not None and trace.recording:
            trace.end(report(self._environ, self.event, self.status, self.sent, broken), self.event.work)

    def _under_way(self) -> Record:
        return self._record(access_line(self._environ, self.event, self.status, ""))

    def _record(self, line: Mapping[str, Any], **rest: str) -> Record:
        sent = {"first_byte": self._first_byte, "bytes": self.sent}
        return request_record(line, self.event.work, self._began, **sent, **rest)

    def _count(self, seconds: float, broken: str, trace: Trace | None) -> None:
        kind, work = self.event.kind, self.event.work
        IN_FLIGHT.dec()
        REQUESTS.labels(kind, str(self.status)).inc()
        SECONDS.labels(kind).observe(seconds)
        SENT.labels(kind).inc(self.sent)
        if self.event.not_ours:
            HANDOVERS.labels(self.event.reason).inc()
        if broken:
            BROKEN.labels(broken).inc()
        made = kind == "image" and self.status == HTTPStatus.OK and bool(work.decoder) and not broken
        if made:
            IMAGES.labels(work.source, work.decoder, work.encoder).observe(seconds)
            SAVED.labels(work.source).inc(max(0, work.size - work.read))
        if trace is not None and trace.recording:
            EXEMPLARS.note("sidecar_request_seconds", seconds, trace.id, kind=kind)
            if made:
                labels = {"source": work.source, "decoder": work.decoder, "format": work.encoder}
                EXEMPLARS.note("sidecar_image_seconds", seconds, trace.id, **labels)
