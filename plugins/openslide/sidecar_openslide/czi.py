"""How large the tiles of a Zeiss slide are: from the directory of its subblocks, which OpenSlide does not show.

ZEISS, "CZI file format" (DS_ZISRAW-FileFormat), as OpenSlide reads it.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray

from sidecar.plugin import Blob, ByteRange, Malformed, Size, Unsupported

_FILE: Final = b"ZISRAWFILE"
_DIRECTORY: Final = b"ZISRAWDIRECTORY"
_HEADER: Final = 92
_POSITION: Final = 84
"""Where the header of the file has the place of the directory."""
_SEGMENT: Final = 160
"""Bytes of the directory before its entries."""
_ENTRY: Final = 32
_DIMENSION: Final = 20
_DIMENSIONS: Final = 28
"""Where an entry has the number of its dimensions."""
_STORED: Final = slice(16, 20)
_MOST: Final = 64 << 20
"""Bytes of a directory; an entry has some 150."""
_UNEVEN: Final = 4096
"""Entries that are walked one by one, if they differ in length."""


def largest_subblock(blob: Blob) -> Size | None:
    """Return the size of the subblock with most pixels; None if the blob is no Zeiss file.

    Raises Malformed if the directory lies outside the file, Unsupported if it is too large to go through; SourceError.
    """
    if not _bytes(blob, 0, min(16, blob.size)).startswith(_FILE):
        return None
    (position,) = struct.unpack_from("<q", _bytes(blob, 0, _HEADER), _POSITION)
    head = _bytes(blob, position, _SEGMENT)
    used, count = struct.unpack_from("<qi", head, 24)
    length = used + 32 - _SEGMENT
    if not head.startswith(_DIRECTORY) or count < 1 or length < count * _ENTRY:
        raise Malformed(f"{blob.name!r}: a Zeiss file without a directory of subblocks")
    if length > _MOST:
        raise Unsupported(f"{blob.name!r} has a directory of {length} bytes")
    largest = max(_sizes(_bytes(blob, position + _SEGMENT, length), count, blob.name), key=lambda size: size.area)
    return largest if largest.area else None


def _sizes(directory: bytes, count: int, name: str) -> Iterator[Size]:
    """Return the largest sizes: of all entries if they are alike, else of each."""
    (dimensions,) = struct.unpack_from("<i", directory, _DIMENSIONS)
    stride = _ENTRY + _DIMENSION * dimensions
    if dimensions >= 0 and stride * count == len(directory):
        entries = np.frombuffer(directory, np.uint8).reshape(count, stride)
        if (entries[:, _DIMENSIONS:_ENTRY] == entries[0, _DIMENSIONS:_ENTRY]).all():
            yield _largest(entries[:, _ENTRY:].reshape(count, dimensions, _DIMENSION))
            return
    if count > _UNEVEN:
        raise Unsupported(f"{name!r} has {count} subblocks of unlike descriptions")
    at = 0
    for _ in range(count):
        (dimensions,) = (
            struct.unpack_from("<i", directory, at + _DIMENSIONS) if at + _ENTRY <= len(directory) else (-1,)
        )
        start, at = at + _ENTRY, at + _ENTRY + _DIMENSION * dimensions
        if dimensions < 0 or at > len(directory):
            raise Malformed(f"{name!r}: a subblock is described outside the directory")
        yield _largest(np.frombuffer(directory[start:at], np.uint8).reshape(1, dimensions, _DIMENSION))


def _largest(dimensions: NDArray[np.uint8]) -> Size:
    """Return the largest size of some entries, from an array of entries x dimensions x bytes."""
    stored = np.ascontiguousarray(dimensions[..., _STORED]).view("<u4")[..., 0].astype(np.int64)
    # A name ends with its first NUL.
    sides = [
        np.where((dimensions[..., 0] == ord(letter)) & (dimensions[..., 1] == 0), stored, 0).max(axis=1, initial=0)
        for letter in "XY"
    ]
    widest = int(np.argmax(sides[0].astype(np.float64) * sides[1]))
    return Size(int(sides[0][widest]), int(sides[1][widest]))


def _bytes(blob: Blob, start: int, length: int) -> bytes:
    if start < 0 or start + length > blob.size:
        raise Malformed(f"{blob.name!r}: a segment leads out of the file")
    return bytes(blob.read([ByteRange(start, start + length)])[0])
