"""Reading ahead while a chain of tile-parts is walked: blocks whose size follows the length of the hops."""

from __future__ import annotations

from sidecar.plugin import Blob, ByteRange

LOCAL_BYTES = 16 * 1024
"""The block size for a file on this machine."""
REMOTE_BYTES, MAX_BYTES = 64 * 1024, 4 * 2**20
"""The first and the largest block size for a remote blob."""
SHORT_WALK = 5
"""Block sizes change after so many reads. The walk of an untiled image with one tile-part for each resolution is over
by then, and its last hops are long."""
LONG_HOP = 8
"""If a hop is longer than this many blocks, reading all the bytes between is not worth it."""


class ReadAhead:
    """The bytes of a codestream from given offsets on, read in blocks."""

    def __init__(self, blob: Blob, stop: int) -> None:
        """`stop` is the end of the codestream in the blob."""
        self._blob, self._stop = blob, stop
        self._start, self._data = 0, b""
        self._block, self._reads = (LOCAL_BYTES if blob.path else REMOTE_BYTES), 0

    def at(self, offset: int, least: int) -> memoryview:
        """Return at least `least` bytes from `offset` on; fewer only at the end of the codestream."""
        stop = min(offset + least, self._stop)
        if not self._start <= offset <= stop <= self._start + len(self._data):
            self._read(offset, least)
        return memoryview(self._data)[offset - self._start :]

    def _read(self, offset: int, least: int) -> None:
        self._reads += 1
        if self._reads > SHORT_WALK and not self._blob.path:
            # A round trip costs as much as some megabytes: from here on, blocks grow until they hold several hops.
            near = offset - self._start < LONG_HOP * self._block
            self._block = min(2 * self._block, MAX_BYTES) if near else max(self._block // 2, REMOTE_BYTES)
        stop = min(offset + max(least, self._block), self._stop)
        self._start, self._data = offset, b""
        if stop > offset:
            self._data = bytes(self._blob.read([ByteRange(offset, stop)])[0])
