"""JPEG streams made of the tables that all tiles share and of one tile (TIFF Technical Note 2; ITU-T T.81 annex B).

What a tile's samples are, the TIFF says. Decoders and browsers believe the markers of the stream instead, JFIF before
Adobe's, and guess without them. So those of tiles and tables are left out, and one is put in that says the same: JFIF
for YCbCr and grey (ITU-T T.871), Adobe's APP14 with transform 0 for RGB, as Aperio has it (ITU-T T.872 6.5.3).
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

from sidecar.plugin import Buffer, DecodeError, Size
from sidecar_tiff.slide import Coding

SOI: Final = b"\xff\xd8"
EOI: Final = b"\xff\xd9"
_JFIF: Final = b"\xff\xe0\0\x10JFIF\0\x01\x01\0\0\x01\0\x01\0\0"
_ADOBE_RGB: Final = b"\xff\xee\0\x0eAdobe\0\x64\0\0\0\0\0"
_DHT, _DQT, _DRI, _COM, _SOS = 0xC4, 0xDB, 0xDD, 0xFE, 0xDA
_SEQUENTIAL: Final = frozenset({0xC0, 0xC1})
"""SOF0 and SOF1: Huffman coding, each block decoded once. Progressive files hold all of a tile's coefficients."""
_TABLES: Final = frozenset({_DHT, _DQT, _DRI})
_APPLICATION: Final = range(0xE0, 0xF0)
_MOST_SEGMENTS: Final = 256
"""Before the scan; encoders write ten or so."""
_SCAN_ENDS: Final = re.compile(rb"\xff[^\0\xd0-\xd7\xff]")
"""The marker behind a scan: of those in it there are restarts only; zeros and fill bytes make none (T.81 B.1.1)."""


class Segment(NamedTuple):
    """A marker segment: the second byte of its marker, its place in the stream, and what it holds."""

    marker: int
    start: int
    stop: int
    data: memoryview


@dataclass(frozen=True, slots=True)
class TileHead:
    """What the header of a tile says."""

    start: int
    """Where the tile begins behind SOI and what applications and comments say."""
    scan: int
    """Where the scan's data begin."""
    size: Size
    components: int


def opening(coding: Coding, tables: Buffer) -> bytes:
    """Return what goes before every tile: SOI, a marker of what its samples are, the shared tables. Raises DecodeError.

    An ICC profile may stand after the first `opening(coding, b"")`.
    """
    shared = [each for each in _segments(tables) if each.marker in _TABLES] if tables else []
    marker = _ADOBE_RGB if coding is Coding.JPEG_RGB else _JFIF
    return b"".join((SOI, marker, *(bytes(memoryview(tables)[each.start : each.stop]) for each in shared)))


def head_of(tile: Buffer) -> TileHead:
    """Parse a tile as far as its scan. Raises DecodeError if it is another thing than one sequential scan of 8 bits."""
    start, frame = len(SOI), None
    for segment in _segments(tile):
        if segment.marker == _SOS:
            if frame is None or segment.data[0] != frame.components:
                raise DecodeError("JPEG tile: a scan of other components than the frame's")
            return TileHead(start, segment.stop, frame.size, frame.components)
        if segment.marker in _SEQUENTIAL and frame is None:
            frame = _frame(segment.data)
        elif segment.marker == _COM or segment.marker in _APPLICATION:
            if segment.start != start:
                raise DecodeError("JPEG tile: application data behind tables")
            start = segment.stop
        elif segment.marker not in _TABLES:
            raise DecodeError(f"JPEG tile: a marker {segment.marker:02X} before the scan")
    raise DecodeError("JPEG tile: no scan")


def stream(begin: bytes, tile: Buffer, head: TileHead) -> bytes:
    """Return a whole JPEG file of a tile, from what goes before it: its tables and its scan, whatever follows them."""
    view = memoryview(tile)
    # A tile without an end is shown as far as it goes.
    ends = _SCAN_ENDS.search(view, head.scan)
    return b"".join((begin, view[head.start : ends.start() if ends else len(view)], EOI))


class _Frame(NamedTuple):
    size: Size
    components: int


def _frame(data: memoryview) -> _Frame:
    """Return size and components of a frame (ITU-T T.81 B.2.2). Raises DecodeError."""
    if len(data) < 6 or data[0] != 8 or len(data) != 6 + 3 * data[5]:  # noqa: PLR2004  # as the table there has them
        raise DecodeError("JPEG tile: a frame of other samples than 8 bits, or a broken one")
    height, width = struct.unpack_from(">HH", data, 1)
    return _Frame(Size(width, height), data[5])


def _segments(data: Buffer) -> Iterator[Segment]:
    """Return the segments after SOI, up to the first scan or the end. Raises DecodeError if they are none."""
    view = memoryview(data)
    if bytes(view[:2]) != SOI:
        raise DecodeError("JPEG tile: no beginning of an image")
    at = len(SOI)
    for _ in range(_MOST_SEGMENTS):
        if at + 4 > len(view):
            return
        mark, marker = view[at], view[at + 1]
        if mark != 0xFF:  # noqa: PLR2004  # of every marker (T.81 B.1.1.2)
            raise DecodeError("JPEG tile: no marker where one belongs")
        if marker == 0xFF:  # noqa: PLR2004  # a fill byte
            at += 1
            continue
        length = int.from_bytes(view[at + 2 : at + 4])
        stop = at + 2 + length
        if length < 3 or stop > len(view):  # noqa: PLR2004  # two for itself and no segment is empty
            raise DecodeError(f"JPEG tile: a segment {marker:02X} of {length} bytes")
        yield Segment(marker, at, stop, view[at + 4 : stop])
        if marker == _SOS:
            return
        at = stop
