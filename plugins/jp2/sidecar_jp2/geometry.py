"""The reference grid seen from each level: sizes, tiles, and what a region of pixels is there (ITU-T T.800 Annex B)."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from sidecar.model import Grid, Rect, Size
from sidecar_jp2.codestream import Component, Geometry
from sidecar_jp2.openjpeg import Area

Pick: TypeAlias = slice | NDArray[np.intp]
"""Which rows or columns of a plane pixels take, one for each; an index repeats where there are fewer samples."""


PIECE = Size(2048, 1024)
"""Of one large tile. Neighbours both decode the code blocks on either side of the boundary between them, for the
wavelet's sake: pieces of this size decode a fifth more than the whole has, a band of 200 rows twice as much."""


def ceil_div(value: int, by: int) -> int:
    """The quotient rounded up."""
    return -(-value // by)


@dataclass(frozen=True, slots=True)
class Resolution:
    """An image without its finest `reduce` levels. Its pixels are counted from the image's top left corner."""

    geometry: Geometry
    reduce: int
    margin: int = 0
    """How many pixels more OpenJPEG is asked for on each side, as far as the tile goes."""

    @property
    def scale(self) -> int:
        """Points of the reference grid to one pixel, in each direction."""
        return 1 << self.reduce

    @property
    def left(self) -> int:
        """The grid column of the first pixel, in pixels (T.800 B-14)."""
        return ceil_div(self.geometry.x0, self.scale)

    @property
    def top(self) -> int:
        """The grid row of the first pixel, in pixels."""
        return ceil_div(self.geometry.y0, self.scale)

    @property
    def size(self) -> Size:
        """In pixels; a side may be 0 where an image with an offset is reduced too far."""
        grid = self.geometry
        return Size(ceil_div(grid.x1, self.scale) - self.left, ceil_div(grid.y1, self.scale) - self.top)

    @property
    def tiled(self) -> bool:
        """Whether there is more than one tile."""
        return self.geometry.columns * self.geometry.rows > 1

    @property
    def grid(self) -> Grid:
        """The tiles; where there is but one, pieces on the boundaries of its code blocks.

        Those count from the reference grid's origin (T.800 B.7).
        """
        grid, scale = self.geometry, self.scale
        if not self.tiled:
            return Grid(-self.left, -self.top, PIECE.width, PIECE.height)
        return Grid(
            grid.tile_x / scale - self.left,
            grid.tile_y / scale - self.top,
            grid.tile_width / scale,
            grid.tile_height / scale,
        )

    @property
    def whole(self) -> bool:
        """Whether every component has samples here."""
        grid = self.geometry
        return all(
            self.samples(grid.x0, grid.x1, each.dx) and self.samples(grid.y0, grid.y1, each.dy)
            for each in {*grid.components}
        )

    def samples(self, start: int, stop: int, step: int) -> range:
        """Which samples a component with a distance of `step` has between two points of the grid (B-15)."""
        return range(ceil_div(ceil_div(start, step), self.scale), ceil_div(ceil_div(stop, step), self.scale))

    def area(self, region: Rect) -> Area:
        """What has to be decoded for a region of pixels: all samples that `spread` picks from any component."""
        grid = self.geometry
        across, down = {each.dx for each in grid.components}, {each.dy for each in grid.components}
        left, right = self._widen(
            *self._cover(self.left + region.x, region.width, across, grid.x0, grid.x1), grid.tile_x, grid.tile_width
        )
        top, bottom = self._widen(
            *self._cover(self.top + region.y, region.height, down, grid.y0, grid.y1), grid.tile_y, grid.tile_height
        )
        left, right = max(left, grid.x0), min(right, grid.x1)
        top, bottom = max(top, grid.y0), min(bottom, grid.y1)
        columns = _touched(left, right, grid.tile_x, grid.tile_width)
        rows = _touched(top, bottom, grid.tile_y, grid.tile_height)
        return Area(left, top, right, bottom, self.reduce, columns * rows)

    def _cover(self, first: int, count: int, steps: Collection[int], start: int, stop: int) -> tuple[int, int]:
        begin, end = stop, start
        for step in steps:
            there = self.samples(start, stop, step)
            begin = min(begin, _nearest(first // step, there) * step * self.scale)
            end = max(end, (_nearest((first + count - 1) // step, there) + 1) * step * self.scale)
        return max(begin, start), min(end, stop)

    def _widen(self, begin: int, end: int, origin: int, step: int) -> tuple[int, int]:
        margin = self.margin * self.scale
        return (
            max(begin - margin, origin + (begin - origin) // step * step),
            min(end + margin, origin + ceil_div(end - origin, step) * step),
        )


def _nearest(index: int, there: range) -> int:
    return min(max(index, there.start), there.stop - 1)


def _touched(start: int, stop: int, origin: int, step: int) -> int:
    return (stop - 1 - origin) // step - (start - origin) // step + 1


def spread(resolution: Resolution, area: Area, region: Rect, component: Component) -> tuple[Pick, Pick]:
    """Which rows and columns of a component's decoded plane the pixels of a region take.

    A pixel takes the sample at or before it, as opj_decompress spreads chroma, and the first one before there is any.
    """
    grid = resolution.geometry
    return (
        _pick(resolution, resolution.top + region.y, region.height, component.dy, (grid.y0, grid.y1), area.top),
        _pick(resolution, resolution.left + region.x, region.width, component.dx, (grid.x0, grid.x1), area.left),
    )


def _pick(resolution: Resolution, first: int, count: int, step: int, image: tuple[int, int], start: int) -> Pick:
    begin = resolution.samples(start, start, step).start
    if step == 1:
        return slice(first - begin, first - begin + count)
    there = resolution.samples(*image, step)
    return np.clip(np.arange(first, first + count) // step, there.start, there.stop - 1) - begin


def shape(resolution: Resolution, area: Area, component: Component) -> tuple[int, int]:
    """(rows, columns) of a component's decoded plane."""
    rows = resolution.samples(area.top, area.bottom, component.dy)
    columns = resolution.samples(area.left, area.right, component.dx)
    return len(rows), len(columns)
