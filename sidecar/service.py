"""A worker's life around its requests: it starts, looks after itself, says no more, finishes, ends."""

from __future__ import annotations

import logging
import os
import signal
import sys
from collections.abc import Callable, Iterable
from typing import Any, Final

import falcon
import gevent
import structlog

from sidecar import telemetry
from sidecar.casualties import Casualties, Notebook, digest
from sidecar.config import Settings
from sidecar.loop import Lateness, tame
from sidecar.permits import Permits
from sidecar.pipeline import Pipeline
from sidecar.registry import Registry
from sidecar.telemetry import StartResponse, Wsgi

log = structlog.get_logger("sidecar")

_ROUND: Final = 1.0
"""Seconds between two rounds of looking after oneself."""


class Readiness:
    """Whether requests should be sent to this worker."""

    def __init__(self, permits: Permits) -> None:
        self._permits = permits
        self.draining = False

    @property
    def problem(self) -> str:
        """Why not; empty where they should."""
        if self.draining:
            return "draining"
        return "overloaded" if self._permits.full else ""


class ReadyResource:
    """`/sidecar/ready`: for balancers, which should ask here and not `/sidecar/health`."""

    def __init__(self, readiness: Readiness) -> None:
        self._readiness = readiness

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Say 200, or 503 and why."""
        telemetry.of(req.env).kind = "ready"
        problem = self._readiness.problem
        resp.status = falcon.HTTP_503 if problem else falcon.HTTP_200
        resp.media = {"status": problem or "ready"}
        resp.set_header("Cache-Control", "no-store")

    on_head = on_get


class Service:
    """The WSGI application of a worker, and what gunicorn's hooks call."""

    def __init__(
        self,
        app: Wsgi,
        settings: Settings,
        registry: Registry,
        pipeline: Pipeline,
        readiness: Readiness,
        casualties: Casualties,
        notebook: Notebook | None,
    ) -> None:
        self._app = app
        self._settings, self._registry, self._pipeline = settings, registry, pipeline
        self._readiness, self._casualties, self._notebook = readiness, casualties, notebook
        self._lateness = Lateness()
        self._greenlets: list[gevent.Greenlet[[], Any]] = []

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        """Answer a request."""
        return self._app(environ, start_response)

    @property
    def crowded(self) -> bool:
        """Whether requests would better go to another worker; see sidecar.cores."""
        return self._pipeline.cores.crowded

    def start(self, stop: Callable[[], None]) -> None:
        """Begin to look after itself. `stop` makes the worker accept no more, finish what is under way, and end."""
        if self._notebook is not None:
            self._notebook.watch_faults()
        signal.signal(signal.SIGTERM, lambda *_: self.drain(stop))
        signal.siginterrupt(signal.SIGTERM, False)  # noqa: FBT003  # its only parameter
        self._greenlets = [gevent.spawn(self._lateness.run), gevent.spawn(self._look_after)]
        tame()

    def drain(self, stop: Callable[[], None]) -> None:
        """Be ready no more, and stop when balancers have had the time to see that."""
        self._readiness.draining = True
        gevent.spawn_later(self._settings.drain, stop)

    def close(self) -> None:
        """Give everything back; a worker whose native calls are still under way ends at once."""
        for greenlet in self._greenlets:
            greenlet.kill()
        if self._notebook is not None:
            self._notebook.close()
        if self._pipeline.pool.busy or self._pipeline.bulk.busy:
            # Libraries taken down under a running call crash; nobody waits for it any more.
            logging.shutdown()
            sys.stderr.flush()
            os._exit(0)
        self._pipeline.readers.close()
        self._registry.close()
        self._pipeline.pool.close()
        self._pipeline.bulk.close()

    def _look_after(self) -> None:
        while True:
            gevent.sleep(_ROUND)
            telemetry.show(self._pipeline)
            telemetry.LONGEST.set(self._lateness.longest)
            self.count_out()

    def count_out(self) -> None:
        """Count out stuck native calls, hand their images over from now on; with too many, ask for a successor."""
        pools = (self._pipeline.pool, self._pipeline.bulk)
        for image in (image for pool in pools for image in pool.count_out(self._settings.first_byte_timeout)):
            log.error("a native call is stuck", image=image)
            if image:
                self._casualties.add(digest(image))
        lost = sum(pool.lost for pool in pools)
        if lost >= self._settings.stuck_calls and not self._readiness.draining:
            log.error("too many native calls are stuck; this worker makes room for another", stuck=lost)
            os.kill(os.getpid(), signal.SIGTERM)
