"""The precincts of tiles, for all components and resolutions at once (ITU-T T.800 B.3 to B.7).

A *cell* is a pair of component and resolution (0 is the smallest). The shape of `Cells` is (components, resolutions)
if the values are the same in all tiles, and (tiles, components, resolutions) otherwise.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sidecar_jp2.format.cut_grid import REACH
from sidecar_jp2.format.main_header import MainHeader
from sidecar_jp2.format.rounding import ceil_div

Cells = NDArray[np.int64]

MAX_PRECINCT_WIDTH = 1 << 31
"""OpenJPEG skips precincts wider than this on the reference grid, against T.800 B.12.1, so their order is ambiguous."""


@dataclass(frozen=True, slots=True)
class Axis:
    """The precincts in one direction of one tile, or of several (then all fields but `step` have a tile dimension)."""

    first: Cells
    """The first precinct column (or row) of the tile, counted from the origin of the resolution."""
    count: Cells
    origin: Cells
    """Where the progression meets the first precinct (T.800 B.12.1.3), in grid points from the tile's edge."""
    second: Cells
    """Where it meets the second precinct; 0 if there is none."""
    step: Cells
    """The distance from each later precinct to the next."""

    def of(self, tile: int) -> Axis:
        """Return the precincts of one of the tiles."""
        return Axis(self.first[tile], self.count[tile], self.origin[tile], self.second[tile], self.step)

    @property
    def signature(self) -> bytes:
        """Equal for tiles whose packets are in the same order."""
        return self.count.tobytes() + self.origin.tobytes() + self.second.tobytes()


@dataclass(frozen=True, slots=True)
class Direction:
    """The precinct parameters of one direction, which are the same in all tiles."""

    sampling: Cells
    """XRsiz (or YRsiz) of each component."""
    halvings: Cells
    """How many times the component is halved to make the resolution; -1 if it has no such resolution."""
    exponent: Cells
    """PPx (or PPy)."""
    margin: Cells
    """How many samples the wavelet reaches beyond a window, in each resolution; see `cut_grid.REACH`."""

    steps: Cells
    """The width of precincts on the reference grid."""

    @classmethod
    def of(cls, sampling: Cells, halvings: Cells, exponent: Cells, margin: Cells) -> Direction:
        """Make a direction and compute its precinct widths."""
        return cls(sampling, halvings, exponent, margin, sampling << (exponent + np.maximum(halvings, 0)))

    def axis(self, tiles: Sequence[tuple[int, int]]) -> Axis:
        """Return the precincts of tiles; each tile is (start, stop) on the reference grid."""
        start, stop = np.array(tiles, np.int64).T[:, :, None, None]
        scale, width = 1 << np.maximum(self.halvings, 0), 1 << self.exponent
        low, high = (ceil_div(ceil_div(edge, self.sampling), scale) for edge in (start, stop))
        first = low >> self.exponent
        count = np.where((self.halvings >= 0) & (high > low), ceil_div(high, width) - first, 0)
        # The progression meets a precinct cut by the tile's edge at the edge, any other one where it begins.
        aligned = (first << self.exponent == low) & (count > 0)
        origin = np.where(aligned, first * self.steps - start, 0)
        second = np.where(count > 1, (first + 1) * self.steps - start, 0)
        return Axis(first, count, origin, second, self.steps)

    def reach(self, axis: Axis, level: int, start: int, stop: int) -> tuple[Cells, Cells]:
        """Return the first precinct in each tile that a window needs, and the first after it that it does not need.

        The window is `start` to `stop` on the reference grid halved `level` times. Finer resolutions are not needed.
        """
        below = np.maximum(self.halvings - level, 0)
        low = (ceil_div(start, self.sampling) >> below) - self.margin
        high = ceil_div(ceil_div(stop, self.sampling), 1 << below) + self.margin
        begin = np.clip((low >> self.exponent) - axis.first, 0, axis.count)
        end = np.clip(ceil_div(high, 1 << self.exponent) - axis.first, 0, axis.count)
        return begin, np.where(self.halvings >= level, end, begin)


@dataclass(frozen=True, slots=True)
class PrecinctLayout:
    """The precincts of an image in both directions."""

    x: Direction
    y: Direction

    @classmethod
    def of(cls, header: MainHeader) -> PrecinctLayout:
        codings = header.coding
        resolutions = max(coding.levels for coding in codings) + 1
        halvings = np.array([[max(coding.levels - r, -1) for r in range(resolutions)] for coding in codings], np.int64)
        sizes = [coding.precincts + coding.precincts[-1:] * (resolutions - len(coding.precincts)) for coding in codings]
        exponents = np.array(sizes, np.int64)
        margin = _column(REACH[coding.reversible] for coding in codings)
        parts = header.geometry.components
        return cls(
            Direction.of(_column(part.dx for part in parts), halvings, exponents[:, :, 0], margin),
            Direction.of(_column(part.dy for part in parts), halvings, exponents[:, :, 1], margin),
        )

    @property
    def unambiguous(self) -> bool:
        """Whether every decoder agrees on the order of the packets."""
        return bool((self.x.steps < MAX_PRECINCT_WIDTH).all() and (self.y.steps < MAX_PRECINCT_WIDTH).all())


def _column(values: Iterable[int]) -> Cells:
    return np.array([*values], np.int64)[:, None]
