"""The packet indexes of a worker: in memory within a budget, and kept elsewhere for others and the next start."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final
from weakref import WeakValueDictionary

from cachetools import LRUCache
from gevent.lock import BoundedSemaphore

from sidecar.plugin import Blob, CountedCache, Native
from sidecar_jp2.format.main_header import MainHeader
from sidecar_jp2.index.kept_images import KeptImages
from sidecar_jp2.index.packet_index import PacketIndex

INDEXES: Final = CountedCache("jp2_indexes", "packet indexes in memory (`SIDECAR_JP2_INDEX_MEMORY_BYTES`)")
ENTRY_BYTES = 4096
"""The memory of an index beside what it counts itself: objects, names."""


class IndexCache:
    """The packet indexes of one worker, by etag. All its methods are called in greenlets of one thread."""

    def __init__(
        self, native: Native, memory: int, kept: KeptImages | None = None, lookups: CountedCache = INDEXES
    ) -> None:
        """Keep about `memory` bytes of indexes; `native` runs what takes long, `lookups` counts them."""
        self._native = native
        self.kept = kept
        """What is kept outside of this process, if anything is."""
        self._lookups = lookups
        limit = max(memory, 1)
        self.limit = limit
        """Bytes that are kept at most."""
        # An index larger than the whole budget counts as the whole budget: it stays, alone, while it is the last used.
        self._indexes: LRUCache[str, PacketIndex] = LRUCache(
            limit, getsizeof=lambda index: min(index.nbytes + ENTRY_BYTES, limit)
        )

        self._turns: WeakValueDictionary[str, BoundedSemaphore] = WeakValueDictionary()

    @property
    def nbytes(self) -> int:
        """The approximate memory of the indexes in bytes, as measured at the end of their last use."""
        return int(self._indexes.currsize)

    @contextmanager
    def lease(
        self, etag: str, header: MainHeader, stop: int, name: str = "", *, far: bool = False
    ) -> Iterator[PacketIndex]:
        """Lend the index of the codestream that ends at `stop` in a blob; what it learns meanwhile is kept.

        `name` is for messages; `far`: the blob is not a file on this machine.
        """
        key = f"{etag}/{header.start}/{stop}"
        index = self._indexes.get(key)
        self._lookups.looked_up(hits=index is not None, misses=index is None)
        if index is None:
            index = self._made(key, PacketIndex(header, stop, self._native, name), etag, far=far)
        try:
            yield index
        finally:
            if self.kept and index.extent.size != index.kept:
                self.kept.save(etag, index, far=far)
            self._measure(key)

    def learn(self, blob: Blob, header: MainHeader, stop: int) -> None:
        """Read all that an index can hold, and keep it outside of this process. Raises SourceError."""
        far = blob.path is None
        with self.lease(blob.etag, header, stop, blob.name, far=far) as index:
            index.learn(blob)
            if self.kept:
                self.kept.save_now(blob.etag, index, far=far)

    def _made(self, key: str, empty: PacketIndex, etag: str, *, far: bool) -> PacketIndex:
        """Return an index filled with what is kept of it: one greenlet looks that up, and the others wait for it."""
        with self._turns.get(key) or self._turns.setdefault(key, BoundedSemaphore(1)):
            index = self._indexes.get(key)
            if index is None:
                if self.kept:
                    self.kept.restore(etag, empty, far=far)
                index = self._indexes[key] = empty
            return index

    def _measure(self, key: str) -> None:
        """Count the size of an index again, which may have grown; the least recently used ones make room."""
        if (index := self._indexes.pop(key, None)) is not None:
            self._indexes[key] = index
