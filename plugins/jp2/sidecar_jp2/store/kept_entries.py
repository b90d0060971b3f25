"""Entries kept in layers: on the local disk, and in a store that a fleet shares, which is asked for far files only.

A file's identity holds the inode of a local file, so what one machine learned of those is of no use to another.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable, Sequence
from hashlib import blake2b
from typing import Final, TypeAlias

import gevent
from cachetools import LRUCache

from sidecar.plugin import CountedCache, Native, StoreState, Tally
from sidecar_jp2.store.packing import HEAD_BYTES, MOST_BYTES, VERSION, Arrays, Corrupt, Extent, Packing, extent_of
from sidecar_jp2.store.shared_store import SHARED, SharedStore
from sidecar_jp2.store.sqlite_store import SqliteStore

log = logging.getLogger(__name__)

ON_DISK: Final = CountedCache(
    "jp2_disk", "packet indexes on disk (`SIDECAR_JP2_INDEX_FOLDER`); looked up if they are not in memory"
)
REFUSED: Final = Tally(
    "jp2_refused", "packet indexes on disk or from afar that were damaged, foreign or not believable"
)
DELAY_SECONDS: Final = 2.0
"""An index grows with each request of a viewer. It is written when so much time has passed, not each time."""
MOST_WAITING: Final = 32
"""Entries that wait to be written; the oldest are given up."""

Snapshot: TypeAlias = Callable[[], tuple[Arrays, Extent]]
"""Returns what is known at the moment."""


class KeptEntries:
    """The entries of one worker, by the etag of a file. Its methods are called in greenlets of one thread."""

    def __init__(
        self,
        native: Native,
        packing: Packing,
        disk: SqliteStore | None = None,
        shared: SharedStore | None = None,
    ) -> None:
        self._native = native
        self._packing = packing
        self._disk = disk
        self.shared = shared
        self._waiting: OrderedDict[str, Snapshot] = OrderedDict()
        self._writer: gevent.Greenlet[[], bool] | None = None
        self._refused: LRUCache[str, bool] = LRUCache(256)
        """Keys of entries in the shared store that are to be replaced, whatever they say of themselves."""

    def load(self, etag: str, *, far: bool) -> Arrays | None:
        """Return what is kept of a file; None if that is nothing, or nothing that can be read."""
        key = self._key(etag)
        found = self._from_disk(key) if self._disk else None
        if found is None and far and self.shared:
            found = self._from_afar(self.shared, key)
        return found

    def save_now(self, etag: str, snapshot: Snapshot, *, far: bool) -> bool:
        """Keep what is known of a file, and return whether that worked wherever it should be kept."""
        key, (arrays, extent) = self._key(etag), snapshot()
        done = self._to_disk(key, arrays, extent)
        if not far or self.shared is None:
            return done
        return self._to_afar(self.shared, key, arrays, extent, surely=True) and done

    def save(self, etag: str, snapshot: Snapshot, *, far: bool) -> None:
        """Keep what is known of a file: on disk at once, elsewhere in a moment."""
        key = self._key(etag)
        if self._disk:
            self._to_disk(key, *snapshot())
        if far and self.shared:
            self._waiting[key] = snapshot
            self._waiting.move_to_end(key)
            while len(self._waiting) > MOST_WAITING:
                self._waiting.popitem(last=False)
            if self._writer is None:
                self._writer = gevent.spawn_later(DELAY_SECONDS, self._write)

    def refuse(self, etag: str, reason: object) -> None:
        """Drop an entry that does not fit its file, and have it replaced."""
        self._refuse(self._key(etag), reason)

    def is_complete(self, etag: str, *, far: bool) -> bool:
        """Report whether all is kept of a file, wherever it is kept. Only the beginning of the entry is read."""
        key = self._key(etag)
        heads = []
        if self._disk:
            heads.append(self._native(self._disk.head, key, HEAD_BYTES))
        if far and self.shared:
            heads.append(self.shared.get(key, HEAD_BYTES))
        extents = [extent_of(head or b"") for head in heads]
        return bool(extents) and all(extent and extent.complete for extent in extents)

    def examine(self) -> Sequence[StoreState]:
        """Return how each place answers."""
        found = [self._native(self._disk.examine)] if self._disk else []
        return [*found, self.shared.examine()] if self.shared else found

    def flush(self) -> bool:
        """Write what waits to be written; returns whether all of it was."""
        if self._writer is not None:
            self._writer.kill()
        return self._write()

    def close(self) -> None:
        """Write what waits, and close the connections. Everything can be used again."""
        if self.shared:
            self.flush()
            self.shared.close()

    def _key(self, etag: str) -> str:
        return key_of(etag, self._packing.tag)

    def _from_disk(self, key: str) -> Arrays | None:
        assert self._disk is not None  # noqa: S101  # asked only if there is one
        data = self._native(self._disk.get, key)
        ON_DISK.looked_up(hits=data is not None, misses=data is None)
        return None if data is None else self._unpacked(key, data)

    def _from_afar(self, shared: SharedStore, key: str) -> Arrays | None:
        data = shared.get(key, MOST_BYTES + 1)
        SHARED.looked_up(hits=data is not None, misses=data is None)
        found = None if data is None else self._unpacked(key, data)
        if found is not None and data and self._disk:
            self._native(self._disk.put, key, data)
        return found

    def _unpacked(self, key: str, data: bytes) -> Arrays | None:
        try:
            return self._native(self._packing.unpack, key, data)
        except Corrupt as error:
            self._refuse(key, error)
            return None

    def _refuse(self, key: str, reason: object) -> None:
        REFUSED.add()
        log.warning("refusing a packet index that was kept: %s", reason)
        if self._disk:
            self._native(self._disk.drop, key)
        self._refused[key] = True

    def _write(self) -> bool:
        done = True
        try:
            while self._waiting and self.shared:
                key, snapshot = self._waiting.popitem(last=False)
                try:
                    done &= self._to_afar(self.shared, key, *snapshot())
                except gevent.GreenletExit:  # of `flush`, which goes on with it
                    self._waiting.setdefault(key, snapshot)
                    raise
        finally:
            self._writer = None
        return done

    def _to_disk(self, key: str, arrays: Arrays, extent: Extent) -> bool:
        if self._disk is None:
            return True
        return self._native(_put_packed, self._disk, self._packing, key, arrays, extent)

    def _to_afar(self, shared: SharedStore, key: str, arrays: Arrays, extent: Extent, *, surely: bool = False) -> bool:
        """Write an entry, unless what is there knows as much: another machine may have learned more meanwhile."""
        there = extent_of(shared.get(key, HEAD_BYTES) or b"")
        if there and there.covers(extent) and key not in self._refused:
            return True
        data = self._native(self._packing.pack, key, arrays, extent)
        if len(data) > MOST_BYTES:
            return True
        self._refused.pop(key, None)
        return shared.put_surely(key, data) if surely else shared.put(key, data)


def _put_packed(disk: SqliteStore, packing: Packing, key: str, arrays: Arrays, extent: Extent) -> bool:
    return disk.put(key, packing.pack(key, arrays, extent))


def key_of(etag: str, tag: str = "") -> str:
    """Return the name of a file's entry in every store: it shows nothing of the file. `tag` is that of the packing."""
    digest = blake2b(etag.encode("utf-8", "surrogatepass"), digest_size=20).hexdigest()
    return f"{VERSION}{tag}/{digest[:2]}/{digest}"
