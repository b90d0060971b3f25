"""Markers and marker segments, the syntax shared by main and tile-part headers (ITU-T T.800 A.1 to A.3)."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from enum import IntEnum
from typing import NamedTuple

from sidecar.plugin import Buffer, Unsupported
from sidecar_jp2.format.broken import Broken


class Marker(IntEnum):
    """The markers of T.800 table A.2, and CAP and CPF of ITU-T T.814."""

    SOC = 0xFF4F
    CAP = 0xFF50
    SIZ = 0xFF51
    COD = 0xFF52
    COC = 0xFF53
    TLM = 0xFF55
    PRF = 0xFF56
    PLM = 0xFF57
    PLT = 0xFF58
    CPF = 0xFF59
    QCD = 0xFF5C
    QCC = 0xFF5D
    RGN = 0xFF5E
    POC = 0xFF5F
    PPM = 0xFF60
    PPT = 0xFF61
    CRG = 0xFF63
    COM = 0xFF64
    SOT = 0xFF90
    SOP = 0xFF91
    EPH = 0xFF92
    SOD = 0xFF93
    EOC = 0xFFD9


_RESERVED = range(0xFF30, 0xFF40)
"""Reserved markers without a segment, which decoders skip (T.800 A.2)."""
_FIRST_SEGMENT = _RESERVED.stop
_DELIMITERS = frozenset({Marker.SOC, Marker.SOT, Marker.SOD, Marker.EOC})

MOST_SEGMENTS = 1 << 12
"""Marker segments of a header. TLM, PLM, PPM, PLT and PPT stand in it 256 times at most (T.800 A.7: their number has 8
bits), COC, QCC and RGN once for a component; more than this are COM and the like, written to make readers busy."""


def name_of(marker: int) -> str:
    """Return the marker's name in the standard, or its hexadecimal digits."""
    return Marker(marker).name if marker in Marker.__members__.values() else f"{marker:04X}"


class Incomplete(Broken):
    """The header continues after the given bytes. It is broken only if there are no more bytes."""

    def __init__(self, marker: int, needed: int) -> None:
        super().__init__(f"{name_of(marker)}: the codestream ends inside a header")
        self.needed = needed
        """The least number of bytes needed, counted from the beginning of the given ones."""


class Segment(NamedTuple):
    """A marker segment; `data` follows the length field. A reserved marker has neither."""

    marker: int
    offset: int
    """The position of the marker in the bytes that were parsed."""
    data: bytes

    @property
    def stop(self) -> int:
        """The offset just after the segment."""
        return self.offset + (2 if self.marker in _RESERVED else 4 + len(self.data))

    @property
    def name(self) -> str:
        return name_of(self.marker)


def segment_bytes(marker: int, data: bytes) -> bytes:
    """Return a marker segment as it is written in a codestream."""
    return struct.pack(">HH", marker, len(data) + 2) + data


def segments_before(end: Marker, data: Buffer, at: int, most: int = MOST_SEGMENTS) -> Iterator[Segment]:
    """Yield the marker segments from `at` up to the delimiting marker `end`, without `end` itself.

    Raises Incomplete if `data` ends before `end`, Broken if anything but a segment comes first, and Unsupported if
    there are more than `most` segments, or MOST_SEGMENTS in all.
    """
    for _ in range(most + 1):
        if at + 2 > len(data):
            raise Incomplete(end, at + 2)
        (marker,) = struct.unpack_from(">H", data, at)
        if marker == end:
            return
        if marker in _RESERVED:
            yield Segment(marker, at, b"")
            at += 2
            continue
        if marker < _FIRST_SEGMENT or marker in _DELIMITERS:
            raise Broken(f"{name_of(marker)}: found in the place of {end.name} or a marker segment")
        if at + 4 > len(data):
            raise Incomplete(marker, at + 4)
        (length,) = struct.unpack_from(">H", data, at + 2)
        if length < 2:  # noqa: PLR2004  # the length field counts itself (T.800 A.1)
            raise Broken(f"{name_of(marker)}: length {length}")
        if at + 2 + length > len(data):
            raise Incomplete(marker, at + 2 + length)
        yield Segment(marker, at, bytes(data[at + 4 : at + 2 + length]))
        at += 2 + length
    raise Unsupported(f"more than {MOST_SEGMENTS} marker segments before {end.name}")
