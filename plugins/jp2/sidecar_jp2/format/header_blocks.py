"""Reading headers in blocks: boxes and marker segments lie close together, so one request fetches several of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path

from sidecar.plugin import Blob, Buffer, ByteRange, Unsupported
from sidecar_jp2.format.rounding import ceil_div

BLOCK = 1 << 15
MOST_BYTES = 16 * 2**20
"""A main header, an ICC profile and XMP of the largest sizes that are read take less."""


class BlockCachedBlob:
    """A Blob that reads another one in blocks and keeps every block.

    For headers only: it never frees a block, and raises Unsupported if they become more than `MOST_BYTES`.
    """

    def __init__(self, blob: Blob, kept: Callable[[], Mapping[int, Buffer]] | None = None) -> None:
        """`kept` returns blocks that somebody has read before; it is called once, if the first one is not enough."""
        self._blob = blob
        self._kept = kept
        self._blocks: dict[int, memoryview] = {}
        """Views of what was read in one go: copies of a large profile's blocks would leave holes in the heap."""

    @property
    def name(self) -> str:
        return self._blob.name

    @property
    def size(self) -> int:
        return self._blob.size

    @property
    def etag(self) -> str:
        return self._blob.etag

    @property
    def last_modified(self) -> datetime | None:
        return self._blob.last_modified

    @property
    def path(self) -> Path | None:
        return self._blob.path

    @property
    def more(self) -> Mapping[int, Buffer]:
        """The blocks after the first one, by number."""
        return {number: data for number, data in self._blocks.items() if number}

    def read(self, ranges: Sequence[ByteRange]) -> Sequence[Buffer]:
        """Return the bytes of each range. Raises SourceError."""
        return [self.slice(start, stop) for start, stop in ranges]

    def slice(self, start: int, stop: int) -> bytes:
        """Return the bytes from `start` to `stop`, fewer if the blob ends before. Raises SourceError."""
        stop = min(stop, self.size)
        wanted = range(start // BLOCK, ceil_div(stop, BLOCK))
        missing = [index for index in wanted if index not in self._blocks]
        if self._kept and any(missing):
            self._take(self._kept())
            missing = [index for index in wanted if index not in self._blocks]
        if missing:
            self._fetch(missing[0], missing[-1] + 1)
        return b"".join(
            self._blocks[index][max(start - index * BLOCK, 0) : max(stop - index * BLOCK, 0)] for index in wanted
        )

    def _take(self, kept: Mapping[int, Buffer]) -> None:
        self._kept = None
        for number, data in kept.items():
            if len(data) == min(BLOCK, self.size - number * BLOCK):
                self._blocks[number] = memoryview(data)

    def _fetch(self, first: int, last: int) -> None:
        if (len(self._blocks) + last - first) * BLOCK > MOST_BYTES:
            raise Unsupported(f"headers of more than {MOST_BYTES} bytes")
        (data,) = self._blob.read([ByteRange(first * BLOCK, min(last * BLOCK, self.size))])
        for index in range(first, last):
            at = (index - first) * BLOCK
            self._blocks[index] = memoryview(data)[at : at + BLOCK]
