"""Choosing what is cut out of a tile for a window, and the order of its packets."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from sidecar_jp2.extract.reduced_header import can_reduce
from sidecar_jp2.extract.small_codestream import SmallCodestream
from sidecar_jp2.format import cut_grid
from sidecar_jp2.format.block_grid import Bounds
from sidecar_jp2.format.cut_grid import CutGrid, is_cuttable
from sidecar_jp2.format.main_header import MainHeader
from sidecar_jp2.format.rounding import ceil_div
from sidecar_jp2.format.tile_span import TileSpan
from sidecar_jp2.index.packet_selection import LevelWindow, TilePackets
from sidecar_jp2.index.precincts import Axis, PrecinctLayout

Uncut: TypeAlias = Callable[[], SmallCodestream]
"""Makes the small codestream of the same packets with the whole tile."""


@dataclass(frozen=True, slots=True)
class Cut:
    """A part of a tile on the grid of a level, and the tile."""

    area: Bounds
    tile: Bounds
    level: int


def choose_cut(header: MainHeader, window: LevelWindow) -> Cut | None:
    """Return what is cut out for a window; None if it touches several tiles, or if cutting saves little."""
    if window.tiles > 1 or not is_cuttable(header):
        return None
    (x,), (y,) = window.x.extents, window.y.extents
    left, right, top, bottom = (ceil_div(edge, 1 << window.level) for edge in (*x, *y))
    grid = CutGrid.of(header, window.level)
    across, down = grid.x.around(*window.across, left, right), grid.y.around(*window.down, top, bottom)
    area, tile = Bounds(across[0], down[0], across[1], down[1]), Bounds(left, top, right, bottom)
    left_out = _pixels(tile) - _pixels(area)
    if not can_reduce(header, window.level, window.x, window.y):
        left_out += _pixels(Bounds(x[0], y[0], x[1], y[1])) - _pixels(tile)
    if left_out < cut_grid.LEAST_SAVED or not _has_samples(header, area):
        return None
    return Cut(area, tile, window.level)


def _pixels(bounds: Bounds) -> int:
    return (bounds.right - bounds.left) * (bounds.bottom - bounds.top)


def _has_samples(header: MainHeader, area: Bounds) -> bool:
    return all(
        ceil_div(area.left, part.dx) < ceil_div(area.right, part.dx)
        and ceil_div(area.top, part.dy) < ceil_div(area.bottom, part.dy)
        for part in header.geometry.components
    )


def alone(start: int, stop: int) -> TileSpan:
    """Return the span of a single tile that is the whole image."""
    return TileSpan(0, 1, (start, stop), start, stop - start)


@dataclass(frozen=True, slots=True)
class Places:
    """Where the packets of a window stand in the order of a cut: layers, resolutions, components, precincts."""

    places: NDArray[np.int64]
    """The number in the cut of each packet of the window."""
    order: NDArray[np.intp]
    """The packets of the window in the order of the cut."""
    total: int
    x: Axis
    y: Axis
    """The precincts of the cut."""

    @classmethod
    def of(cls, cut: MainHeader, tile: TilePackets, numbers: NDArray[np.int64]) -> Places:
        """Find the places of some packets of a tile, all layers of each precinct."""
        layout, area = PrecinctLayout.of(cut), cut.geometry
        x, y = layout.x.axis([(area.x0, area.x1)]).of(0), layout.y.axis([(area.y0, area.y1)]).of(0)
        component, resolution = np.divmod(tile.order.cell[numbers], tile.x.count.shape[1])
        cell = component, resolution
        column = tile.columns(numbers) - x.first[cell]
        row = tile.rows(numbers) - y.first[cell]
        counts = x.count * y.count
        ends = np.cumsum(counts.T).reshape(counts.T.shape).T
        precinct = (ends - counts)[cell] + row * x.count[cell] + column
        layer = tile.order.layer[numbers].astype(np.int64)
        places = layer * int(counts.sum()) + precinct
        return cls(places, np.argsort(places), int(counts.sum()) * cut.layers, x, y)
