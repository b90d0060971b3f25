"""Worker lifecycle: start, periodic self-checks, drain, shutdown."""

from __future__ import annotations

import logging
import os
import signal
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

import gevent

from sidecar.config import Settings
from sidecar.http.middleware import StartResponse, Wsgi
from sidecar.http.readiness import Readiness
from sidecar.limits.quarantine import Quarantine, digest
from sidecar.observability import metric_files, tracing
from sidecar.observability.logging import log
from sidecar.observability.metrics import LONGEST, WORKERS, Gauges
from sidecar.observability.request_book import RequestBook
from sidecar.registry import Registry
from sidecar.render.renderer import Renderer
from sidecar.server import replacement, shared_dir
from sidecar.server.crash_journal import CrashJournal
from sidecar.server.event_loop import Lateness, tune_interpreter
from sidecar.server.heap import Heap

_CHECK_EVERY: Final = 1.0
"""Seconds between two self-checks."""
_CLOSING: Final = 1.0
"""Seconds that closing may take."""
_BACKGROUND_TIMES: Final = 10
"""How many times as long a call may take that nobody waits for, since its thread has a low priority."""


@dataclass(frozen=True, slots=True)
class WorkerParts:
    """What a worker is made of, and has to shut down."""

    settings: Settings
    registry: Registry
    renderer: Renderer
    readiness: Readiness
    gauges: Gauges
    quarantine: Quarantine
    journal: CrashJournal | None
    book: RequestBook


class WorkerLifecycle:
    """The WSGI application of a worker, and what gunicorn's hooks call."""

    def __init__(self, app: Wsgi, parts: WorkerParts) -> None:
        self._app = app
        self._parts = parts
        self._lateness = Lateness()
        self._greenlets: list[gevent.Greenlet[[], Any]] = []

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        """Answer a request."""
        return self._app(environ, start_response)

    @property
    def crowded(self) -> bool:
        """Whether requests would better go to another worker; see CpuShare."""
        return self._parts.renderer.cpu_share.crowded

    @property
    def waits(self) -> bool:
        """Whether requests wait for this worker's memory."""
        return self._parts.renderer.admission.waiting > 0

    @property
    def draining(self) -> bool:
        """Whether this worker is about to end."""
        return self._parts.readiness.draining

    def start(self, stop: Callable[[], None]) -> None:
        """Begin the self-checks. `stop` makes the worker accept no more, finish what is under way, and end."""
        if self._parts.journal is not None:
            self._parts.journal.watch_faults()
        signal.signal(signal.SIGTERM, lambda *_: self.drain(stop))
        signal.siginterrupt(signal.SIGTERM, False)  # noqa: FBT003  # its only parameter
        self._greenlets = [gevent.spawn(self._lateness.run), gevent.spawn(self._check_for_ever)]
        self.begin()
        tune_interpreter()

    def begin(self) -> None:
        """Get ready for requests. AWS Lambda calls this only: there, nothing runs between requests."""
        tracing.start()
        WORKERS.set(1)

    def drain(self, stop: Callable[[], None]) -> None:
        """Become unready, and stop when balancers have had the time to notice."""
        self._parts.readiness.draining = True
        gevent.spawn_later(self._parts.settings.drain_time, stop)

    def close(self) -> None:
        """Release everything; a worker whose native calls are still under way ends at once."""
        for greenlet in self._greenlets:
            greenlet.kill()
        tracing.stop()
        parts = self._parts
        if parts.journal is not None:
            parts.journal.close()
        if not self._closed():
            # Libraries taken down under a running call crash; nobody waits for it any more.
            logging.shutdown()
            sys.stderr.flush()
            os._exit(0)

    def _closed(self) -> bool:
        """Close the parts, and report whether no native call is under way, nor will begin."""
        if self._in_native_code:
            return False
        closing = gevent.spawn(self._close_parts)
        # Clients that have a connection may go on asking, and the pools would never be empty.
        closing.join(_CLOSING)
        return closing.ready() and not self._in_native_code

    def _close_parts(self) -> None:
        parts = self._parts
        parts.renderer.readers.close()
        parts.registry.close()
        parts.renderer.pool.close()
        parts.renderer.bulk.close()

    @property
    def _in_native_code(self) -> bool:
        return any(pool.busy for pool in self._parts.renderer.pools)

    def _check_for_ever(self) -> None:
        renderer = self._parts.renderer
        heap = Heap(lambda: renderer.admission.held, lambda: self._in_native_code)
        while True:
            gevent.sleep(_CHECK_EVERY)
            self._parts.gauges.update()
            self._parts.book.refresh()
            LONGEST.set(self._lateness.longest)
            metric_files.report()
            self.check_stuck_calls()
            heap.check()

    def check_stuck_calls(self) -> None:
        """Quarantine the images of stuck native calls; with enough of these, have the worker replaced."""
        parts = self._parts
        for image in self._stuck():
            log.error("a native call is stuck", image=image)
            if image:
                with suppress(OSError):  # a disk that is full
                    parts.quarantine.add(digest(image))
        lost = parts.renderer.lost
        if lost >= parts.settings.stuck_calls and not parts.readiness.draining:
            self._be_replaced(lost)

    def _stuck(self) -> Iterator[str]:
        """Yield the images of native calls that have become stuck."""
        renderer, limit = self._parts.renderer, self._parts.settings.first_byte_timeout
        for pool in renderer.pools:
            awaited = pool in {renderer.pool, renderer.bulk}
            yield from pool.count_lost(limit if awaited else _BACKGROUND_TIMES * limit)

    def _be_replaced(self, lost: int) -> None:
        """End, and have another worker in this one's place; whoever waits here goes elsewhere at once."""
        if replacement.ask(shared_dir.shared(), self._parts.settings.workers):
            log.error("native calls are stuck; this worker is replaced", stuck=lost)
            self._parts.renderer.admission.leaving = True
            os.kill(os.getpid(), signal.SIGTERM)
