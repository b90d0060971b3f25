"""For how long other greenlets, or other threads, could not go on while a call ran.

The time for which a thread that takes part waits for a processor does not count: it tells of what else the machine does
(proc_pid_schedstat, Linux only; elsewhere all time counts).
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from threading import get_native_id
from typing import Final

import gevent

_TICK: Final = 0.0002
"""Seconds between two signs of life, and the interval at which Python code passes the GIL on."""
_SCHEDULED: Final = "/proc/self/task/{}/schedstat"
"""How long a thread has run, and how long it has waited for a processor, in nanoseconds."""


@dataclass(frozen=True, slots=True)
class Standstill:
    """How long a call took, and the longest part of it in which nothing else went on, in seconds."""

    seconds: float
    """Without the time for which its own thread waited for a processor."""
    longest: float
    share: float
    """The longest standstill as a part of the whole: near 0 if the call lets others go on, near 1 if not."""


@dataclass(frozen=True, slots=True)
class _Tick:
    """A moment, and for how long each thread had waited for a processor until then."""

    moment: float
    waited: Sequence[float]
    """That which runs the call is the last."""

    def waits(self, later: _Tick) -> Sequence[float]:
        """Return for how long each thread has waited between two moments; nothing if the system does not say."""
        return [after - before for before, after in zip(self.waited, later.waited, strict=True)]

    def gap(self, later: _Tick) -> float:
        """Return the time between two moments, less that for which a thread waited.

        Threads mostly wait together, so the longest wait stands for all: the sum could be longer than the time.
        """
        return max(later.moment - self.moment - max(self.waits(later), default=0.0), 0.0)


class _Observer:
    """Gives signs of life."""

    def __init__(self, threads: Iterable[int], files: ExitStack) -> None:
        """`threads` take part, by their native ids, the last of them runs the call; `files` closes what is opened."""
        paths = [Path(_SCHEDULED.format(thread)) for thread in threads]
        opened = [files.enter_context(path.open("rb", buffering=0)) for path in paths if path.exists()]
        self._descriptors = [file.fileno() for file in opened]
        self.ticks: list[_Tick] = []

    def now(self) -> _Tick:
        """Return this moment; any thread may ask."""
        waited = [int(os.pread(descriptor, 64, 0).split()[1]) / 1e9 for descriptor in self._descriptors]
        return _Tick(time.perf_counter(), waited)

    def tick(self) -> None:
        """Give a sign of life."""
        self.ticks.append(self.now())


class _Timed:
    """A call that is made once, and when it began and ended."""

    def __init__(self, call: Callable[[], object], now: Callable[[], _Tick]) -> None:
        self._call, self._now = call, now
        self._ends: list[_Tick] = []
        self._failed: list[BaseException] = []

    def __call__(self) -> None:
        self._ends.append(self._now())
        try:
            self._call()
        except BaseException as error:  # noqa: BLE001  # raised again below
            self._failed.append(error)
        self._ends.append(self._now())

    def standstill(self, ticks: Iterable[_Tick]) -> Standstill:
        """Return what the ticks show. Raises what the call has raised."""
        if self._failed:
            raise self._failed.pop()
        start, stop = self._ends
        signs = [start, *(tick for tick in ticks if start.moment < tick.moment < stop.moment), stop]
        gaps = [earlier.gap(later) for earlier, later in pairwise(signs)]
        took = stop.moment - start.moment - sum(start.waits(stop)[-1:])
        return Standstill(took, max(gaps), max(gaps) / sum(gaps) if any(gaps) else 0.0)


def of_threads(call: Callable[[], object]) -> Standstill:
    """Run a call in another thread and measure for how long this one waits for the GIL. Raises what the call raises."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(_TICK)
    try:
        with ThreadPoolExecutor(1) as pool, ExitStack() as files:
            observer = _Observer([get_native_id(), pool.submit(get_native_id).result()], files)
            timed = _Timed(call, observer.now)
            running = pool.submit(timed)
            while not running.done():
                time.sleep(_TICK)
                observer.tick()
    finally:
        sys.setswitchinterval(interval)
    return timed.standstill(observer.ticks)


def of_greenlets(call: Callable[[], object]) -> Standstill:
    """Run a call in a greenlet and measure for how long no other greenlet runs. Raises what the call raises."""
    with ExitStack() as files:
        observer = _Observer([get_native_id()], files)
        timed = _Timed(call, observer.now)
        greenlet = gevent.spawn(timed)
        while not greenlet.dead:
            gevent.sleep(_TICK)
            observer.tick()
    return timed.standstill(observer.ticks)
