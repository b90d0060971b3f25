"""Where the code blocks of a precinct lie in its subbands (ITU-T T.800 B.5 to B.7, B.9)."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple, TypeAlias

from sidecar_jp2.format.main_header import Coding
from sidecar_jp2.format.rounding import ceil_div

HIGH_BANDS = ((1, 0), (0, 1), (1, 1))
"""HL, LH, HH: whether a subband is high-pass across and down (T.800 table B.1)."""


class BlockGrid(NamedTuple):
    """The code blocks of a precinct in one subband; they count from the origin of the subband."""

    left: int
    top: int
    right: int
    bottom: int

    @property
    def width(self) -> int:
        """The number of code blocks across."""
        return self.right - self.left

    @property
    def height(self) -> int:
        """The number of code blocks down."""
        return self.bottom - self.top


Grids: TypeAlias = tuple[BlockGrid, ...]
"""One for LL, or one for each of HL, LH and HH."""


def blocks_of(grids: Grids) -> int:
    """Return the number of code blocks of a precinct."""
    return sum(grid.width * grid.height for grid in grids)


class Bounds(NamedTuple):
    """A tile-component: columns and rows of samples at full resolution."""

    left: int
    top: int
    right: int
    bottom: int


class PrecinctPlace(NamedTuple):
    """A precinct of a tile-component."""

    resolution: int
    column: int
    row: int
    """They count from the origin of the resolution."""


def block_exponents(coding: Coding, resolution: int) -> tuple[int, int]:
    """Return the exponents of the sides of code blocks in a resolution (T.800 B-17)."""
    wide, high = coding.precincts[resolution]
    less = resolution > 0
    return min(coding.block_width, wide - less), min(coding.block_height, high - less)


def block_grids(coding: Coding, tile: Bounds, place: PrecinctPlace) -> Grids:
    """Return the code blocks of a precinct, subband by subband."""
    resolution, column, row = place
    wide, high = coding.precincts[resolution]
    across, down = block_exponents(coding, resolution)
    if not resolution:
        x = _blocks(tile.left, tile.right, coding.levels, 0, column, wide, across)
        y = _blocks(tile.top, tile.bottom, coding.levels, 0, row, high, down)
        return (_grid(x, y),)
    halvings = coding.levels - resolution + 1
    xs = [_blocks(tile.left, tile.right, halvings, part, column, wide - 1, across) for part in (0, 1)]
    ys = [_blocks(tile.top, tile.bottom, halvings, part, row, high - 1, down) for part in (0, 1)]
    return tuple(_grid(xs[right], ys[below]) for right, below in HIGH_BANDS)


@lru_cache(maxsize=4096)
def _blocks(start: int, stop: int, halvings: int, part: int, precinct: int, size: int, block: int) -> tuple[int, int]:
    """Return the code blocks of a precinct in one direction; part 1 is the high-pass one (T.800 B-15)."""
    shift = part << halvings - 1 if part else 0
    begin, end = (ceil_div(edge - shift, 1 << halvings) for edge in (start, stop))
    begin, end = max(begin, precinct << size), min(end, precinct + 1 << size)
    return (0, 0) if end <= begin else (begin >> block, ceil_div(end, 1 << block))


def _grid(x: tuple[int, int], y: tuple[int, int]) -> BlockGrid:
    return BlockGrid(x[0], y[0], x[1], y[1]) if x[1] > x[0] and y[1] > y[0] else BlockGrid(0, 0, 0, 0)
