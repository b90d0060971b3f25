"""Small reads of a blob: headers and boxes lie close together, and a remote should be asked once for all of them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from sidecar.interfaces import Blob
from sidecar.model import Buffer, ByteRange

BLOCK = 1 << 15


class Peek:
    """A Blob that keeps the blocks it has read from another one. For headers: nothing is ever given back."""

    def __init__(self, blob: Blob) -> None:
        self._blob = blob
        self._blocks: dict[int, bytes] = {}

    @property
    def name(self) -> str:
        """As of the blob beneath."""
        return self._blob.name

    @property
    def size(self) -> int:
        """As of the blob beneath."""
        return self._blob.size

    @property
    def etag(self) -> str:
        """As of the blob beneath."""
        return self._blob.etag

    @property
    def last_modified(self) -> datetime | None:
        """As of the blob beneath."""
        return self._blob.last_modified

    @property
    def path(self) -> Path | None:
        """As of the blob beneath."""
        return self._blob.path

    def read(self, ranges: Sequence[ByteRange]) -> Sequence[Buffer]:
        """The bytes of each range. Raises SourceError."""
        return [self.slice(start, stop) for start, stop in ranges]

    def slice(self, start: int, stop: int) -> bytes:
        """The bytes from `start` to `stop`, fewer where the blob ends before. Raises SourceError."""
        stop = min(stop, self.size)
        wanted = range(start // BLOCK, -(-stop // BLOCK))
        if missing := [index for index in wanted if index not in self._blocks]:
            self._fetch(missing[0], missing[-1] + 1)
        first = start - wanted.start * BLOCK
        return b"".join(self._blocks[index] for index in wanted)[first : first + max(stop - start, 0)]

    def _fetch(self, first: int, last: int) -> None:
        (data,) = self._blob.read([ByteRange(first * BLOCK, min(last * BLOCK, self.size))])
        for index in range(first, last):
            at = (index - first) * BLOCK
            self._blocks[index] = bytes(data[at : at + BLOCK])
