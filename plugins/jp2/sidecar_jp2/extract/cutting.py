"""Choosing what is cut out of a tile for a window, and finding its packets in the file."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from sidecar_jp2.extract.cut_codestream import CutCodestream, Packets, PartedPrecinct
from sidecar_jp2.extract.reduced_header import can_reduce, reduced_main_header
from sidecar_jp2.extract.small_codestream import Pieces, SmallCodestream
from sidecar_jp2.format import cut_grid
from sidecar_jp2.format.block_grid import Bounds, PrecinctPlace, block_grids
from sidecar_jp2.format.cut_grid import CutGrid, is_cuttable
from sidecar_jp2.format.geometry import Area
from sidecar_jp2.format.main_header import MainHeader, Progression, parse_main_header
from sidecar_jp2.format.markers import Marker
from sidecar_jp2.format.rounding import ceil_div
from sidecar_jp2.format.siz import Component
from sidecar_jp2.format.tile_span import TileSpan
from sidecar_jp2.index.packet_index import PacketIndex, WindowPackets
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


def cut_codestream(
    index: PacketIndex, window: LevelWindow, packets: WindowPackets, cut: Cut, uncut: Uncut
) -> CutCodestream:
    """Return the codestream of a cut for a window."""
    header = index.header
    x, y = _alone(cut.area.left, cut.area.right), _alone(cut.area.top, cut.area.bottom)
    # The order of packets by layer, resolution and component depends on no position (T.800 B.12.1.1).
    head = reduced_main_header(header, window.level, x, y, marked=True, progression=Progression.LRCP)
    pieces = Pieces.of(packets.tiles, packets.selections)
    tile = index.tile_packets(window)
    places = _Places.of(parse_main_header(head + Marker.SOT.to_bytes(2)), tile, pieces.numbers)
    parted = [*_parted(header, cut, tile, places, pieces.numbers)]
    left, right, top, bottom = *window.across, *window.down
    return CutCodestream(
        ranges=pieces.ranges,
        area=Area(left, top, right, bottom, 0, 1, marked=True),
        head=head,
        packets=_packets(pieces, places),
        parted=tuple(parted),
        tile=window.y.begin * header.geometry.columns + window.x.begin,
        sop=header.sop,
        eph=header.eph,
        store=index.blocks,
        uncut=uncut,
    )


def _alone(start: int, stop: int) -> TileSpan:
    """Return the span of a single tile that is the whole image."""
    return TileSpan(0, 1, (start, stop), start, stop - start)


def _packets(pieces: Pieces, places: _Places) -> Packets:
    begins = pieces.begins
    ranges = np.cumsum(begins) - 1
    starts = pieces.starts - pieces.starts[begins][ranges]
    lengths = pieces.stops - pieces.starts
    order = places.order
    return Packets(
        places=tuple(places.places[order].tolist()),
        numbers=tuple(pieces.numbers[order].tolist()),
        ranges=tuple(ranges[order].tolist()),
        starts=tuple(starts[order].tolist()),
        stops=tuple((starts + lengths)[order].tolist()),
        total=places.total,
    )


@dataclass(frozen=True, slots=True)
class _Places:
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
    def of(cls, cut: MainHeader, tile: TilePackets, numbers: NDArray[np.int64]) -> _Places:
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
        sorted_ = np.argsort(precinct, kind="stable")
        # The layers of a precinct come in order in any progression.
        layer = np.empty_like(sorted_)
        layer[sorted_] = np.arange(len(numbers)) % cut.layers
        places = layer * int(counts.sum()) + precinct
        return cls(places, np.argsort(places), int(counts.sum()) * cut.layers, x, y)


def _parted(
    header: MainHeader, cut: Cut, tile: TilePackets, places: _Places, numbers: NDArray[np.int64]
) -> Iterator[PartedPrecinct]:
    """Yield the precincts of which the cut has some code blocks only: an edge of the cut runs through them."""
    through = np.zeros(len(numbers), bool)
    component, resolution = np.divmod(tile.order.cell[numbers], tile.x.count.shape[1])
    precincts = np.stack([component, resolution, tile.columns(numbers), tile.rows(numbers)])
    for number, (part, coding) in enumerate(zip(header.geometry.components, header.coding, strict=True)):
        for level in range(coding.levels - cut.level + 1):
            own = (component == number) & (resolution == level)
            halvings, size = coding.levels - cut.level - level, coding.precincts[level]
            for axis, step in enumerate((part.dx, part.dy)):
                edges = [(cut.area[end], cut.tile[end]) for end in (axis, axis + 2)]
                (begin, low), (stop, high) = (
                    [ceil_div(ceil_div(e, step), 1 << halvings) for e in pair] for pair in edges
                )
                first = precincts[2 + axis] << size[axis]
                last = first + (1 << size[axis])
                through |= own & (((low < begin) & (first < begin)) | ((stop < high) & (last > stop)))
    position = np.empty(len(numbers), np.int64)
    position[places.order] = np.arange(len(numbers))
    found: dict[tuple[int, ...], list[int]] = {}
    for which in np.flatnonzero(through).tolist():
        found.setdefault(tuple(precincts[:, which].tolist()), []).append(int(position[which]))
    for (number, level, column, row), packets in found.items():
        part, coding = header.geometry.components[number], header.coding[number]
        reduced = replace(coding, levels=coding.levels - cut.level)
        place = PrecinctPlace(level, column, row)
        whole, inner = (block_grids(reduced, _sampled(bounds, part), place) for bounds in (cut.tile, cut.area))
        yield PartedPrecinct(tuple(packets), whole, inner, coding.block_style)


def _sampled(bounds: Bounds, part: Component) -> Bounds:
    """Return a part of the reference grid in samples of a component (T.800 B-12)."""
    steps = part.dx, part.dy, part.dx, part.dy
    return Bounds(*(ceil_div(edge, step) for edge, step in zip(bounds, steps, strict=True)))
