"""The processors, shared by the large work of all workers: as many native threads in all as there are cores.

Alone, a large answer is decoded on every core. As soon as other workers have large work too, each keeps to its part:
more threads than cores would end nothing sooner, and each holds the memory of a decoder. A worker that has more such
work than another is crowded: who asked it would be served sooner elsewhere.
"""

from __future__ import annotations

import fcntl
import mmap
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

_WORKERS: Final = 1024
_NOBODY, _IDLE, _MOST = 0, 1, 255


class Cores:
    """What one worker knows of the others: how many large works each has, a byte in a page that they share."""

    def __init__(self, count: int = 1, folder: Path | None = None) -> None:
        """`folder`: where the page is; None: there are no other workers."""
        self.count = count
        self._works = 0
        if folder is None:
            self._page, self._own = mmap.mmap(-1, _WORKERS), 0
            self._tell(0)
            return
        # Never closed: with it went the lock (fcntl_locking(2)).
        self._file = os.open(folder / "cores", os.O_RDWR | os.O_CREAT, 0o600)
        os.ftruncate(self._file, _WORKERS)
        self._page = mmap.mmap(self._file, _WORKERS)
        self._own = self._claim()
        self._tell(0)

    @contextmanager
    def used(self) -> Iterator[None]:
        """Have large work under way, or waiting for its turn."""
        self._tell(1)
        try:
            yield
        finally:
            self._tell(-1)

    def share(self) -> int:
        """How many threads this worker's large work may use now; rounded up, so that no core is idle."""
        return -(-self.count // max(1, sum(works > _IDLE for works in self._workers)))

    @property
    def crowded(self) -> bool:
        """Whether another worker has less of it, by more than one."""
        return self._page[self._own] > min(self._workers) + 1

    @property
    def _workers(self) -> bytes:
        """The bytes of those there are."""
        return self._page[:].replace(bytes([_NOBODY]), b"")

    def _tell(self, more: int) -> None:
        self._works += more
        self._page[self._own] = min(_IDLE + self._works, _MOST)

    def _claim(self) -> int:
        """A byte of one's own. The kernel gives back what the dead held, and who comes after them says what is true."""
        for place in range(_WORKERS):
            try:
                fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, place)
            except OSError:
                continue
            return place
        raise RuntimeError(f"there are more than {_WORKERS} workers")
