"""Where the precincts of tiles lie: ITU-T T.800 B.3 to B.7, for all components and resolutions at once.

A *cell* is a pair of component and resolution (0 is the smallest). `Cells` have the shape (components, resolutions)
where they hold for all tiles, and (tiles, components, resolutions) where not.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sidecar_jp2.codestream import MainHeader

Cells = NDArray[np.int64]

WIDEST = 1 << 31
"""OpenJPEG leaves out precincts that are wider on the reference grid, against T.800 B.12.1: nobody is sure there."""


@dataclass(frozen=True, slots=True)
class Axis:
    """The precincts of a tile along one direction, or of a row of tiles: all but `step` are of each tile then."""

    first: Cells
    """Precinct columns (or rows) are counted from the origin of the resolution: the first of the tile."""
    count: Cells
    origin: Cells
    """Where on the reference grid, from the tile's edge on, the progression meets the first (T.800 B.12.1.3)."""
    second: Cells
    """Where it meets the second, from the tile's edge on; 0 where there is none."""
    step: Cells
    """From there to each next one."""

    def of(self, tile: int) -> Axis:
        """One of the tiles."""
        return Axis(self.first[tile], self.count[tile], self.origin[tile], self.second[tile], self.step)

    @property
    def signature(self) -> bytes:
        """Equal for tiles whose packets come in the same order."""
        return self.count.tobytes() + self.origin.tobytes() + self.second.tobytes()


@dataclass(frozen=True, slots=True)
class Direction:
    """What one direction has in common in all tiles."""

    sampling: Cells
    """XRsiz (or YRsiz)."""
    halvings: Cells
    """How often the component was halved to get the resolution; -1 where it has no such resolution."""
    exponent: Cells
    """PPx (or PPy)."""
    margin: Cells
    """How many samples around a window the wavelet reaches, in each resolution.

    Synthesis of one level takes 2 (5-3) or 4 (9-7) interleaved samples more at each side (T.800 F.3.3: tables F.2 and
    F.3 have at most 2 and 4), so the window of its low band grows by half of these and of what was added before:
    at most 2 and 4 in any low band, 2 + 2 and 4 + 4 interleaved, and 1 for the rounding of halves.
    """

    steps: Cells
    """The width of precincts on the reference grid."""

    @classmethod
    def of(cls, sampling: Cells, halvings: Cells, exponent: Cells, margin: Cells) -> Direction:
        """With the widths worked out."""
        return cls(sampling, halvings, exponent, margin, sampling << (exponent + np.maximum(halvings, 0)))

    def axis(self, tiles: Sequence[tuple[int, int]]) -> Axis:
        """The precincts of tiles, each from `start` to `stop` on the reference grid."""
        start, stop = np.array(tiles, np.int64).T[:, :, None, None]
        low, high = (_halved(-(-edge // self.sampling), self.halvings) for edge in (start, stop))
        first = low >> self.exponent
        count = np.where((self.halvings >= 0) & (high > low), -(-high >> self.exponent) - first, 0)
        # A precinct cut by the tile's edge is met at the edge, any other at its own beginning.
        aligned = (first << self.exponent == low) & (count > 0)
        origin = np.where(aligned, first * self.steps - start, 0)
        second = np.where(count > 1, (first + 1) * self.steps - start, 0)
        return Axis(first, count, origin, second, self.steps)

    def reach(self, axis: Axis, level: int, start: int, stop: int) -> tuple[Cells, Cells]:
        """From which to which precinct of its tile the samples `start` to `stop` of a level need; equal: none.

        `start` and `stop` are on the reference grid halved `level` times; finer resolutions are not needed.
        """
        below = np.maximum(self.halvings - level, 0)
        low = (-(-start // self.sampling) >> below) - self.margin
        high = _halved(-(-stop // self.sampling), below) + self.margin
        begin = np.clip((low >> self.exponent) - axis.first, 0, axis.count)
        end = np.clip(-(-high >> self.exponent) - axis.first, 0, axis.count)
        return begin, np.where(self.halvings >= level, end, begin)


@dataclass(frozen=True, slots=True)
class Layout:
    """The two directions of an image, and what its tiles have in common."""

    x: Direction
    y: Direction

    @classmethod
    def of(cls, header: MainHeader) -> Layout:
        """Lay out an image."""
        codings = header.coding
        resolutions = max(coding.levels for coding in codings) + 1
        halvings = np.array([[max(coding.levels - r, -1) for r in range(resolutions)] for coding in codings], np.int64)
        sizes = [coding.precincts + coding.precincts[-1:] * (resolutions - len(coding.precincts)) for coding in codings]
        exponents = np.array(sizes, np.int64)
        margin = _column(5 if coding.reversible else 9 for coding in codings)
        parts = header.geometry.components
        return cls(
            Direction.of(_column(part.dx for part in parts), halvings, exponents[:, :, 0], margin),
            Direction.of(_column(part.dy for part in parts), halvings, exponents[:, :, 1], margin),
        )

    @property
    def sure(self) -> bool:
        """Whether every decoder agrees about the order of the packets."""
        return bool((self.x.steps < WIDEST).all() and (self.y.steps < WIDEST).all())


def _column(values: Iterable[int]) -> Cells:
    return np.array([*values], np.int64)[:, None]


def _halved(values: Cells, times: Cells) -> Cells:
    return -(-values >> np.maximum(times, 0))
