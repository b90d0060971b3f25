"""Stages: the small codestreams that a window is decoded from, one on top of the other.

OpenJPH decodes whole tiles, be they empty but for a few packets. So a window of a large tile is cut out along the
precincts of its finest levels, as a tile of its own. The resolution below is decoded before, as a window of its own,
and coded anew as the lowest resolution of the cut tile: its own code blocks reach farther and would be cut through.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sidecar_jp2.extract.extractor import EMPTY, EMPTY_EPH
from sidecar_jp2.extract.reduced_header import can_reduce
from sidecar_jp2.extract.small_codestream import Pieces, SmallCodestream, join_packets, join_tile_parts
from sidecar_jp2.format.geometry import Area
from sidecar_jp2.format.main_header import MainHeader
from sidecar_jp2.format.rounding import ceil_div
from sidecar_jp2.format.tile_span import TileSpan
from sidecar_jp2.index.packet_index import PacketIndex, WindowPackets
from sidecar_jp2.index.packet_order import PacketOrder, order_packets
from sidecar_jp2.index.packet_selection import LevelWindow, Selection
from sidecar_jp2.index.precincts import Axis, Cells, Direction, PrecinctLayout
from sidecar_jp2.index.tile_part_index import Tile

from sidecar.plugin import Blob, ByteRange, Rect, Unsupported
from sidecar_htj2k.cuts import NOWHERE, Cut, Cutter, is_cuttable, reduced
from sidecar_htj2k.header import Frame, Kept, stage_header
from sidecar_htj2k.openjph import depth_of

MOST_TILES, SMALL_TILES = 16, 1 << 18
"""How many tiles are decoded together, and how many samples of a component these have."""
MAX_ORDERS = 8
"""How many packet orders are kept for an image."""


@dataclass(frozen=True, slots=True)
class Stage:
    """How to decode a part of a level. A value, independent of any request."""

    small: SmallCodestream
    skipped: int
    """How many of its resolutions OpenJPH skips."""
    place: Rect
    """What it decodes to, on the grid of its level."""
    depth: int
    """The depth that its samples are declared to have."""
    whole_parts: bool = False
    """Whether it is made of tile-parts with headers of their own."""
    base: Stage | None = None
    """What is decoded before and becomes its lowest resolution."""
    lowest: Rect = NOWHERE
    """The place of that resolution, on the grid of the base's level."""
    head: int = 0
    """The length of its main header, if it has a base."""

    @property
    def ranges(self) -> tuple[ByteRange, ...]:
        """The byte ranges of the blob, those of the base first."""
        return (*(self.base.ranges if self.base else ()), *self.small.ranges)


class Stager:
    """Finds the stages for areas of one image."""

    def __init__(self, header: MainHeader) -> None:
        self.header = header
        self._cutter = Cutter(header)
        self._cuttable = is_cuttable(header)
        self._layout = PrecinctLayout.of(header)
        self._orders: dict[tuple[bytes, bytes], PacketOrder] = {}
        self._depth = depth_of(header.geometry.components, reversible=header.coding[0].reversible)
        self._empty = EMPTY_EPH if header.eph else EMPTY

    def stages(self, index: PacketIndex, area: Area, blob: Blob) -> tuple[Stage, ...]:
        """Return the stages whose places together cover an area.

        Called in a greenlet; may read headers of tile-parts. Raises Unsupported if the tiles are incomplete, and
        DecodeError, SourceError.
        """
        window = LevelWindow.of(self.header.geometry, area)
        packets = index.find(window, blob)
        if packets is None:
            raise Unsupported("no usable tile-parts")
        return tuple(index.runner(window)(self._all, window, packets))

    def _all(self, window: LevelWindow, packets: WindowPackets) -> list[Stage]:
        """Make the stages of a window: of one tile each, or of some tiles side by side if they are small."""
        stages: list[Stage] = []
        columns = window.x.end - window.x.begin
        for row in range(window.y.end - window.y.begin):
            first = 0
            while first < columns:
                last = min(first + tiles_at_once(self.header, window.level), columns)
                part = _part(window, row, first, last)
                numbers = slice(row * columns + first, row * columns + last)
                stages.append(self._one(part, WindowPackets(packets.tiles[numbers], packets.selections[numbers])))
                first = last
        return stages

    def _one(self, window: LevelWindow, packets: WindowPackets) -> Stage:
        if window.tiles == 1 and packets.located and self._cuttable:
            cut = self._cutter.cut(_tile(window), window.level, _inside(window))
            if cut.levels:
                return self._cut_out(window, cut, packets.tiles[0])
        return self._whole_tiles(window, packets)

    def _cut_out(self, window: LevelWindow, cut: Cut, tile: Tile, *, transform: bool = True) -> Stage:
        """Make the stage of a cut in one tile and those below it, whose colours are not transformed."""
        if cut.base is None:
            return self._whole_tiles(window, WindowPackets([tile], [self._selection(window, cut)]), transform=transform)
        place, below, level = cut.place, cut.below, window.level + cut.levels
        deeper = LevelWindow(level, window.x, window.y, (below.x, below.right), (below.y, below.bottom))
        head = stage_header(
            self.header,
            Frame.alone(0, place.width),
            Frame.alone(0, place.height),
            Kept(levels=cut.levels, recoded=self.header.levels - level),
            self._depth,
            transform=transform,
            marked=True,
        )
        pieces = Pieces.of([tile], [self._selection(window, cut)])
        area = Area(0, 0, place.width, place.height, 0, 1)
        small = join_packets(head, pieces, self._empty, area, marked=self.header.sop)
        scale = 1 << cut.levels
        left, top = place.x // scale, place.y // scale
        lowest = Rect(left, top, ceil_div(place.right, scale) - left, ceil_div(place.bottom, scale) - top)
        base = self._cut_out(deeper, cut.base, tile, transform=False)
        return Stage(small, 0, place, self._depth, base=base, lowest=lowest, head=len(head))

    def _whole_tiles(self, window: LevelWindow, packets: WindowPackets, *, transform: bool = True) -> Stage:
        header, level = self.header, window.level
        x, y, selections = window.x.reduced(level), window.y.reduced(level), packets.selections
        skipped = 0
        if x is None or y is None or not (packets.located and can_reduce(header, level, window.x, window.y)):
            # All resolutions stay, the finest ones with empty packets, and OpenJPH skips them.
            x, y, skipped = window.x, window.y, level
            selections = [selection.padded for selection in selections]
        head = stage_header(
            header,
            Frame(*x.image, x.origin, x.size),
            Frame(*y.image, y.origin, y.size),
            Kept(levels=header.levels - level + skipped),
            self._depth,
            transform=transform,
            marked=packets.located,
        )
        area = Area(0, 0, 0, 0, 0, window.tiles)
        if packets.located:
            small = join_packets(head, Pieces.of(packets.tiles, selections), self._empty, area, marked=header.sop)
        else:
            small = join_tile_parts(head, packets.tiles, area)
        return Stage(small, skipped, reduced(_tile(window), level), self._depth, whole_parts=not packets.located)

    def _selection(self, window: LevelWindow, cut: Cut) -> Selection:
        """Select packets of one tile: of all resolutions from the window's level down, or of those that are cut out."""
        across = _Side(self._layout.x, window.x, window.level, window.across, (cut.place.x, cut.place.right))
        down = _Side(self._layout.y, window.y, window.level, window.down, (cut.place.y, cut.place.bottom))
        order = self._order(across.axis, down.axis)
        halvings = self._layout.x.halvings.ravel()[order.cell]
        kept = halvings >= window.level
        if cut.levels:
            kept &= halvings < window.level + cut.levels
            kept &= across.within(order.column, order.cell) & down.within(order.row, order.cell)
        needed = kept & across.needed(order.column, order.cell) & down.needed(order.row, order.cell)
        return Selection.of(needed, kept)

    def _order(self, x: Axis, y: Axis) -> PacketOrder:
        key = (x.signature, y.signature)
        order = self._orders.get(key)
        if order is None:
            order = order_packets(self.header.progression, self.header.layers, x, y)
            if len(self._orders) >= MAX_ORDERS:
                self._orders.clear()
            self._orders[key] = order
        return order


@dataclass(frozen=True, slots=True)
class _Side:
    """One direction of a window in one tile."""

    direction: Direction
    span: TileSpan
    level: int
    window: tuple[int, int]
    place: tuple[int, int]

    @property
    def axis(self) -> Axis:
        return self.direction.axis(self.span.extents).of(0)

    def needed(self, numbers: NDArray[np.int32], cells: NDArray[np.int32]) -> NDArray[np.bool_]:
        """Report which precincts the window needs."""
        begin, end = self.direction.reach(self.direction.axis(self.span.extents), self.level, *self.window)
        return _between(numbers, begin[0], end[0], cells)

    def within(self, numbers: NDArray[np.int32], cells: NDArray[np.int32]) -> NDArray[np.bool_]:
        """Report which precincts lie in what is cut out."""
        first, exponent = self.axis.first, self.direction.exponent
        below = np.maximum(self.direction.halvings - self.level, 0)
        begin = (self.place[0] >> below >> exponent) - first
        end = ceil_div(ceil_div(self.place[1], 1 << below), 1 << exponent) - first
        return _between(numbers, begin, end, cells)


def _between(place: NDArray[np.int32], begin: Cells, end: Cells, cell: NDArray[np.int32]) -> NDArray[np.bool_]:
    return (place >= begin.ravel()[cell]) & (place < end.ravel()[cell])


def tiles_at_once(header: MainHeader, level: int) -> int:
    """Return how many tiles a stage has at most: OpenJPH holds buffers of all tiles of a codestream until its end."""
    geometry = header.geometry
    area = max(1, geometry.tile_width * geometry.tile_height >> 2 * level)
    return max(1, min(MOST_TILES, SMALL_TILES // area))


def _part(window: LevelWindow, row: int, first: int, last: int) -> LevelWindow:
    """Return the part of a window in some of its tiles, side by side."""
    (left, _), (_, right) = window.x.extents[first], window.x.extents[last - 1]
    down = window.y.extents[row]
    return LevelWindow(
        window.level,
        _span(window.x, first, last, (left, right)),
        _span(window.y, row, row + 1, down),
        _clipped(window.across, (left, right), window.level),
        _clipped(window.down, down, window.level),
    )


def _span(span: TileSpan, first: int, last: int, extent: tuple[int, int]) -> TileSpan:
    return TileSpan(span.begin + first, span.begin + last, extent, span.origin + first * span.size, span.size)


def _clipped(window: tuple[int, int], extent: tuple[int, int], level: int) -> tuple[int, int]:
    start, stop = (ceil_div(edge, 1 << level) for edge in extent)
    return max(window[0], start), min(window[1], stop)


def _tile(window: LevelWindow) -> Rect:
    """Return the tiles of a window on the reference grid."""
    (left, right), (top, bottom) = window.x.image, window.y.image
    return Rect(left, top, right - left, bottom - top)


def _inside(window: LevelWindow) -> Rect:
    (left, right), (top, bottom) = window.across, window.down
    return Rect(left, top, right - left, bottom - top)
