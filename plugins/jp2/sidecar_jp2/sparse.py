"""A small codestream: which bytes of the blob it is made of, and what stands between them."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sidecar.errors import DecodeError
from sidecar.model import Buffer, ByteRange
from sidecar_jp2.chain import Tile
from sidecar_jp2.markers import Marker
from sidecar_jp2.openjpeg import Area
from sidecar_jp2.selection import Selection
from sidecar_jp2.tileparts import LEAST

SOP = struct.pack(">HHH", Marker.SOP, 4, 0)
"""Stands before every packet of a small codestream, for OpenJPEG to tell when one is not where the index says. The
numbers of packets left out are missing in any case, and no decoder that is used here minds numbers (T.800 A.8.1)."""
UNNUMBERED = -1
SOT_KEPT = 10
"""Of SOT all is written anew but TPsot and TNsot."""
END = Marker.EOC.to_bytes(2)


@dataclass(frozen=True, slots=True)
class SmallCodestream:
    """How to put a small codestream together from the bytes of some ranges; a value, tied to no request."""

    ranges: tuple[ByteRange, ...]
    """The bytes of the blob it is made of."""
    area: Area
    """Where it has the samples that the whole codestream has in the area it was cut for."""
    frames: tuple[bytes, ...]
    """What stands before the first range, between them, and after the last: one more than ranges."""
    packets: tuple[int, ...]
    """The number of the packet with which each range begins, or UNNUMBERED."""
    unmarked: tuple[tuple[int, ...], ...]
    """The lengths of the packets in each range that SOP has to be put before; none where it stands there already."""

    def build(self, data: Sequence[Buffer]) -> bytes:
        """The codestream, `data` being the bytes of `ranges`. Made for a native thread: everything is copied once.

        Raises DecodeError where the bytes do not begin with the packets that the index says.
        """
        parts: list[Buffer] = [self.frames[0]]
        for number, lengths, piece, frame in zip(self.packets, self.unmarked, data, self.frames[1:], strict=True):
            _check_number(number, piece)
            parts += (*_marked(piece, lengths), frame)
        return b"".join(parts)


def _marked(piece: Buffer, lengths: Sequence[int]) -> Iterator[Buffer]:
    """A piece with SOP before each of its packets."""
    packets, at = memoryview(piece), 0
    for length in lengths:
        yield SOP
        yield packets[at : at + length]
        at += length
    yield packets[at:]


def _check_number(number: int, piece: Buffer) -> None:
    # Where packets say their number (T.800 A.8.1), an index that lies is found out.
    if number != UNNUMBERED and bytes(piece[: len(SOP)]) != SOP[:4] + struct.pack(">H", number & 0xFFFF):
        raise DecodeError(f"SOP: packet {number} does not begin where the packet lengths say")


@dataclass(frozen=True, slots=True)
class Pieces:
    """What is taken of some tiles: packets, in the order of the small codestream."""

    numbers: NDArray[np.int64]
    """Of the packets in their tiles."""
    starts: NDArray[np.int64]
    """Where they lie in the blob."""
    stops: NDArray[np.int64]
    gaps: NDArray[np.int64]
    """How many others are kept before each."""
    first: NDArray[np.int64]
    """The place of the first packet of each tile."""
    trailing: NDArray[np.int64]
    """How many others are kept at the end of each tile."""

    @classmethod
    def of(cls, tiles: Sequence[Tile], selections: Sequence[Selection]) -> Pieces:
        """Look up the selected packets; every tile has lengths, and every selection at least one packet."""
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
        """Whether a range begins with the packet: the one before ends elsewhere, or others are kept between."""
        begins = np.ones(len(self.starts), bool)
        begins[1:] = (self.starts[1:] != self.stops[:-1]) | (self.gaps[1:] > 0)
        begins[self.first] = True
        return begins

    def bodies(self, empty: int, more: int) -> list[int]:
        """How many bytes the packets of each tile take: `more` than they have, and `empty` those not needed."""
        taken = np.add.reduceat(self.stops - self.starts + more + empty * self.gaps, self.first)
        sizes: list[int] = (taken + empty * self.trailing).tolist()
        return sizes

    def lengths(self, first: NDArray[np.intp]) -> tuple[tuple[int, ...], ...]:
        """Of the packets in each range, `first` being those with which ranges begin."""
        return tuple(tuple(run.tolist()) for run in np.split(self.stops - self.starts, first[1:]))


def _located(tiles: Sequence[Tile]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Where the packets of all tiles begin and end in the blob."""
    lengths = np.concatenate([tile.lengths for tile in tiles if tile.lengths is not None]).astype(np.int64)
    _, _, begins, counts = np.concatenate([tile.parts for tile in tiles], axis=1)
    ends = np.cumsum(lengths)
    # Packets of a tile-part follow each other, tile-parts lie anywhere.
    before = np.concatenate([[0], ends])[np.cumsum(counts) - counts]
    stops = ends + np.repeat(begins - before, counts)
    return stops - lengths, stops


def split(head: bytes, pieces: Pieces, empty: bytes, area: Area, *, marked: bool) -> SmallCodestream:
    """Tiles in one part each, made of selected packets, with `empty` ones for those that are kept beside them.

    `marked` says that SOP stands before the packets in the blob.
    """
    begins = pieces.begins
    first, last = np.flatnonzero(begins), np.flatnonzero(np.roll(begins, -1))
    starts, stops = pieces.starts[first].tolist(), pieces.stops[last].tolist()
    frames = [empty * gap for gap in pieces.gaps[first].tolist()]
    bodies = pieces.bodies(len(empty), 0 if marked else len(SOP))
    before = head
    tiles = zip(np.searchsorted(first, pieces.first).tolist(), bodies, strict=True)
    for number, ((place, body), trailing) in enumerate(zip(tiles, pieces.trailing.tolist(), strict=True)):
        start = struct.pack(">HHHIBBH", Marker.SOT, 10, number, LEAST + body, 0, 1, Marker.SOD)
        frames[place] = before + start + frames[place]
        before = empty * trailing
    return SmallCodestream(
        tuple(map(ByteRange, starts, stops)),
        area,
        (*frames, before + END),
        tuple(pieces.numbers[first].tolist()) if marked else (UNNUMBERED,) * len(first),
        ((),) * len(first) if marked else pieces.lengths(first),
    )


def whole(head: bytes, tiles: Sequence[Tile], area: Area) -> SmallCodestream:
    """Tiles as they stand in the blob, tile-part by tile-part, under other numbers."""
    parts = [(number, start, stop) for number, tile in enumerate(tiles) for start, stop in tile.parts[:2].T.tolist()]
    frames = [struct.pack(">HHHI", Marker.SOT, 10, number, stop - start) for number, start, stop in parts]
    frames[0] = head + frames[0]
    ranges = tuple(ByteRange(start + SOT_KEPT, stop) for _, start, stop in parts)
    return SmallCodestream(ranges, area, (*frames, END), (UNNUMBERED,) * len(frames), ((),) * len(frames))
