"""The packet indexes of a worker: in memory within a budget, and on disk for other workers and the next start."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from cachetools import LRUCache

from sidecar.plugin import CountedCache, Native
from sidecar_jp2.format.main_header import MainHeader
from sidecar_jp2.index import serialization
from sidecar_jp2.index.packet_index import PacketIndex
from sidecar_jp2.index.sqlite_cache import SqliteCache

log = logging.getLogger(__name__)

INDEXES: Final = CountedCache("jp2_indexes", "packet indexes in memory (`SIDECAR_JP2_INDEX_MEMORY_BYTES`)")
ON_DISK: Final = CountedCache(
    "jp2_disk", "packet indexes on disk (`SIDECAR_JP2_INDEX_FOLDER`); looked up if they are not in memory"
)
ENTRY_BYTES = 4096
"""The memory of an index beside what it counts itself: objects, names."""


class IndexCache:
    """The packet indexes of one worker, by etag. All its methods are called in greenlets of one thread."""

    def __init__(
        self, native: Native, memory: int, disk: SqliteCache | None = None, lookups: CountedCache = INDEXES
    ) -> None:
        """Keep about `memory` bytes of indexes; `native` runs what takes long, `lookups` counts them."""
        self._native = native
        self._disk = disk
        self._lookups = lookups
        limit = max(memory, 1)
        self.limit = limit
        """Bytes that are kept at most."""
        # An index larger than the whole budget counts as the whole budget: it stays, alone, while it is the last used.
        self._indexes: LRUCache[str, PacketIndex] = LRUCache(
            limit, getsizeof=lambda index: min(index.nbytes + ENTRY_BYTES, limit)
        )

    @property
    def nbytes(self) -> int:
        """The approximate memory of the indexes in bytes, as measured at the end of their last use."""
        return int(self._indexes.currsize)

    @contextmanager
    def lease(self, etag: str, header: MainHeader, stop: int, name: str = "") -> Iterator[PacketIndex]:
        """Lend the index of the codestream that ends at `stop` in a blob; what it learns meanwhile is kept.

        `name` is for messages.
        """
        key = f"{etag}/{header.start}/{stop}"
        index = self._index(key, header, stop, name)
        known = index.tile_parts.revision, index.losses.revision
        try:
            yield index
        finally:
            if (index.tile_parts.revision, index.losses.revision) != known:
                self._save(key, index)
            self._measure(key)

    def _index(self, key: str, header: MainHeader, stop: int, name: str) -> PacketIndex:
        index = self._indexes.get(key)
        self._lookups.looked_up(hits=index is not None, misses=index is None)
        if index is None:
            index = PacketIndex(header, stop, self._native, name)
            self._load(key, index)
            # Another greenlet may have been faster while this one waited for the disk.
            index = self._indexes.setdefault(key, index)
        return index

    def _measure(self, key: str) -> None:
        """Count the size of an index again, which may have grown; the least recently used ones make room."""
        if (index := self._indexes.pop(key, None)) is not None:
            self._indexes[key] = index

    def _load(self, key: str, index: PacketIndex) -> None:
        if self._disk is None:
            return
        data = self._native(self._disk.get, key)
        ON_DISK.looked_up(hits=data is not None, misses=data is None)
        if data is None:
            return
        try:
            index.losses.fill(serialization.restore(index.tile_parts, data))
        except serialization.Corrupt as error:
            log.warning("dropping the packet index of %s from the disk: %s", key, error)
            self._native(self._disk.drop, key)

    def _save(self, key: str, index: PacketIndex) -> None:
        if self._disk is not None:
            self._native(_write, self._disk, key, _arrays(index))


def _arrays(index: PacketIndex) -> serialization.Arrays:
    return {**serialization.to_arrays(index.tile_parts), "losses": index.losses.to_array()}


def _write(disk: SqliteCache, key: str, arrays: serialization.Arrays) -> None:
    disk.put(key, serialization.dump(arrays))
