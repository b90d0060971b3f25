"""What became of reloads, in a page of memory that the master shares with its workers: it needs no disk.

The page is made when the master imports this module, and workers have it by being forked.
"""

from __future__ import annotations

import mmap
import struct
from typing import Final

_LAYOUT: Final = struct.Struct("=Q?")


class Reloads:
    """How many reloads have failed, and whether the last one did."""

    def __init__(self) -> None:
        self._page = mmap.mmap(-1, _LAYOUT.size)

    @property
    def failed(self) -> int:
        """Since the master has started."""
        count, _ = _LAYOUT.unpack(self._page[:])
        return int(count)

    @property
    def last_failed(self) -> bool:
        """Whether the last one failed; False if there was none."""
        _, last = _LAYOUT.unpack(self._page[:])
        return bool(last)

    def count(self, *, failed: bool) -> None:
        """Count one. Called in the master only."""
        self._page[:] = _LAYOUT.pack(self.failed + failed, failed)


RELOADS: Final = Reloads()
