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
    longest: float

    @property
    def share(self) -> float:
        """The longest standstill as a part of the whole: near 0 if the call lets others go on, near 1 if not."""
        return self.longest / self.seconds if self.seconds else 0.0


@dataclass(frozen=True, slots=True)
class _Tick:
    """A sign of life: when, and for how long the threads had waited for a processor until then."""

    moment: float
    waited: float


class _Observer:
    """Gives signs of life, the first at once."""

    def __init__(self, threads: Iterable[int], files: ExitStack) -> None:
        """`threads` take part, by their native ids; `files` closes what is opened."""
        paths = [Path(_SCHEDULED.format(thread)) for thread in threads]
        opened = [files.enter_context(path.open("rb", buffering=0)) for path in paths if path.exists()]
        self._descriptors = [file.fileno() for file in opened]
        self.ticks: list[_Tick] = []
        self.tick()

    def tick(self) -> None:
        """Give a sign of life."""
        waited = sum(int(os.pread(descriptor, 64, 0).split()[1]) for descriptor in self._descriptors) / 1e9
        self.ticks.append(_Tick(time.perf_counter(), waited))


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

    def standstill(self, ticks: Sequence[_Tick]) -> Standstill:
        """Return what the ticks show, of which the first was before the call and the last after it."""
        if self._failed:
            raise self._failed.pop()
        start, stop = self._times
        gaps = [
            max(min(later.moment, stop) - max(earlier.moment, start) - (later.waited - earlier.waited), 0.0)
            for earlier, later in pairwise(ticks)
        ]
        return Standstill(sum(gaps), max(gaps))


def of_threads(call: Callable[[], object]) -> Standstill:
    """Run a call in another thread and measure for how long this one waits for the GIL. Raises what the call raises."""
    timed = _Timed(call)
    interval = sys.getswitchinterval()
    sys.setswitchinterval(_TICK)
    try:
        with ThreadPoolExecutor(1) as pool, ExitStack() as files:
            observer = _Observer([get_native_id(), pool.submit(get_native_id).result()], files)
            running = pool.submit(timed)
            while not running.done():
                time.sleep(_TICK)
                observer.tick()
    finally:
        sys.setswitchinterval(interval)
    return timed.standstill(observer.ticks)


def of_greenlets(call: Callable[[], object]) -> Standstill:
    """Run a call in a greenlet and measure for how long no other greenlet runs. Raises what the call raises."""
    timed = _Timed(call)
    with ExitStack() as files:
        observer = _Observer([get_native_id()], files)
        greenlet = gevent.spawn(timed)
        while not greenlet.dead:
            gevent.sleep(_TICK)
            observer.tick()
    return timed.standstill(observer.ticks)
