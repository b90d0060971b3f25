"""A huge tiled codestream out of a small one: its encoded tiles again and again, under other numbers.

ITU-T T.800 makes tiles independent. Tiles whose corners lie on multiples of 2^levels, and of the size of precincts and
code blocks or under it, come to the same samples wherever they stand.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from itertools import chain
from typing import BinaryIO, NamedTuple

from sidecar_jp2.format.markers import Marker
from sidecar_jp2.testing import SIGNATURE, box, colr, ftyp, ihdr

from sidecar.plugin import Size

SOT_BYTES = 12
TLM_PARTS = 10_000
"""Tile-parts to a TLM segment: Ltlm has 16 bits, and each takes six bytes."""


class Tiles(NamedTuple):
    """A codestream taken apart."""

    segments: tuple[bytes, ...]
    """Of the main header between SIZ and the first tile-part, without TLM."""
    siz: bytes
    size: Size
    tile: Size
    parts: Mapping[int, list[bytes]]
    """Tile-parts by tile, as they stand in the file."""


def take_apart(data: bytes) -> Tiles:
    """Read a codestream from its SOC on, wherever that stands in a file; without offsets, all Psot given."""
    at = data.index(Marker.SOC.to_bytes(2) + Marker.SIZ.to_bytes(2)) + 2
    segments = []
    while (marker := int.from_bytes(data[at : at + 2])) != Marker.SOT:
        stop = at + 2 + int.from_bytes(data[at + 2 : at + 4])
        if marker != Marker.TLM:
            segments.append(data[at:stop])
        at = stop
    width, height, left, top, tile_width, tile_height = struct.unpack_from(">6I", segments[0], 6)
    if left or top:
        raise ValueError("SIZ: an image with an offset cannot be laid side by side")
    parts: dict[int, list[bytes]] = {}
    while int.from_bytes(data[at : at + 2]) == Marker.SOT:
        number, length = struct.unpack_from(">HI", data, at + 4)
        parts.setdefault(number, []).append(data[at : at + length])
        at += length
    return Tiles(tuple(segments[1:]), segments[0], Size(width, height), Size(tile_width, tile_height), parts)


def lay(tiles: Tiles, times: Size) -> Iterator[bytes]:
    """The pieces of a codestream that shows the whole tiles `times` over in each direction, with TLM."""
    across, down = tiles.size.width // tiles.tile.width, tiles.size.height // tiles.tile.height
    row = -(-tiles.size.width // tiles.tile.width)
    wide = Size(across * times.width, down * times.height)
    placed = [
        (number, part)
        for number in range(wide.area)
        for part in tiles.parts[number // wide.width % down * row + number % wide.width % across]
    ]
    extent = struct.pack(">2I", wide.width * tiles.tile.width, wide.height * tiles.tile.height)
    yield Marker.SOC.to_bytes(2) + tiles.siz[:6] + extent + tiles.siz[14:]
    yield from tiles.segments
    for index, start in enumerate(range(0, len(placed), TLM_PARTS)):
        yield _directory(index, [(number, len(part)) for number, part in placed[start : start + TLM_PARTS]])
    for number, part in placed:
        yield part[:4] + number.to_bytes(2) + part[6:]
    yield Marker.EOC.to_bytes(2)


def _directory(index: int, parts: list[tuple[int, int]]) -> bytes:
    """A TLM segment (T.800 A.7.1): Stlm 0x60 gives two bytes to the tile and four to the length."""
    return struct.pack(">HHBB", Marker.TLM, 4 + 6 * len(parts), index, 0x60) + b"".join(
        struct.pack(">HI", *part) for part in parts
    )


def write(file: BinaryIO, tiles: Tiles, times: Size) -> None:
    """Write a JP2 in sRGB; its last box reaches to the end of the file (T.800 I.4)."""
    across, down = tiles.size.width // tiles.tile.width, tiles.size.height // tiles.tile.height
    size = (across * times.width * tiles.tile.width, down * times.height * tiles.tile.height)
    header = box(b"jp2h", ihdr(3, size) + colr(16))
    file.writelines(chain((SIGNATURE, ftyp(), header, struct.pack(">I4s", 0, b"jp2c")), lay(tiles, times)))
