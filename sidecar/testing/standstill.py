"""For how long other greenlets, or other threads, could not go on while a call ran."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from threading import Thread
from typing import Final

import gevent

_TICK: Final = 0.0002
"""Seconds between two signs of life, and the interval at which Python code passes the GIL on."""


@dataclass(frozen=True, slots=True)
class Standstill:
    """How long a call took, and the longest part of it in which nothing else went on."""

    seconds: float
    longest: float

    @property
    def share(self) -> float:
        """The longest standstill as a part of the whole: near 0 if the call lets others go on, near 1 if not."""
        return self.longest / self.seconds


class _Timed:
    """A call that notes when it began and ended, and keeps what it raised."""

    def __init__(self, call: Callable[[], object]) -> None:
        self._call = call
        self._times: list[float] = []
        self._failed: list[BaseException] = []

    def __call__(self) -> None:
        self._times.append(time.perf_counter())
        try:
            self._call()
        except BaseException as error:  # noqa: BLE001  # raised again by who measures
            self._failed.append(error)
        self._times.append(time.perf_counter())

    def standstill(self, ticks: Sequence[float]) -> Standstill:
        if self._failed:
            raise self._failed.pop()
        start, stop = self._times
        moments = [start, *(tick for tick in ticks if start < tick < stop), stop]
        return Standstill(stop - start, max(later - earlier for earlier, later in pairwise(moments)))


def of_threads(call: Callable[[], object]) -> Standstill:
    """Run a call in another thread and measure for how long this one waits for the GIL. Raises what the call raises."""
    timed, ticks = _Timed(call), list[float]()
    interval = sys.getswitchinterval()
    sys.setswitchinterval(_TICK)
    try:
        thread = Thread(target=timed)
        thread.start()
        while thread.is_alive():
            ticks.append(time.perf_counter())
            time.sleep(_TICK)
        thread.join()
    finally:
        sys.setswitchinterval(interval)
    return timed.standstill(ticks)


def of_greenlets(call: Callable[[], object]) -> Standstill:
    """Run a call in a greenlet and measure for how long no other greenlet runs. Raises what the call raises."""
    timed, ticks = _Timed(call), list[float]()
    greenlet = gevent.spawn(timed)
    while not greenlet.dead:
        ticks.append(time.perf_counter())
        gevent.sleep(_TICK)
    return timed.standstill(ticks)
