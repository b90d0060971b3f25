"""What the sidecar tells of itself: one log line and one set of metrics for each request.

`Observed` stands outside Falcon, where an answer's true end is seen: the last chunk taken, or the client gone.
"""

from __future__ import annotations

import logging
import os
import struct
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from sidecar.interfaces import Closing
from sidecar.pipeline import Pipeline

log = structlog.get_logger("sidecar")

EVENT: Final = "sidecar.event"
"""The key in the WSGI environment under which a request's Event lies."""

_PATIENCE: Final = 5
_BUCKETS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)

REQUESTS: Final = Counter("sidecar_requests", "Requests answered.", ["kind", "status"])
HANDOVERS: Final = Counter("sidecar_handovers", "Requests given to Cantaloupe, or refused in its absence.", ["reason"])
BROKEN: Final = Counter("sidecar_broken_answers", "Answers that broke off after the first byte.", ["reason"])
SECONDS: Final = Histogram("sidecar_request_seconds", "From the request to its last byte.", ["kind"], buckets=_BUCKETS)
FIRST: Final = Histogram(
    "sidecar_first_byte_seconds", "From the request to the first byte.", ["kind"], buckets=_BUCKETS
)
SENT: Final = Counter("sidecar_sent_bytes", "Bytes of answers.", ["kind"])
IN_FLIGHT: Final = Gauge("sidecar_requests_in_flight", "Requests under way.", multiprocess_mode="livesum")
PERMITS: Final = Gauge("sidecar_permits_bytes_in_use", "Bytes of memory promised.", multiprocess_mode="livesum")
WAITING: Final = Gauge("sidecar_permits_waiting", "Requests waiting for memory.", multiprocess_mode="livesum")
LEASED: Final = Gauge("sidecar_readers_leased", "Opened images in use.", multiprocess_mode="livesum")
IDLE: Final = Gauge("sidecar_readers_idle", "Opened images kept for the next request.", multiprocess_mode="livesum")
LOST: Final = Gauge("sidecar_native_threads_lost", "Threads stuck in native calls.", multiprocess_mode="livesum")
LATE: Final = Histogram(
    "sidecar_loop_late_seconds",
    "How late the event loop was when it should have run.",
    buckets=(0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 5),
)
LONGEST: Final = Gauge(
    "sidecar_loop_longest_late_seconds", "The latest of the last minute.", multiprocess_mode="livemax"
)


@dataclass(slots=True)
class Event:
    """What a request came to, filled on its way and told at its end."""

    kind: str = "other"
    reason: str = ""
    """Why it was handed over, refused or broken off."""
    details: dict[str, object] = field(default_factory=dict)
    body: Closing | None = None
    """The answer's chunks, once they are made."""


def of(environ: dict[str, Any]) -> Event:
    """The event of a request."""
    event = environ.setdefault(EVENT, Event())
    return event if isinstance(event, Event) else Event()


def show(pipeline: Pipeline) -> None:
    """Bring the gauges up to date."""
    PERMITS.set(pipeline.permits.held)
    WAITING.set(pipeline.permits.waiting)
    LEASED.set(pipeline.readers.leased)
    IDLE.set(pipeline.readers.idle)
    LOST.set(pipeline.pool.lost + pipeline.bulk.lost)


def exposition() -> bytes:
    """All metrics in Prometheus' text format; of all workers where they share PROMETHEUS_MULTIPROC_DIR."""
    if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
        return generate_latest()
    every = CollectorRegistry()
    MultiProcessCollector(every)  # type: ignore[no-untyped-call]  # its constructor is not annotated
    for _ in range(_PATIENCE):
        with suppress(struct.error):
            return generate_latest(every)
        # A worker that is just starting has made its file and not yet filled it.
        time.sleep(0.05)
    return generate_latest(every)


def configure(level: str) -> None:
    """JSON lines on standard error, gunicorn's own messages included."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper())),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )


StartResponse = Callable[..., Any]
Wsgi = Callable[[dict[str, Any], StartResponse], Iterable[bytes]]


class Observed:
    """A WSGI application around another that counts and logs each request when it is really over."""

    def __init__(self, app: Wsgi) -> None:
        self._app = app

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        """Answer as the application within does."""
        account = _Account(environ)

        def started(status: str, headers: list[tuple[str, str]], *rest: Any) -> Any:
            account.status = int(status[:3])
            return start_response(status, headers, *rest)

        IN_FLIGHT.inc()
        try:
            return _Answer(self._app(environ, started), account)
        except BaseException:
            # Made, but never given back to be closed: a server may refuse a header in start_response.
            if account.event.body is not None:
                account.event.body.close()
            account.settle("crash")
            raise


class _Account:
    """One request's times and sizes."""

    def __init__(self, environ: dict[str, Any]) -> None:
        self._began = time.monotonic()
        self._environ = environ
        self.event = of(environ)
        self._open = True
        self.status = 0
        self.sent = 0

    def count(self, chunk: bytes) -> None:
        if not self.sent:
            FIRST.labels(self.event.kind).observe(time.monotonic() - self._began)
        self.sent += len(chunk)

    def settle(self, broken: str = "") -> None:
        """Tell what became of the request, once."""
        if not self._open:
            return
        self._open = False
        # It leads back to the request, and would keep both from being freed.
        self.event.body = None
        seconds, kind = time.monotonic() - self._began, self.event.kind
        IN_FLIGHT.dec()
        REQUESTS.labels(kind, str(self.status)).inc()
        SECONDS.labels(kind).observe(seconds)
        SENT.labels(kind).inc(self.sent)
        if broken:
            BROKEN.labels(broken).inc()
        log.info(
            "request",
            method=self._environ.get("REQUEST_METHOD"),
            path=self._environ.get("RAW_URI", self._environ.get("PATH_INFO")),
            status=self.status,
            kind=kind,
            reason=broken or self.event.reason,
            milliseconds=round(seconds * 1000, 1),
            bytes=self.sent,
            **self.event.details,
        )


class _Answer:
    """The chunks of an answer, counted. `close` is the end, however it came."""

    def __init__(self, chunks: Iterable[bytes], account: _Account) -> None:
        self._chunks, self._account = chunks, account
        self._rest = iter(chunks)
        self._complete = False

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        try:
            chunk = next(self._rest)
        except StopIteration:
            self._complete = True
            raise
        except Exception as error:
            self._account.settle(getattr(error, "reason", "crash"))
            if not isinstance(error, ConnectionError):
                log.warning("answer broke off", error=str(error), kind=type(error).__name__)
            raise
        self._account.count(chunk)
        return chunk

    def close(self) -> None:
        close = getattr(self._chunks, "close", None)
        try:
            if close is not None:
                close()
        finally:
            self._account.settle("" if self._complete else "client-gone")
