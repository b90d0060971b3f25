"""A circuit breaker: after a failure nothing is tried for a while, then one call, and others again once that worked."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

FIRST_PAUSE: Final = 2.0
LONGEST_PAUSE: Final = 60.0
"""Seconds without a try: the first after a failure, doubled with each further one up to the other."""


class Breaker:
    """Says whether something may be tried. Belongs to one event loop."""

    def __init__(self, trial: float, clock: Callable[[], float] = time.monotonic) -> None:
        """`trial`: seconds that a call takes at most."""
        self._trial = trial
        self._clock = clock
        self._failures = 0
        self._closed_from = float("-inf")

    @property
    def broken(self) -> bool:
        """Whether the last call failed."""
        return self._failures > 0

    def allows(self) -> bool:
        """Report whether a call may be made now; after a pause to one caller only, until that one has an answer."""
        now = self._clock()
        if now < self._closed_from:
            return False
        if self._failures:
            self._closed_from = now + self._trial
        return True

    def succeeded(self) -> None:
        """Note an answer."""
        self._failures, self._closed_from = 0, float("-inf")

    def failed(self) -> None:
        """Note a failure; those of calls that were under way together count once."""
        now = self._clock()
        if self._failures and now < self._closed_from - self._trial:
            return
        self._failures += 1
        self._closed_from = now + min(FIRST_PAUSE * 2 ** (self._failures - 1), LONGEST_PAUSE)
