"""A region parted into bands, which are decoded one after the other, and bands into pieces that decode side by side."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from sidecar.iiif.geometry import Orientation
from sidecar.model import Level, Rect

SMALL: Final = 1 << 20
"""Below this many pixels a window is decoded in one go: parting it costs more than it saves."""
# Bands and pieces smaller than this are joined with their neighbours.
_PIECE: Final = 1 << 19
# The first band of a large answer is this part of a tile high, so that the first bytes leave early.
_LEAD: Final = 4
FETCH_AHEAD: Final = 2
"""Bands that are fetched beside the one that is handed to the native threads."""
DECODE_AHEAD: Final = 1
"""Bands that are decoded beside the one in hand, where a reader decodes several at once."""
UNDER_WAY: Final = 1 + DECODE_AHEAD
"""Bands decoded or being decoded that no strip lies in yet."""
# Bands held at once: the one or two that the encoder's strip lies in, and those under way.
_HELD: Final = 2 + UNDER_WAY


@dataclass(frozen=True, slots=True)
class Band:
    """A strip of the source between two lines of the level's grid, and the pieces of it that decode apart."""

    region: Rect
    pieces: tuple[Rect, ...]


@dataclass(frozen=True, slots=True)
class Room:
    """What bands should keep to, where thinner ones make that possible."""

    memory: int
    """Bytes."""
    channels: int
    """Of the pixels held."""
    together: int
    """Pieces in native hands at once."""


def part(level: Level, crop: Rect, orientation: Orientation, room: Room) -> tuple[Band, ...]:
    """The crop in bands along the direction in which the answer's rows run, each in pieces across it."""
    across = orientation.quarter_turns % 2 == 1
    bands = [
        Band(region, tuple(_pieces(level, region, across=across)))
        for region in _regions(crop, _band_cuts(level, crop, room, across=across), across=across)
    ]
    return tuple(reversed(bands) if _descending(orientation) else bands)


def _descending(orientation: Orientation) -> bool:
    """Whether the answer's first row is the source's last row or column."""
    # Turned clockwise once, the first column comes first; a mirror exchanges first and last column, not rows.
    return {0: False, 1: orientation.mirror, 2: True, 3: not orientation.mirror}[orientation.quarter_turns]


def _regions(crop: Rect, cuts: Iterable[int], *, across: bool) -> Iterator[Rect]:
    """The parts of a crop between cuts: of its columns where rows of the answer run `across`, else of its rows."""
    ends = (crop.x, crop.right) if across else (crop.y, crop.bottom)
    for start, stop in pairwise((ends[0], *cuts, ends[1])):
        if across:
            yield Rect(start, crop.y, stop - start, crop.height)
        else:
            yield Rect(crop.x, start, crop.width, stop - start)


def _band_cuts(level: Level, crop: Rect, room: Room, *, across: bool) -> list[int]:
    """Where bands begin: on the lines of the level's grid if it has one, thinner where memory demands it."""
    if crop.size.area <= SMALL:
        return []
    start, stop, breadth = (crop.x, crop.right, crop.height) if across else (crop.y, crop.bottom, crop.width)
    most = _band_limit(level, breadth, room)
    if level.grid is None:
        return [*_thinned(start, stop, most)][:-1]
    free = [*(level.grid.columns(start, stop) if across else level.grid.rows(start, stop))]
    thick = [*_joined(start, stop, free, max(1, _PIECE // breadth))]
    thin = [cut for first, last in pairwise((start, *thick, stop)) for cut in _thinned(first, last, most)]
    return _lead(start, thin)


def _band_limit(level: Level, breadth: int, room: Room) -> int:
    """The most rows of a band within the memory there should be; a strip of 64 at least."""
    held = breadth * room.channels * _HELD
    native = breadth * level.pixel_bytes * room.together if level.grid is None else 0
    return max(64, int((room.memory - level.fixed_bytes * room.together) / (held + native)))


def _joined(start: int, stop: int, cuts: Iterable[int], least: int) -> Iterator[int]:
    """Some of the cuts, so that parts are at least `least` thick where they can be."""
    last = start
    for cut in cuts:
        if cut - last >= least and stop - cut >= least:
            yield cut
            last = cut


def _thinned(start: int, stop: int, most: int) -> Iterator[int]:
    """The cuts that part a stretch evenly so that no part exceeds `most`, and the end of the stretch."""
    parts = -(-(stop - start) // most)
    yield from (start + (stop - start) * k // parts for k in range(1, parts))
    yield stop


def _lead(start: int, cuts_and_end: list[int]) -> list[int]:
    """A thin first band before the others, so that the first bytes leave early."""
    cuts, first = cuts_and_end[:-1], cuts_and_end[0]
    lead = start + (first - start) // _LEAD
    return [lead, *cuts] if cuts and lead - start >= 64 else cuts  # noqa: PLR2004  # a strip at least


def _pieces(level: Level, region: Rect, *, across: bool) -> Iterator[Rect]:
    """A band in pieces that decode apart: less native memory at once, and all cores at work."""
    if level.grid is None or region.size.area <= SMALL:
        yield region
        return
    ends = (region.y, region.bottom) if across else (region.x, region.right)
    free = level.grid.rows(*ends) if across else level.grid.columns(*ends)
    thick = max(1, region.width if across else region.height)
    yield from _regions(region, _joined(*ends, free, max(1, _PIECE // thick)), across=not across)
