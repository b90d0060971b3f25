"""The grid on which a small image can be cut out of a large tile, so that no code block is cut (ITU-T T.800 B.7).

Code blocks of every subband count from the origin of the reference grid. Their edges meet every 2^(levels + exponent)
points, so an image whose area (T.800 A.5.1) begins and ends there has the same code blocks as the image it is cut from.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from sidecar_jp2.format.block_grid import block_exponents
from sidecar_jp2.format.main_header import MainHeader
from sidecar_jp2.format.rounding import ceil_div

REACH = {True: 5, False: 9}
"""How many samples the wavelet reaches beyond a window in each resolution, reversible or not.

Synthesis of one level takes 2 (5-3) or 4 (9-7) more interleaved samples on each side (T.800 F.3.3: at most 2 and 4
in tables F.2 and F.3). The window of the low band grows by half of that and half of the growth before: at most 2
and 4 in any low band, 2 + 2 and 4 + 4 interleaved, and 1 for rounding.
"""
LEAST_SAVED = 1 << 18
"""Pixels that a cut leaves out of its tile at least: with fewer, OpenJPEG saves less time than cutting takes."""
MOST_BLOCKS = 1 << 15
"""Code blocks of a precinct in all layers, up to which its headers are read: a tenth of a second."""
USUAL = 2048
"""Windows up to this side are cut out in one piece."""


@dataclass(frozen=True, slots=True)
class CutAxis:
    """Where images can be cut in one direction, in pixels of a level."""

    step: int
    """They are cut at multiples of this."""
    reach: int
    """How far the wavelet of the coarsest resolution reaches beyond a window."""

    @property
    def longest(self) -> int:
        """The longest side of a window that is cut out in one piece, about `USUAL` or more."""
        return self._steps * self.step - 2 * self.reach

    @property
    def most(self) -> int:
        """The longest side of what is cut out for such a window, wherever it lies."""
        return (self._steps + 1) * self.step

    @property
    def _steps(self) -> int:
        return ceil_div(USUAL + 2 * self.reach, self.step)

    def around(self, start: int, stop: int, low: int, high: int) -> tuple[int, int]:
        """Return what is cut out of a tile `low` to `high` for a window `start` to `stop`."""
        begin = max((start - self.reach) // self.step * self.step, low)
        return begin, min(ceil_div(stop + self.reach, self.step) * self.step, high)


@dataclass(frozen=True, slots=True)
class CutGrid:
    """Where images can be cut at one level of an image."""

    x: CutAxis
    y: CutAxis

    @classmethod
    def of(cls, header: MainHeader, level: int) -> CutGrid:
        """Make the grid of the image halved `level` times, which every component must allow."""
        return cls(_axis(header, level, 0), _axis(header, level, 1))


def is_cuttable(header: MainHeader) -> bool:
    """Return whether images can be cut out of the tiles: no HT code blocks (ITU-T T.814), no precinct is too large."""
    return not any(coding.high_throughput for coding in header.coding) and all(
        header.layers * _largest(header, number, resolution) <= MOST_BLOCKS
        for number, coding in enumerate(header.coding)
        for resolution in range(coding.levels + 1)
    )


def _largest(header: MainHeader, component: int, resolution: int) -> int:
    """Return the most code blocks of a precinct of a resolution."""
    coding, part, tile = header.coding[component], header.geometry.components[component], header.geometry.tile(0)
    halvings = coding.levels - resolution + (resolution > 0)
    blocks = 3 if resolution else 1
    lengths = (min(tile.width, header.geometry.x1), part.dx), (min(tile.height, header.geometry.y1), part.dy)
    sizes = zip(lengths, coding.precincts[resolution], block_exponents(coding, resolution), strict=True)
    for (length, step), power, block in sizes:
        samples = min((length // step >> halvings) + 1, 1 << power - (resolution > 0))
        blocks *= (samples >> block) + 2
    return blocks


def _axis(header: MainHeader, level: int, axis: int) -> CutAxis:
    parts = [
        ((part.dx, part.dy)[axis], code) for part, code in zip(header.geometry.components, header.coding, strict=True)
    ]
    power = max(
        code.levels - level - resolution + (resolution > 0) + block_exponents(code, resolution)[axis]
        for _, code in parts
        for resolution in range(code.levels - level + 1)
    )
    reach = max(step * REACH[code.reversible] << code.levels - level for step, code in parts)
    return CutAxis(math.lcm(*(step for step, _ in parts)) << power, reach)
