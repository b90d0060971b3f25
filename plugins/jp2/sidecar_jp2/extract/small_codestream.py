"""A small codestream: byte ranges of the blob, and the bytes to write between them."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sidecar.plugin import Buffer, ByteRange, DecodeError
from sidecar_jp2.extraction import NOTHING, Extracted, LeftOut
from sidecar_jp2.format.geometry import Area
from sidecar_jp2.format.markers import Marker
from sidecar_jp2.format.rounding import ceil_div
from sidecar_jp2.format.tile_part_header import MIN_TILE_PART_BYTES
from sidecar_jp2.index.packet_selection import Selection
from sidecar_jp2.index.tile_part_index import Tile

SOP = struct.pack(">HHH", Marker.SOP, 4, 0)
"""Written before every packet of a small codestream, so that OpenJPEG reports a packet that is not where the index
places it. The packet numbers (T.800 A.8.1) have gaps in any case, and OpenJPEG ignores them."""
UNNUMBERED = -1
SOT_REWRITTEN = 10
"""The bytes of SOT that are written anew: all but TPsot and TNsot."""
END = Marker.EOC.to_bytes(2)


@dataclass(frozen=True, slots=True)
class SmallCodestream:
    """How to build a small codestream from some byte ranges. A value, independent of any request."""

    ranges: tuple[ByteRange, ...]
    """The byte ranges of the blob."""
    area: Area
    """The area of the small codestream with the same samples as the extracted area of the whole one."""
    frames: tuple[bytes, ...]
    """The bytes before the first range, between the ranges, and after the last one: one more than ranges."""
    packets: tuple[int, ...]
    """The number of the first packet of each range, or UNNUMBERED."""
    unmarked: tuple[tuple[int, ...], ...]
    """The lengths of the packets in each range that still need SOP; empty if the packets have it already."""
    dropped: int = 0
    """How many of the finest resolutions it lacks."""
    restyled: bool = False
    """Whether tile-part headers change how their tile is coded: windows of such tiles are not proven."""
    cut: bool = False
    """Its tiles are those of the file."""
    left_out: LeftOut = NOTHING

    def extracted(self, data: Sequence[Buffer]) -> Extracted:
        """Build the codestream; see `build`."""
        return Extracted(self.build(data), self.area, dropped=self.dropped, left_out=self.left_out)

    def located(self, area: Area) -> Area:
        """Return where any area of the whole codestream that holds `self.area` lies in the small one."""
        edges = (area.left, area.top, area.right, area.bottom)
        left, top, right, bottom = (ceil_div(edge, 1 << self.dropped) for edge in edges)
        return Area(left, top, right, bottom, area.reduce - self.dropped, area.tiles, marked=self.area.marked)

    def build(self, data: Sequence[Buffer]) -> bytes:
        """Build the codestream from the bytes of `ranges`, copying everything once; called in a native thread.

        Raises DecodeError if the bytes do not begin with the packets that the index expects.
        """
        parts: list[Buffer] = [self.frames[0]]
        for number, lengths, piece, frame in zip(self.packets, self.unmarked, data, self.frames[1:], strict=True):
            _check_number(number, piece)
            parts += (*_marked(piece, lengths), frame)
        return b"".join(parts)


def _marked(piece: Buffer, lengths: Sequence[int]) -> Iterator[Buffer]:
    """Yield a piece with SOP before each of its packets."""
    packets, at = memoryview(piece), 0
    for length in lengths:
        yield SOP
        yield packets[at : at + length]
        at += length
    yield packets[at:]


def _check_number(number: int, piece: Buffer) -> None:
    # If packets carry their number (T.800 A.8.1), a wrong index is detected.
    if number != UNNUMBERED and bytes(piece[: len(SOP)]) != SOP[:4] + struct.pack(">H", number & 0xFFFF):
        raise DecodeError(f"SOP: packet {number} does not begin where the packet lengths say")


@dataclass(frozen=True, slots=True)
class Pieces:
    """The packets taken from some tiles, in the order of the small codestream."""

    numbers: NDArray[np.int64]
    """The number of each packet in its tile."""
    starts: NDArray[np.int64]
    """The offset of each packet in the blob."""
    stops: NDArray[np.int64]
    gaps: NDArray[np.int64]
    """How many empty packets precede each one."""
    first: NDArray[np.int64]
    """The position in these arrays of the first packet of each tile."""
    trailing: NDArray[np.int64]
    """How many empty packets end each tile."""

    @classmethod
    def of(cls, tiles: Sequence[Tile], selections: Sequence[Selection]) -> Pieces:
        """Locate the selected packets. Every tile must have lengths, and every selection at least one packet."""
        starts, stops = _located(tiles)
        before = np.cumsum([0, *(selection.total for selection in selections[:-1])]).tolist()
        numbers = np.concatenate([selection.wanted for selection in selections])
        places = np.concatenate([selection.wanted + shift for selection, shift in zip(selections, before, strict=True)])
        return cls(
            numbers,
            starts[places],
            stops[places],
            np.concatenate([selection.gaps[:-1] for selection in selections]),
            np.cumsum([0, *(len(selection.wanted) for selection in selections[:-1])]),
            np.array([selection.gaps[-1] for selection in selections]),
        )

    @property
    def begins(self) -> NDArray[np.bool_]:
        """Whether each packet begins a range: the one before ends elsewhere, or empty packets come between."""
        begins = np.ones(len(self.starts), bool)
        begins[1:] = (self.starts[1:] != self.stops[:-1]) | (self.gaps[1:] > 0)
        begins[self.first] = True
        return begins

    @property
    def ranges(self) -> tuple[ByteRange, ...]:
        """The runs of packets in the blob."""
        begins = self.begins
        starts, stops = self.starts[begins].tolist(), self.stops[np.roll(begins, -1)].tolist()
        return tuple(map(ByteRange, starts, stops))

    def bodies(self, empty: int, more: int) -> list[int]:
        """Return the bytes of each tile: `more` beside each packet, and `empty` for each empty packet."""
        taken = np.add.reduceat(self.stops - self.starts + more + empty * self.gaps, self.first)
        sizes: list[int] = (taken + empty * self.trailing).tolist()
        return sizes

    def lengths(self, first: NDArray[np.intp]) -> tuple[tuple[int, ...], ...]:
        """Return the packet lengths of each range; `first` holds the positions at which ranges begin."""
        return tuple(tuple(run.tolist()) for run in np.split(self.stops - self.starts, first[1:]))


def _located(tiles: Sequence[Tile]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return where the packets of all tiles begin and end in the blob."""
    lengths = np.concatenate([tile.lengths for tile in tiles if tile.lengths is not None]).astype(np.int64)
    _, _, begins, counts = np.concatenate([tile.parts for tile in tiles], axis=1)
    ends = np.cumsum(lengths)
    # The packets of a tile-part are contiguous; tile-parts may lie anywhere.
    before = np.concatenate([[0], ends])[np.cumsum(counts) - counts]
    stops = ends + np.repeat(begins - before, counts)
    return stops - lengths, stops


def join_packets(
    head: bytes, pieces: Pieces, empty: bytes, area: Area, *, marked: bool, dropped: int = 0
) -> SmallCodestream:
    """Join selected packets to tiles of one tile-part each; `empty` is written for each empty packet.

    If `marked`, the packets in the blob begin with SOP. `head` lacks the `dropped` finest resolutions.
    """
    begins = pieces.begins
    first = np.flatnonzero(begins)
    frames = [empty * gap for gap in pieces.gaps[first].tolist()]
    bodies = pieces.bodies(len(empty), 0 if marked else len(SOP))
    before = head
    tiles = zip(np.searchsorted(first, pieces.first).tolist(), bodies, strict=True)
    for number, ((place, body), trailing) in enumerate(zip(tiles, pieces.trailing.tolist(), strict=True)):
        start = struct.pack(">HHHIBBH", Marker.SOT, 10, number, MIN_TILE_PART_BYTES + body, 0, 1, Marker.SOD)
        frames[place] = before + start + frames[place]
        before = empty * trailing
    return SmallCodestream(
        pieces.ranges,
        area,
        (*frames, before + END),
        tuple(pieces.numbers[first].tolist()) if marked else (UNNUMBERED,) * len(first),
        ((),) * len(first) if marked else pieces.lengths(first),
        dropped,
    )


def join_tile_parts(head: bytes, tiles: Sequence[Tile], area: Area) -> SmallCodestream:
    """Join whole tile-parts unchanged but for the tile numbers."""
    parts = [(number, start, stop) for number, tile in enumerate(tiles) for start, stop in tile.parts[:2].T.tolist()]
    frames = [struct.pack(">HHHI", Marker.SOT, 10, number, stop - start) for number, start, stop in parts]
    frames[0] = head + frames[0]
    ranges = tuple(ByteRange(start + SOT_REWRITTEN, stop) for _, start, stop in parts)
    restyled = any(tile.restyled for tile in tiles)
    unnumbered = (UNNUMBERED,) * len(frames)
    return SmallCodestream(ranges, area, (*frames, END), unnumbered, ((),) * len(frames), restyled=restyled)
