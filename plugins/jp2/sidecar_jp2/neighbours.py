"""Which windows cost less together: those that decode the same code blocks, or the same tiles."""

from __future__ import annotations

from collections.abc import Sequence

from sidecar.plugin import Grid, Rect
from sidecar_jp2.format.geometry import Resolution
from sidecar_jp2.format.main_header import Coding
from sidecar_jp2.proven import DecodeUnit
from sidecar_jp2.whole_tiles import grid_of


def share(resolution: Resolution, unit: DecodeUnit, coding: Sequence[Coding], one: Rect, other: Rect) -> bool:
    """Report whether decoding two regions of a resolution as one costs clearly less than one after the other.

    The wavelet makes windows read some code blocks of their neighbours, at each resolution below their own (ITU-T T.800
    F.3, B.7). Tiles share nothing: windows in different ones would only wait for each other. If tiles are smaller than
    the windows, the fixed costs of so many small tiles count.
    """
    if unit == DecodeUnit.IMAGE:
        return True
    grid = grid_of(resolution, DecodeUnit.TILE)
    if unit == DecodeUnit.TILE:
        return not _apart(_tiles(grid, one), _tiles(grid, other), 0)
    block = max(1 << max(each.block_width, each.block_height) for each in coding)
    if _apart(one, other, block):
        return False
    tiles = _tiles(grid, one.hull(other))
    narrow, low = min(one.width, other.width), min(one.height, other.height)
    return tiles.size.area == 1 or (grid.width <= narrow and grid.height <= low)


def _tiles(grid: Grid, region: Rect) -> Rect:
    """Return the columns and rows of tiles that a region touches."""
    left, right = (int((at - grid.x) // grid.width) for at in (region.x, region.right - 1))
    top, bottom = (int((at - grid.y) // grid.height) for at in (region.y, region.bottom - 1))
    return Rect(left, top, right - left + 1, bottom - top + 1)


def _apart(one: Rect, other: Rect, distance: int) -> bool:
    """Report whether more than a distance lies between two rectangles; at 0, whether they have nothing in common."""
    across = max(one.x - other.right, other.x - one.right)
    down = max(one.y - other.bottom, other.y - one.bottom)
    return max(across, down) > distance if distance else max(across, down) >= 0
