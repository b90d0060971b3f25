"""How often workers have ended by themselves, in a page of memory that the master shares with its workers.

As `sidecar.server.reloads`: the page is made when the master imports this module, and workers have it by being forked.
"""

from __future__ import annotations

import mmap
import struct
import time
from typing import Final

_LAYOUT: Final = struct.Struct("=Qd")


class Restarts:
    """Since when the master runs, and how many workers have ended since without being told to."""

    def __init__(self) -> None:
        self._page = mmap.mmap(-1, _LAYOUT.size)
        self._page[:] = _LAYOUT.pack(0, time.time())

    @property
    def workers(self) -> int:
        """Workers that have ended."""
        count, _ = _LAYOUT.unpack(self._page[:])
        return int(count)

    @property
    def started(self) -> float:
        """When this began, in seconds since 1970."""
        _, began = _LAYOUT.unpack(self._page[:])
        return float(began)

    def count(self) -> None:
        """Count a worker that has ended. Called in the master only."""
        self._page[:] = _LAYOUT.pack(self.workers + 1, self.started)


RESTARTS: Final = Restarts()
