"""Requests to an origin: a bounded number at once, each within its time, failures tried again after a pause."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Final, TypeVar

import gevent
from gevent.lock import BoundedSemaphore

from sidecar.errors import SourceTimeout
from sidecar.observability.metrics import RETRIES
from sidecar.remote.transport import Transient

T = TypeVar("T")

_FIRST_PAUSE: Final = 0.1
_LONGEST_PAUSE: Final = 3.0


class RetryPolicy:
    """Limits and retries of the requests to one origin.

    Not tenacity: the turn of each attempt, the origin's own pause and the deadline around all of it would stay ours.
    """

    def __init__(self, name: str, *, concurrency: int, timeout: float, attempts: int) -> None:
        self.name = name
        self._turns = BoundedSemaphore(concurrency)
        self._timeout = timeout
        self._attempts = attempts

    def run(self, attempt: Callable[[], T]) -> T:
        """Call until it does not raise Transient, at most as often and as long as set, and return its value.

        Raises SourceTimeout when the time is over; the last attempt's error when the attempts are used up, or if the
        origin asks for a longer pause than there is time.
        """
        timer = gevent.Timeout(self._timeout)
        try:
            with timer:
                return self._persist(attempt, time.monotonic() + self._timeout)
        except gevent.Timeout as expired:
            if expired is not timer:
                raise
            expired.__traceback__ = None  # it leads back to this frame, and to what was read
            raise SourceTimeout(f"{self.name}: no answer within {self._timeout:g} s") from None

    def _persist(self, attempt: Callable[[], T], deadline: float) -> T:
        failures = 0
        while True:
            try:
                with self._turns:
                    return attempt()
            except Transient as failure:
                failures += 1
                pause = max(_jittered(failures), failure.after)
                if failures == self._attempts or time.monotonic() + pause >= deadline:
                    raise failure.error from failure
            RETRIES.labels(self.name).inc()
            gevent.sleep(pause)


def _jittered(failures: int) -> float:
    """Return an exponential pause, random over the upper half: requests that failed together retry apart."""
    longest = min(_FIRST_PAUSE * 2 ** (failures - 1), _LONGEST_PAUSE)
    return random.uniform(longest / 2, longest)  # noqa: S311  # spreads load, guards nothing
