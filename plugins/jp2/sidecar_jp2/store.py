"""Where packet indexes are kept: in memory within a budget, and on disk for other workers and the next start."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager

from sidecar.interfaces import Blob, Native
from sidecar_jp2 import snapshot
from sidecar_jp2.codestream import MainHeader
from sidecar_jp2.disk import Disk
from sidecar_jp2.index import PacketIndex
from sidecar_jp2.openjpeg import Area
from sidecar_jp2.sparse import SmallCodestream

log = logging.getLogger(__name__)

ENTRY_BYTES = 4096
"""The memory of an index beside what it counts itself: objects, names, a parsed header."""


class IndexStore:
    """The packet indexes of one worker, by etag. Everything here is called in greenlets."""

    def __init__(self, native: Native, memory: int, disk: Disk | None = None) -> None:
        """Keep about `memory` bytes of indexes; `native` runs what takes longer."""
        self._native = native
        self._memory = memory
        self._disk = disk
        self._indexes: OrderedDict[str, PacketIndex] = OrderedDict()
        self._sizes: dict[str, int] = {}

    @property
    def nbytes(self) -> int:
        """About how much memory the indexes take."""
        return sum(self._sizes.values())

    def cutter(self, blob: Blob, header: MainHeader, stop: int) -> IndexCutter:
        """The reader's way to the index of a blob, whose codestream ends at `stop`."""
        return IndexCutter(self, f"{blob.etag}/{header.start}/{stop}", blob, header, stop)

    @contextmanager
    def lease(self, key: str, header: MainHeader, stop: int) -> Iterator[PacketIndex]:
        """The index of a codestream, new or known; what it learns meanwhile is kept."""
        index = self._index(key, header, stop)
        known = index.chain.learned
        try:
            yield index
        finally:
            if index.chain.learned != known:
                self._save(key, index)
            self._make_room(key)

    def _index(self, key: str, header: MainHeader, stop: int) -> PacketIndex:
        if key not in self._indexes:
            index = PacketIndex(header, stop, self._native)
            self._load(key, index)
            # Another greenlet may have come first while this one waited for the disk.
            self._indexes.setdefault(key, index)
        self._indexes.move_to_end(key)
        return self._indexes[key]

    def _make_room(self, key: str) -> None:
        """Drop the indexes not used for longest, the last one used never."""
        if key in self._indexes:
            self._sizes[key] = self._indexes[key].nbytes + ENTRY_BYTES
        while self.nbytes > self._memory and len(self._indexes) > 1:
            oldest, _ = self._indexes.popitem(last=False)
            self._sizes.pop(oldest, None)

    def _load(self, key: str, index: PacketIndex) -> None:
        data = self._native(self._disk.get, key) if self._disk else None
        if data is None or self._disk is None:
            return
        try:
            snapshot.restore(index.chain, data)
        except snapshot.Corrupt as error:
            log.warning("the packet index of %s on disk is dropped: %s", key, error)
            self._native(self._disk.drop, key)

    def _save(self, key: str, index: PacketIndex) -> None:
        if self._disk is not None:
            self._native(_write, self._disk, key, snapshot.take(index.chain))


def _write(disk: Disk, key: str, arrays: snapshot.Arrays) -> None:
    disk.put(key, snapshot.dump(arrays))


class IndexCutter:
    """Cuts the codestream of one blob, by an index that the store may drop and learn again."""

    def __init__(self, store: IndexStore, key: str, blob: Blob, header: MainHeader, stop: int) -> None:
        self._store = store
        self._key = key
        self._blob = blob
        self._header = header
        self._stop = stop

    def cut(self, area: Area) -> SmallCodestream | None:
        """What decoding an area takes; None where only the whole codestream will surely do.

        Called in a greenlet; may read headers of tile-parts. Raises Malformed, SourceError.
        """
        with self._store.lease(self._key, self._header, self._stop) as index:
            return index.cut(area, self._blob)
