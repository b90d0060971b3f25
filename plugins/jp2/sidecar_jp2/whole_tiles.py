"""Regions decoded in whole tiles, or in the whole image, a few tiles after the other, and what that takes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Final, TypeAlias

from sidecar.plugin import Grid, Rect, Size
from sidecar_jp2.format.geometry import Area, Resolution
from sidecar_jp2.openjpeg.estimate import Estimate
from sidecar_jp2.proven import DecodeUnit

Edges: TypeAlias = tuple[int, int]
SIDE: Final = 1024
"""Small tiles are decoded together up to this width and height in pixels: each decode reads the headers anew."""


def runs(resolution: Resolution, unit: DecodeUnit, region: Rect, side: int = SIDE) -> Iterator[tuple[Rect, Area]]:
    """Yield the parts of a region of pixels, and the area of whole tiles that each is cut from."""
    if unit == DecodeUnit.IMAGE:
        yield region, _everything(resolution)
        return
    grid = grid_of(resolution, DecodeUnit.TILE)
    columns = _cuts(region.x, region.right, grid.columns(region.x, region.right), _together(grid.width, side))
    rows = _cuts(region.y, region.bottom, grid.rows(region.y, region.bottom), _together(grid.height, side))
    for top, bottom in pairwise(rows):
        for left, right in pairwise(columns):
            part = Rect(left, top, right - left, bottom - top)
            yield part, _tiles_of(resolution, part)


def grid_of(resolution: Resolution, unit: DecodeUnit) -> Grid:
    """Return the grid of what is decoded at once: the tiles, or one piece with everything in it."""
    if unit == DecodeUnit.TILE and resolution.tiled:
        return resolution.grid
    return Grid(width=resolution.size.width, height=resolution.size.height)


def peak_bytes(estimate: Estimate, resolution: Resolution, unit: DecodeUnit, side: int = SIDE) -> int:
    """Return the bytes that reading any region takes."""
    return estimate.whole_tiles_bytes(resolution.reduce, largest(resolution, unit, side).area)


def largest(resolution: Resolution, unit: DecodeUnit, side: int = SIDE) -> Size:
    """Return the size in pixels of the largest area that is decoded at once."""
    if unit == DecodeUnit.IMAGE or not resolution.tiled:
        return resolution.size
    grid, tiles, parts = resolution.grid, resolution.geometry, resolution.geometry.components
    beside_x = _beside(tiles.tile_x, tiles.tile_width, {each.dx << resolution.reduce for each in parts if each.dx > 1})
    beside_y = _beside(tiles.tile_y, tiles.tile_height, {each.dy << resolution.reduce for each in parts if each.dy > 1})
    return Size(
        min(resolution.size.width, int((_together(grid.width, side) + beside_x) * grid.width) + 1),
        min(resolution.size.height, int((_together(grid.height, side) + beside_y) * grid.height) + 1),
    )


def _beside(origin: int, step: int, samplings: Iterable[int]) -> int:
    """Return how many tiles beside its own the pixels of a tile may touch: chroma is not always cut where tiles are."""
    return 2 if any(origin % each or step % each for each in samplings) else 0


def _tiles_of(resolution: Resolution, region: Rect) -> Area:
    """Return the tiles that hold every sample that `geometry.spread` picks for a region of pixels."""
    grid = resolution.geometry
    across, down = {each.dx for each in grid.components}, {each.dy for each in grid.components}
    first = resolution.left + region.x, resolution.top + region.y
    left, right, columns = _span(
        [_points(resolution, first[0], region.width, step, (grid.x0, grid.x1)) for step in across],
        (grid.tile_x, grid.tile_width),
        (grid.x0, grid.x1),
    )
    top, bottom, rows = _span(
        [_points(resolution, first[1], region.height, step, (grid.y0, grid.y1)) for step in down],
        (grid.tile_y, grid.tile_height),
        (grid.y0, grid.y1),
    )
    return Area(left, top, right, bottom, resolution.reduce, columns * rows)


def _points(resolution: Resolution, first: int, count: int, step: int, image: Edges) -> Edges:
    """Return where the first and the last sample for some pixels stand on the reference grid."""
    there = resolution.samples(*image, step)
    begin, end = (min(max(at // step, there[0]), there[-1]) for at in (first, first + count - 1))
    return begin * step * resolution.scale, end * step * resolution.scale


def _span(points: Sequence[Edges], tiles: tuple[int, int], image: Edges) -> tuple[int, int, int]:
    """Return the edges of the tiles that hold some points, and how many tiles they are, in one direction."""
    origin, size = tiles
    begin = (min(first for first, _ in points) - origin) // size
    end = (max(last for _, last in points) - origin) // size + 1
    return max(origin + begin * size, image[0]), min(origin + end * size, image[1]), end - begin


def _together(step: float, side: int) -> int:
    return max(1, int(side / step))


def _cuts(start: int, stop: int, boundaries: Iterable[int], count: int) -> list[int]:
    # Tiles smaller than a pixel of a coarse level have equal boundaries.
    distinct = [*dict.fromkeys(boundaries)]
    return [start, *distinct[count - 1 :: count], stop]


def _everything(resolution: Resolution) -> Area:
    grid = resolution.geometry
    return Area(grid.x0, grid.y0, grid.x1, grid.y1, resolution.reduce, grid.columns * grid.rows)
