"""Tile-part headers and the packet lengths in them: SOT, PLT and TLM (ITU-T T.800 A.4.2, A.7.1, A.7.3)."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sidecar.errors import Malformed
from sidecar.model import Buffer
from sidecar_jp2.markers import Incomplete, Marker, Segment, segments_before

SOT_BYTES = 12
LEAST = SOT_BYTES + 2
"""A tile-part has at least SOT and SOD."""

MOST_TLM = 1 << 20
"""Bytes of TLM: no file of sense has as many tile-parts."""
_HARMLESS = frozenset({Marker.PLT, Marker.COM})
"""What a tile-part header may hold without changing how its packets are read."""

Lengths = NDArray[np.uint16] | NDArray[np.uint32]


class StartOfTile(NamedTuple):
    """SOT."""

    tile: int
    length: int
    """Psot: of the whole tile-part; 0 for the last one says that it reaches to the end of the codestream."""
    part: int
    """TPsot: how many tile-parts of the tile come before."""
    total: int
    """TNsot: how many tile-parts the tile has; 0 where it is not said."""


class Contents(NamedTuple):
    """What a tile-part holds."""

    header: int
    """The length of its header: packets begin after so many bytes."""
    lengths: Lengths | None
    """Of each packet, SOP and EPH included; None where they are not surely known."""


def parse_start(data: Buffer, at: int, tiles: int) -> StartOfTile:
    """Parse the SOT segment at `at`. Raises Malformed where there is none, or it names no tile of the image."""
    marker, size, tile, length, part, total = struct.unpack_from(">HHHIBB", data, at)
    if marker != Marker.SOT or size != SOT_BYTES - 2:
        raise Malformed("SOT: a tile-part has to begin where the one before ends")
    if tile >= tiles or 0 < length < LEAST:
        raise Malformed(f"SOT: tile {tile} of {tiles}, {length} bytes")
    return StartOfTile(tile, length, part, total)


def parse_contents(data: Buffer, at: int, length: int) -> Contents:
    """Parse the rest of the header of the tile-part that begins at `at` and has `length` bytes.

    Raises Incomplete where `data` does not hold all of the header, Malformed where the tile-part does not.
    """
    try:
        segments = [*segments_before(Marker.SOD, data, at + SOT_BYTES)]
    except Incomplete as more:
        if more.needed > at + length:
            raise Malformed("SOD: a tile-part ends inside its header") from more
        raise
    header = (segments[-1].stop if segments else at + SOT_BYTES) + 2 - at
    if header > length:
        raise Malformed("SOD: a tile-part ends inside its header")
    if any(segment.marker not in _HARMLESS for segment in segments):
        return Contents(header, None)
    return Contents(header, _packet_lengths(segments, length - header))


def _packet_lengths(segments: Iterable[Segment], body: int) -> Lengths | None:
    parts = sorted((segment.data[:1], segment.data[1:]) for segment in segments if segment.marker == Marker.PLT)
    # Zplt has 8 bits (T.800 A.7.3): there are no more than 256 segments in a header.
    if b"".join(number for number, _ in parts) != bytes(range(256))[: len(parts)]:
        return None
    lengths = _variable_lengths(b"".join(data for _, data in parts))
    if lengths is None or int(lengths.sum()) != body or not lengths.all():
        return None
    return compact(lengths)


def compact(lengths: NDArray[np.integer]) -> Lengths:
    """The same numbers in as few bytes as they need."""
    return lengths.astype(np.uint16) if int(lengths.max(initial=0)) < 1 << 16 else lengths.astype(np.uint32)


def _variable_lengths(data: bytes) -> NDArray[np.int64] | None:
    """Iplt (T.800 table A.38): seven bits a byte, the highest bit says that more follow."""
    septets = np.frombuffer(data, np.uint8)
    last = np.flatnonzero(septets < 0x80)  # noqa: PLR2004  # the highest bit
    if septets.size and (not last.size or last[-1] != septets.size - 1):
        return None
    first = np.concatenate([[0], last[:-1] + 1]) if last.size else last
    widths = last - first + 1
    if last.size and int(widths.max()) > 5:  # noqa: PLR2004  # 32 bits (T.800 A.7.3)
        return None
    values = np.zeros(last.size, np.int64)
    for place in range(int(widths.max(initial=0))):
        more = widths > place
        values[more] = values[more] << 7 | septets[first[more] + place] & 0x7F
    return values


def parse_directory(segments: Sequence[Segment], tiles: int) -> list[tuple[int, int]] | None:
    """(tile, length) of every tile-part in its order, as the TLM segments say; None where they cannot be right."""
    found = sorted((segment.data[:1], segment.data[1:]) for segment in segments if segment.marker == Marker.TLM)
    parts: list[tuple[int, int]] = []
    if sum(len(data) for _, data in found) > MOST_TLM:
        return None
    for number, (position, data) in enumerate(found):
        if position != bytes([number & 0xFF]) or not data:
            return None
        parts += _directory_entries(data, len(parts))
    if any(tile >= tiles or length < LEAST for tile, length in parts):
        return None
    return parts


def _directory_entries(data: bytes, before: int) -> Iterator[tuple[int, int]]:
    # Stlm (T.800 table A.34): ST in bits 4 and 5 is the size of Ttlm, SP in bit 6 says that Ptlm has 32 bits.
    size = (data[0] >> 4) & 3
    format_ = ">" + ("", "B", "H", "")[size] + ("I" if data[0] & 0x40 else "H")
    body = data[1 : len(data) - (len(data) - 1) % struct.calcsize(format_)]
    for number, entry in enumerate(struct.iter_unpack(format_, body)):
        yield (entry[0] if len(entry) > 1 else before + number), entry[-1]
