"""A region split into bands, which are decoded one after the other, and bands into pieces that decode side by side."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from sidecar.iiif.geometry import Orientation
from sidecar.plugin import Level, Rect

SMALL: Final = 1 << 20
"""A window of fewer pixels is decoded in one go: splitting it costs more than it saves."""
# Bands and pieces smaller than this are joined with their neighbours.
_PIECE: Final = 1 << 19
# The first band of a large response is this part of a tile high, so that the first bytes leave early.
_LEAD: Final = 4


@dataclass(frozen=True, slots=True)
class Band:
    """Rows (or columns) of the source between two lines of the level's grid, and the pieces of it that decode apart."""

    region: Rect
    pieces: tuple[Rect, ...]


@dataclass(frozen=True, slots=True)
class BandBudget:
    """What bands should keep to, if thinner ones make that possible."""

    memory: int
    """Bytes."""
    channels: int
    """Of the pixels held."""
    bands: int
    """Bands of pixels held at once."""
    pieces: int
    """Pieces in native threads at once."""


def split(level: Level, crop: Rect, orientation: Orientation, budget: BandBudget) -> tuple[Band, ...]:
    """Split the crop into bands along the direction in which the response's rows run, each into pieces across it."""
    across = orientation.quarter_turns % 2 == 1
    bands = [
        Band(region, tuple(_pieces(level, region, across=across)))
        for region in _regions(crop, _band_cuts(level, crop, budget, across=across), across=across)
    ]
    return tuple(reversed(bands) if _descending(orientation) else bands)


def _descending(orientation: Orientation) -> bool:
    """Report whether the response's first row is the source's last row or column."""
    # Turned clockwise once, the first column comes first; a mirror exchanges first and last column, not rows.
    return {0: False, 1: orientation.mirror, 2: True, 3: not orientation.mirror}[orientation.quarter_turns]


def _regions(crop: Rect, cuts: Iterable[int], *, across: bool) -> Iterator[Rect]:
    """Return the parts of a crop between cuts: of its columns if the response's rows run `across`, else of its rows."""
    ends = (crop.x, crop.right) if across else (crop.y, crop.bottom)
    for start, stop in pairwise((ends[0], *cuts, ends[1])):
        if across:
            yield Rect(start, crop.y, stop - start, crop.height)
        else:
            yield Rect(crop.x, start, crop.width, stop - start)


def _band_cuts(level: Level, crop: Rect, budget: BandBudget, *, across: bool) -> list[int]:
    """Return where bands begin: on the lines of the level's grid if it has one, thinner if memory demands it."""
    if crop.size.area <= SMALL:
        return []
    start, stop, breadth = (crop.x, crop.right, crop.height) if across else (crop.y, crop.bottom, crop.width)
    most = _band_limit(level, breadth, budget)
    if level.grid is None:
        return [*_thinned(start, stop, most)][:-1]
    free = [*(level.grid.columns(start, stop) if across else level.grid.rows(start, stop))]
    thick = [*_joined(start, stop, free, max(1, _PIECE // breadth))]
    thin = [cut for first, last in pairwise((start, *thick, stop)) for cut in _thinned(first, last, most)]
    return thin[:-1] if _is_indivisible(level) else _lead(start, thin)


def _band_limit(level: Level, breadth: int, budget: BandBudget) -> int:
    """Return the most rows of a band within the budget; a strip of 64 at least."""
    held = breadth * budget.channels * budget.bands
    native = breadth * level.pixel_bytes * budget.pieces if level.grid is None else 0
    most = (budget.memory - level.fixed_bytes * budget.pieces) / (held + native)
    # Bands that save less than decoding takes anyway are not worth decoding whole pieces once more for each.
    least = level.fixed_bytes / held if _is_indivisible(level) else 0
    return max(64, int(max(most, least)))


def _is_indivisible(level: Level) -> bool:
    """Report whether any part of a piece of the level's grid costs as much as all of it."""
    return level.grid is not None and level.fixed_bytes > 0 and level.pixel_bytes == 0


def _joined(start: int, stop: int, cuts: Iterable[int], least: int) -> Iterator[int]:
    """Return some of the cuts, so that parts are at least `least` thick if possible."""
    last = start
    for cut in cuts:
        if cut - last >= least and stop - cut >= least:
            yield cut
            last = cut


def _thinned(start: int, stop: int, most: int) -> Iterator[int]:
    """Return the cuts that split a stretch evenly so that no part exceeds `most`, and the end of the stretch."""
    parts = -(-(stop - start) // most)
    yield from (start + (stop - start) * k // parts for k in range(1, parts))
    yield stop


def _lead(start: int, cuts_and_end: list[int]) -> list[int]:
    """Put a thin first band before the others, so that the first bytes leave early."""
    cuts, first = cuts_and_end[:-1], cuts_and_end[0]
    lead = start + (first - start) // _LEAD
    return [lead, *cuts] if cuts and lead - start >= 64 else cuts  # noqa: PLR2004  # a strip at least


def _pieces(level: Level, region: Rect, *, across: bool) -> Iterator[Rect]:
    """Split a band into pieces that decode apart: less native memory at once, and all cores at work."""
    if level.grid is None or region.size.area <= SMALL:
        yield region
        return
    ends = (region.y, region.bottom) if across else (region.x, region.right)
    free = level.grid.rows(*ends) if across else level.grid.columns(*ends)
    thick = max(1, region.width if across else region.height)
    yield from _regions(region, _joined(*ends, free, max(1, _PIECE // thick)), across=not across)
