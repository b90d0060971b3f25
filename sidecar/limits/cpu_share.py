"""The processors, shared by the work of one kind of all workers: as many native threads in all as there are cores.

There are two kinds, each with a page of its own: large responses, and the decodes of small ones.

Alone, a large response is decoded on every core. As soon as other workers have large responses too, each keeps to its
part: more threads than cores would finish nothing sooner, and each holds the memory of a decoder. A worker that has
more such work than another is crowded: a new request would be served sooner elsewhere.
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
_FREE, _IDLE, _MOST = 0, 1, 255


class CpuShare:
    """How much work of a kind each worker has, as large responses: a byte for each worker in a page that they share."""

    def __init__(self, count: int = 1, folder: Path | None = None, name: str = "cores") -> None:
        """`folder`: where the page is, of this name; None: there are no other workers.

        Raises RuntimeError beyond 1024 workers.
        """
        self.count = count
        self._responses = 0
        if folder is None:
            self._page, self._own = mmap.mmap(-1, _WORKERS), 0
        else:
            # Never closed: closing it would release the lock (fcntl_locking(2)).
            self._file = os.open(folder / name, os.O_RDWR | os.O_CREAT, 0o600)
            # Not ftruncate(2): a page that is not on the disk would end the process if the disk is full (mmap(2)).
            os.posix_fallocate(self._file, 0, _WORKERS)
            self._page = mmap.mmap(self._file, _WORKERS)
            self._own = self._claim()
        self._publish(0)

    @contextmanager
    def used(self) -> Iterator[None]:
        """Count a large response, under way or waiting for its turn."""
        self.begin()
        try:
            yield
        finally:
            self.end()

    def begin(self) -> None:
        """Count one more."""
        self._publish(1)

    def end(self) -> None:
        """Count one less."""
        self._publish(-1)

    def share(self) -> int:
        """Return how many threads this worker's work of the kind may use now; rounded up, so that no core is idle."""
        return -(-self.count // max(1, sum(responses > _IDLE for responses in self._workers)))

    @property
    def crowded(self) -> bool:
        """Whether another worker has fewer large responses, by more than one."""
        return self._page[self._own] > min(self._workers) + 1

    @property
    def _workers(self) -> bytes:
        """The bytes of the workers that exist."""
        return self._page[:].replace(bytes([_FREE]), b"")

    def _publish(self, more: int) -> None:
        self._responses += more
        self._page[self._own] = min(_IDLE + self._responses, _MOST)

    def _claim(self) -> int:
        """Claim a free byte. The kernel releases the locks of ended workers; the next owner overwrites the value."""
        for place in range(_WORKERS):
            try:
                fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, place)
            except OSError:
                continue
            return place
        raise RuntimeError(f"there are more than {_WORKERS} workers")
