"""What keeps the event loop from standing still, and the measure of when it does."""

from __future__ import annotations

import gc
import sys
from collections import deque
from time import monotonic
from typing import Final, NoReturn

import gevent

from sidecar.observability.logging import log
from sidecar.observability.metrics import LATE

_STEP: Final = 0.02
"""Seconds between two samples: a stall shows as at least its length less this."""
_WINDOW: Final = 60.0
_WORTH_LOGGING: Final = 0.1
_SWITCH: Final = 0.0005
"""Seconds that the loop waits for the GIL while Python code runs in a native thread; the default is ten times that."""
_THRESHOLDS: Final = (50_000, 20, 100)


def tune_interpreter() -> None:
    """Keep the interpreter from holding the loop up; called once, when everything is loaded.

    What is loaded stays: frozen, the collector never looks at it again. Requests make no cycles, so collections find
    nothing of ours and may be rare; they are not switched off, as libraries may differ.
    """
    sys.setswitchinterval(_SWITCH)
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_THRESHOLDS)


class Lateness:
    """How late the event loop runs what is due: sampled all the time, at about 0.1 % of a core."""

    def __init__(self) -> None:
        # Of the last minute, only those that nothing later exceeds: the first is the largest.
        self._late: deque[tuple[float, float]] = deque()

    @property
    def longest(self) -> float:
        """Seconds, within the last minute."""
        return self._late[0][1] if self._late else 0.0

    def run(self) -> NoReturn:
        """Measure for ever; made for a greenlet of its own."""
        due = monotonic() + _STEP
        while True:
            gevent.sleep(due - monotonic())
            now = monotonic()
            self.sample(now, max(0.0, now - due))
            due = now + _STEP

    def sample(self, now: float, late: float) -> None:
        """Take one sample, in seconds."""
        LATE.observe(late)
        if late > _WORTH_LOGGING:
            log.warning("the event loop stood still", milliseconds=round(late * 1000))
        while self._late and self._late[-1][1] <= late:
            self._late.pop()
        self._late.append((now, late))
        while self._late[0][0] < now - _WINDOW:
            self._late.popleft()
