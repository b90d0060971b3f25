"""What is kept of images between processes: their packet indexes, and the heads of far files that need several reads.

One object serves all decoders of JPEG 2000 of a worker: one of them reads the head of a file, and another opens it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Final

from cachetools import LRUCache

from sidecar.plugin import Blob, Buffer, SourceError, StoreState
from sidecar_jp2.index.kept_index import fill, head_of, to_arrays
from sidecar_jp2.index.packet_index import PacketIndex
from sidecar_jp2.store.kept_entries import KeptEntries
from sidecar_jp2.store.packing import Arrays, Corrupt

PASSED_ON: Final = 8
"""Entries and heads on their way from opening an image to its index, at most; each is of one that is being opened."""
MOST_HEAD_BYTES: Final = 1 << 19
"""Larger heads are not kept. Profiles and metadata of most files take a tenth of it."""


class KeptImages:
    """What is kept of the images of a worker, by etag. All its methods are called in greenlets of one thread."""

    def __init__(self, entries: KeptEntries) -> None:
        self._entries = entries
        self.close = entries.close
        self._found: LRUCache[str, Arrays] = LRUCache(PASSED_ON)
        """An empty one: it was looked up, and nothing is kept."""
        self._heads: LRUCache[str, Mapping[int, Buffer]] = LRUCache(PASSED_ON)

    def head(self, blob: Blob) -> Mapping[int, Buffer]:
        """Return the blocks of a far file's head that are kept. They were read once; decoders read them as ever."""
        arrays = self._entry(blob.etag, far=blob.path is None)
        self._found[blob.etag] = arrays
        try:
            return head_of(arrays) if arrays else {}
        except Corrupt as error:
            self._refuse(blob.etag, error)
            return {}

    def note_head(self, blob: Blob, blocks: Mapping[int, Buffer]) -> None:
        """Keep the blocks of a far file's head, as soon as its index is kept."""
        if 0 < sum(map(len, blocks.values())) <= MOST_HEAD_BYTES:
            self._heads[blob.etag] = blocks

    def restore(self, etag: str, index: PacketIndex, *, far: bool) -> None:
        """Fill a new index with what is kept of it."""
        arrays = self._entry(etag, far=far)
        try:
            if arrays:
                fill(index, arrays)
                index.head = head_of(arrays)
        except Corrupt as error:
            self._refuse(etag, error)
        index.kept = index.extent.size if arrays else 0
        index.head = self._heads.pop(etag, index.head)

    def save(self, etag: str, index: PacketIndex, *, far: bool) -> None:
        """Keep an index that has grown."""
        index.kept = index.extent.size
        self._entries.save(etag, partial(to_arrays, index), far=far)

    def save_now(self, etag: str, index: PacketIndex, *, far: bool) -> None:
        """Keep an index, and return when that is done. Raises SourceError if it cannot be kept."""
        index.kept = index.extent.size
        if not self._entries.save_now(etag, partial(to_arrays, index), far=far):
            raise SourceError("what was learned of the image could not be kept")

    def is_complete(self, blob: Blob) -> bool:
        """Report whether all is kept of a file, so that it need not be opened for that."""
        return self._entries.is_complete(blob.etag, far=blob.path is None)

    def examine(self) -> Sequence[StoreState]:
        """Return how the places answer at which entries are kept."""
        return self._entries.examine()

    def _entry(self, etag: str, *, far: bool) -> Arrays:
        if etag in self._found:
            return self._found.pop(etag)
        return self._entries.load(etag, far=far) or {}

    def _refuse(self, etag: str, error: Corrupt) -> None:
        self._found.pop(etag, None)
        self._entries.refuse(etag, error)
