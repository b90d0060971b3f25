"""Memory that the allocator keeps for later is given back to the system.

glibc keeps what was freed: at the end of its heap up to a limit (`sidecar.limits.memory_limit.ALLOCATOR`), and below a
block that is still in use any amount. After a burst of many kinds of requests a worker of 70 MB may take 260, of which
malloc_trim(3) gives nearly all back. It takes some milliseconds and makes the next responses map their pages anew, so
it is called when enough has come together, and when a worker has nothing to do.

Before that the collector runs: what refers to itself would stay until so many objects are made that it runs by itself
(`sidecar.server.event_loop.tune_interpreter`), and few objects may hold much, as the frames of an error that libraries
keep do.
"""

from __future__ import annotations

import ctypes
import gc
import os
from collections.abc import Callable
from pathlib import Path
from time import monotonic
from typing import Final

import gevent

_MUCH: Final = 64 * 2**20
"""Bytes above what is promised to responses that are given back while requests are under way."""
_SOME: Final = 8 * 2**20
"""Bytes above what was needed at the least that are given back when there is nothing to do."""
_PAUSE: Final = 3.0
"""Seconds between two calls."""
_QUIET: Final = 10.0
"""Seconds without a response after which a worker has nothing to do but to measure images; between two calls then."""
_STATISTICS: Final = Path("/proc/self/statm")


def resident() -> int:
    """Return the bytes of this process that are in memory (proc_pid_statm(5)); 0 if the system does not tell."""
    try:
        return int(_STATISTICS.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


def trim() -> None:
    """Give back what the allocator keeps, if it is one that can: glibc's malloc_trim(3)."""
    call = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if call is not None:
        call(0)


class Heap:
    """The memory of this process. Belongs to one event loop."""

    def __init__(
        self,
        promised: Callable[[], int],
        busy: Callable[[], bool],
        *,
        measure: Callable[[], int] = resident,
        give_back: Callable[[], None] = lambda: gevent.get_hub().threadpool.apply(trim),
    ) -> None:
        """`promised` returns the bytes promised to responses, `busy` whether native calls are under way."""
        self._promised, self._busy = promised, busy
        self._measure, self._give_back = measure, give_back
        self._needed = measure()
        """Bytes that are in use beside what is promised, as far as is known."""
        self._last = self._quiet_since = monotonic()
        self._worked = False
        """Whether anything may have been freed since the last call."""

    def check(self) -> None:
        """Give memory back if it is time to; to be called about once a second. Waits in a greenlet."""
        now, promised = monotonic(), self._promised()
        if promised:
            self._quiet_since = now
        self._worked = self._worked or promised > 0 or self._busy()
        above = self._measure() - self._needed - promised
        if now - self._quiet_since < _QUIET:
            if above > _MUCH and now - self._last >= _PAUSE:
                self._trim()
        elif (self._worked or above > _SOME) and now - self._last >= _QUIET:
            gc.collect()
            self._trim()
            # Images may still be measured, and what that takes is not free yet.
            self._worked = self._busy()

    def _trim(self) -> None:
        self._give_back()
        self._last = monotonic()
        # What cannot be given back is needed: caches that have filled.
        self._needed = self._measure() - self._promised()
