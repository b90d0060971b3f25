"""Work that waits until nobody waits for anything else."""

from __future__ import annotations

import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable

import gevent

log = logging.getLogger(__name__)

QUIET_SECONDS = 0.5
"""A worker that was asked for nothing this long is idle."""
LONGEST_SECONDS = 20.0
"""A worker that is never idle does the work nevertheless after this time, since it gains most by it."""
MOST_WAITING = 256


class IdleWork:
    """The jobs of one worker, done one after the other. All its methods are called in greenlets of one thread."""

    def __init__(self, quiet: float = QUIET_SECONDS, longest: float = LONGEST_SECONDS) -> None:
        self._quiet = quiet
        self._longest = longest
        self._waiting: OrderedDict[Hashable, Callable[[], None]] = OrderedDict()
        self._asked = time.monotonic()
        self._running = False

    @property
    def busy(self) -> bool:
        """Whether a job waits or is done."""
        return self._running

    def note(self) -> None:
        """Remember that something else was asked for just now."""
        self._asked = time.monotonic()

    def add(self, key: Hashable, job: Callable[[], None]) -> None:
        """Let a job be done some time; one of each key waits at most, and too many are dropped."""
        if key in self._waiting or len(self._waiting) >= MOST_WAITING:
            return
        self._waiting[key] = job
        if not self._running:
            self._running = True
            gevent.spawn(self._run)

    def pause(self) -> None:
        """Wait until the worker is idle, but not for ever: called before each part of a job that takes long."""
        end = time.monotonic() + self._longest
        while (now := time.monotonic()) < min(self._asked + self._quiet, end):
            gevent.sleep(min(self._asked + self._quiet, end) - now)

    def _run(self) -> None:
        try:
            while self._waiting:
                self.pause()
                key, job = next(iter(self._waiting.items()))
                try:
                    job()
                except Exception:  # whatever it is, other jobs go on, and the image stays exact
                    log.warning("a measurement failed", exc_info=True)
                finally:
                    self._waiting.pop(key, None)
        finally:
            self._running = False
