"""Tile-part headers and packet lengths: SOT, TLM and PLT (ITU-T T.800 A.4.2, A.7.1, A.7.3)."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sidecar.plugin import Buffer, Unsupported
from sidecar_jp2.format.broken import Broken
from sidecar_jp2.format.markers import Incomplete, Marker, Segment, segments_before

SOT_BYTES = 12
MIN_TILE_PART_BYTES = SOT_BYTES + 2
"""A tile-part has at least SOT and SOD."""
MAX_TLM_BYTES = 1 << 20
"""Real files have far fewer tile-parts than this can list."""
NEUTRAL = frozenset({Marker.PLT, Marker.COM})
"""Segments of a tile-part header that do not change how its packets are read."""

_NONE = np.zeros(0, np.int64)

PacketLengths = NDArray[np.uint16] | NDArray[np.uint32]


class TilePartStart(NamedTuple):
    """The SOT segment (T.800 A.4.2)."""

    tile: int
    length: int
    """Psot: the bytes of the whole tile-part; 0 if it is the last one and reaches to the end of the codestream."""
    part: int
    """TPsot: how many tile-parts of the same tile come before."""
    total: int
    """TNsot: how many tile-parts the tile has; 0 if the encoder did not write it."""


class TilePartLengths(NamedTuple):
    """What TLM says of all tile-parts, in the order of the codestream."""

    tiles: NDArray[np.int64]
    lengths: NDArray[np.int64]


class TilePartContents(NamedTuple):
    """The header length and the packet lengths of a tile-part."""

    header: int
    """Bytes of the header; the packets follow."""
    lengths: PacketLengths | None
    """Bytes of each packet, SOP and EPH included; None if they are not known for certain."""
    restyled: bool = False
    """Whether the header has segments that may change how the tile is coded."""


def parse_start(data: Buffer, at: int, tiles: int) -> TilePartStart:
    """Parse the SOT segment at `at`. Raises Broken if there is none, or if its tile is not in the image."""
    marker, size, tile, length, part, total = struct.unpack_from(">HHHIBB", data, at)
    if marker != Marker.SOT or size != SOT_BYTES - 2:
        raise Broken("SOT: no tile-part begins where the one before ends")
    if tile >= tiles or 0 < length < MIN_TILE_PART_BYTES:
        raise Broken(f"SOT: tile {tile} of {tiles}, {length} bytes")
    return TilePartStart(tile, length, part, total)


def parse_contents(data: Buffer, at: int, length: int) -> TilePartContents:
    """Parse the header after SOT of the tile-part that begins at `at` and has `length` bytes.

    Raises Incomplete if `data` ends inside the header, and Broken if the tile-part does.
    """
    try:
        segments = [*segments_before(Marker.SOD, data, at + SOT_BYTES)]
    except Incomplete as more:
        if more.needed > at + length:
            raise Broken("SOD: a tile-part ends inside its header") from more
        raise
    header = (segments[-1].stop if segments else at + SOT_BYTES) + 2 - at
    if header > length:
        raise Broken("SOD: a tile-part ends inside its header")
    if any(segment.marker not in NEUTRAL for segment in segments):
        return _without_lengths(header, restyled=True)
    lengths = _packet_lengths(segments, length - header)
    return _without_lengths(header) if lengths is None else TilePartContents(header, lengths)


@lru_cache(maxsize=64)
def _without_lengths(header: int, *, restyled: bool = False) -> TilePartContents:
    """Return one object for all such tile-parts: an image may have a hundred thousand."""
    return TilePartContents(header, None, restyled)


def tile_part_markers(data: Buffer) -> frozenset[int]:
    """Return the markers of the segments in the tile-part headers of `data`, as far as it can be followed."""
    at, found = 0, set[int]()
    while at + SOT_BYTES <= len(data) and int.from_bytes(data[at : at + 2]) == Marker.SOT:
        length = int.from_bytes(data[at + 6 : at + 10])
        try:
            found.update(segment.marker for segment in segments_before(Marker.SOD, data, at + SOT_BYTES))
        except (Broken, Unsupported):
            break
        if length < MIN_TILE_PART_BYTES:
            break
        at += length
    return frozenset(found)


def _packet_lengths(segments: Iterable[Segment], body: int) -> PacketLengths | None:
    parts = sorted((segment.data[:1], segment.data[1:]) for segment in segments if segment.marker == Marker.PLT)
    # Zplt has 8 bits (T.800 A.7.3): there are no more than 256 segments in a header.
    if b"".join(number for number, _ in parts) != bytes(range(256))[: len(parts)]:
        return None
    lengths = _variable_lengths(b"".join(data for _, data in parts))
    if lengths is None or int(lengths.sum()) != body or not lengths.all():
        return None
    return compact(lengths)


def compact(lengths: NDArray[np.integer]) -> PacketLengths:
    """Return the same numbers in the smaller of the two types that holds them."""
    return lengths.astype(np.uint16) if int(lengths.max(initial=0)) < 1 << 16 else lengths.astype(np.uint32)


def _variable_lengths(data: bytes) -> NDArray[np.int64] | None:
    """Parse Iplt (T.800 table A.38): seven bits in each byte; the highest bit is set if more bytes follow."""
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


def parse_tlm(segments: Sequence[Segment], tiles: int) -> TilePartLengths | None:
    """Return the tile and the length of every tile-part from the TLM segments; None if they are inconsistent."""
    found = sorted((segment.data[:1], segment.data[1:]) for segment in segments if segment.marker == Marker.TLM)
    if sum(len(data) for _, data in found) > MAX_TLM_BYTES:
        return None
    parts = [TilePartLengths(_NONE, _NONE)]
    for number, (position, data) in enumerate(found):
        if position != bytes([number & 0xFF]) or not data:
            return None
        parts.append(_tlm_entries(data, sum(len(part.tiles) for part in parts)))
    every = TilePartLengths(*(np.concatenate(values) for values in zip(*parts, strict=True)))
    if (every.tiles >= tiles).any() or (every.lengths < MIN_TILE_PART_BYTES).any():
        return None
    return every


def _tlm_entries(data: bytes, before: int) -> TilePartLengths:
    # Stlm (T.800 table A.34): ST in bits 4 and 5 is the size of Ttlm; Ptlm has 32 bits if SP in bit 6 is set.
    tile = {1: [("tile", "u1")], 2: [("tile", ">u2")]}.get((data[0] >> 4) & 3, [])
    entry = np.dtype([*tile, ("length", ">u4" if data[0] & 0x40 else ">u2")])
    entries = np.frombuffer(data, entry, (len(data) - 1) // entry.itemsize, offset=1)
    numbers = entries["tile"] if tile else np.arange(before, before + len(entries))
    return TilePartLengths(numbers.astype(np.int64), entries["length"].astype(np.int64))
