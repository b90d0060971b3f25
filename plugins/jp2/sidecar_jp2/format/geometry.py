"""From pixels of a level to the reference grid and back: sizes, tiles, areas, samples (ITU-T T.800 Annex B)."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from sidecar.plugin import Grid, Rect, Size
from sidecar_jp2.format.rounding import ceil_div
from sidecar_jp2.format.siz import Component, Geometry

Pick: TypeAlias = slice | NDArray[np.intp]
"""The row (or column) of a plane for each row (or column) of pixels; indices repeat if a component is subsampled."""

PIECE = Size(2048, 1024)
"""The grid of an untiled image. Because of the wavelet, neighbouring pieces both decode the code blocks along their
common edge: pieces of this size decode a fifth more than the whole image has, bands of 200 rows twice as much."""


@dataclass(frozen=True, slots=True)
class Area:
    """What to decode: a rectangle of the reference grid (ITU-T T.800 B.2), without the finest `reduce` levels."""

    left: int
    top: int
    right: int
    bottom: int
    reduce: int
    tiles: int
    """How many tiles it touches. OpenJPEG does not report a tile that is missing."""
    marked: bool = False
    """Whether SOP stands before every packet. OpenJPEG only warns of a packet that does not begin with its SOP."""


@dataclass(frozen=True, slots=True)
class Resolution:
    """An image without its finest `reduce` levels. Its pixels count from the top left corner of the image."""

    geometry: Geometry
    reduce: int
    margin: int = 0
    """Extra pixels to decode on each side, within the same tiles."""

    @property
    def scale(self) -> int:
        """Points of the reference grid per pixel, in each direction."""
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
        """The size in pixels; a side may be 0 if an image with an offset is reduced too far."""
        grid = self.geometry
        return Size(ceil_div(grid.x1, self.scale) - self.left, ceil_div(grid.y1, self.scale) - self.top)

    @property
    def tiled(self) -> bool:
        """Whether there is more than one tile."""
        return self.geometry.columns * self.geometry.rows > 1

    @property
    def grid(self) -> Grid:
        """The tiles; for an untiled image, pieces along the boundaries of its code blocks.

        Code blocks count from the origin of the reference grid (T.800 B.7).
        """
        grid, scale = self.geometry, self.scale
        if not self.tiled:
            return Grid(x=-self.left, y=-self.top, width=PIECE.width, height=PIECE.height)
        return Grid(
            x=grid.tile_x / scale - self.left,
            y=grid.tile_y / scale - self.top,
            width=grid.tile_width / scale,
            height=grid.tile_height / scale,
        )

    @property
    def complete(self) -> bool:
        """Whether every component has samples at this resolution."""
        grid = self.geometry
        return all(
            self.samples(grid.x0, grid.x1, each.dx) and self.samples(grid.y0, grid.y1, each.dy)
            for each in {*grid.components}
        )

    def samples(self, start: int, stop: int, step: int) -> range:
        """Return the samples, `step` points apart, of a component between two points of the grid (B-15)."""
        return range(ceil_div(ceil_div(start, step), self.scale), ceil_div(ceil_div(stop, step), self.scale))

    def area(self, region: Rect) -> Area:
        """Return the area to decode for a region of pixels: it holds every sample that `spread` picks."""
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
    """Return the rows and the columns of a component's decoded plane for the pixels of a region.

    A pixel takes the sample at or before it, as opj_decompress spreads chroma, or the first one if there is none.
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
    """Return (rows, columns) of a component's decoded plane."""
    rows = resolution.samples(area.top, area.bottom, component.dy)
    columns = resolution.samples(area.left, area.right, component.dx)
    return len(rows), len(columns)
