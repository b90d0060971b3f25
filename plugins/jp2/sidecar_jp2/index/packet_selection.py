"""Selection of the packets that a window needs, tile by tile."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sidecar_jp2.format.geometry import Area
from sidecar_jp2.format.main_header import MainHeader
from sidecar_jp2.format.rounding import ceil_div
from sidecar_jp2.format.siz import Geometry
from sidecar_jp2.format.tile_span import TileSpan
from sidecar_jp2.index.packet_order import MAX_PACKETS, PacketOrder, count_packets, order_packets
from sidecar_jp2.index.precincts import Axis, Cells, Direction, PrecinctLayout

MANY_PACKETS = 1 << 15
"""Selecting from more packets than this takes some milliseconds."""
MAX_ORDERS = 8
"""How many packet orders are kept for an image: the tiles of a regular grid have four different ones."""


class TooManyPackets(Exception):
    """A tile has more packets than `MAX_PACKETS`."""


@dataclass(frozen=True, slots=True)
class LevelWindow:
    """A window on the grid of its level, and the tiles it touches."""

    level: int
    x: TileSpan
    y: TileSpan
    across: tuple[int, int]
    """Its left and right edges."""
    down: tuple[int, int]
    """Its top and bottom edges."""

    @classmethod
    def of(cls, geometry: Geometry, area: Area) -> LevelWindow:
        level = area.reduce
        edges = (area.left, area.right, area.top, area.bottom)
        left, right, top, bottom = (ceil_div(edge, 1 << level) for edge in edges)
        x, y = TileSpan.of(geometry, 0, level, left, right), TileSpan.of(geometry, 1, level, top, bottom)
        return cls(level, x, y, (left, right), (top, bottom))

    @property
    def tiles(self) -> int:
        """The number of tiles it touches."""
        return (self.x.end - self.x.begin) * (self.y.end - self.y.begin)


@dataclass(frozen=True, slots=True)
class Selection:
    """Some packets of a tile, and how many other packets stay as empty ones so that the order is kept."""

    wanted: NDArray[np.int64]
    """The numbers of the packets that are needed."""
    gaps: NDArray[np.int64]
    """How many packets stay empty before each wanted one, and, as the last element, after the last one."""
    total: int
    """How many packets the tile has."""

    @classmethod
    def of(cls, needed: NDArray[np.bool_], kept: NDArray[np.bool_]) -> Selection:
        """Make a selection from two masks over the packets of the tile; needed packets must be kept ones."""
        wanted = np.flatnonzero(needed)
        place = np.cumsum(kept)
        places = np.concatenate([[0], place[wanted], place[-1:] + 1])
        return cls(wanted, np.diff(places) - 1, len(needed))

    @property
    def padded(self) -> Selection:
        """The same selection with every other packet kept as an empty one."""
        return Selection(self.wanted, np.diff(self.wanted, prepend=-1, append=self.total) - 1, self.total)


@dataclass(frozen=True, slots=True)
class Side:
    """One direction of a window, in each of the tile columns (or rows) that it touches."""

    axis: Axis
    begin: Cells
    """The first precinct that the window needs."""
    end: Cells
    """The first precinct after it that the window does not need."""
    keys: Sequence[bytes]
    """One for each tile; tiles with equal keys have equal selections."""

    @classmethod
    def of(cls, direction: Direction, tiles: Sequence[tuple[int, int]], level: int, window: tuple[int, int]) -> Side:
        """Find the precincts of a window; the tiles are on the reference grid, the window on that of the level."""
        axis = direction.axis(tiles)
        begin, end = direction.reach(axis, level, *window)
        every = np.concatenate([axis.count, axis.origin, axis.second, begin, end], axis=-1)
        return cls(axis, begin, end, [every[tile].tobytes() for tile in range(len(tiles))])


@dataclass(frozen=True, slots=True)
class TilePackets:
    """The packets of a tile, and its precincts."""

    order: PacketOrder
    x: Axis
    y: Axis

    def columns(self, packets: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the precinct column of some packets, counted from the origin of their resolution."""
        return self.order.column[packets] + self.x.first.ravel()[self.order.cell[packets]]

    def rows(self, packets: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the precinct row of some packets, counted from the origin of their resolution."""
        return self.order.row[packets] + self.y.first.ravel()[self.order.cell[packets]]


class PacketSelector:
    """Selects packets of an image, and caches the packet orders of its tiles. Any thread may call it."""

    def __init__(self, header: MainHeader) -> None:
        self._header = header
        self._layout = PrecinctLayout.of(header)
        self.unambiguous = self._layout.unambiguous
        """Whether every decoder agrees on the order of the packets."""
        # Not a cachetools cache: several native threads select at once, and a single operation of this one is atomic.
        self._orders: OrderedDict[tuple[bytes, bytes], PacketOrder] = OrderedDict()

    @property
    def selectable(self) -> bool:
        """Whether packets of the first tile can be selected: their order is unambiguous, and they are not too many."""
        tile = self._header.geometry.tile(0)
        x, y = self._layout.x.axis([(tile.x, tile.right)]), self._layout.y.axis([(tile.y, tile.bottom)])
        return self.unambiguous and count_packets(x, y, self._header.layers) <= MAX_PACKETS

    @property
    def slow(self) -> bool:
        """Whether selecting takes so long that it should not block other greenlets, as it does the first time."""
        return not self._orders or any(len(order.cell) > MANY_PACKETS for order in [*self._orders.values()])

    @property
    def nbytes(self) -> int:
        """The memory of the cached packet orders."""
        return sum(order.nbytes for order in [*self._orders.values()])

    def select(self, window: LevelWindow, layers: int | None = None) -> Mapping[int, Selection]:
        """Return the selection of every tile of a window, by tile number, row by row. Raises TooManyPackets.

        `layers` are the first ones that are needed; None: all.
        """
        columns = self._header.geometry.columns
        across = Side.of(self._layout.x, window.x.extents, window.level, window.across)
        down = Side.of(self._layout.y, window.y.extents, window.level, window.down)
        found: dict[tuple[bytes, bytes], Selection] = {}
        selections: dict[int, Selection] = {}
        for row, below in enumerate(down.keys):
            first = (window.y.begin + row) * columns + window.x.begin
            for column, beside in enumerate(across.keys):
                if (beside, below) not in found:
                    found[beside, below] = self._select(window.level, across, column, down, row, layers)
                selections[first + column] = found[beside, below]
        return selections

    def totals(self, window: LevelWindow) -> Mapping[int, int]:
        """Return how many packets each tile of a window has, by tile number. Raises TooManyPackets."""
        across, down = self._layout.x.axis(window.x.extents), self._layout.y.axis(window.y.extents)
        columns = [across.of(column) for column in range(len(window.x.extents))]
        found: dict[int, int] = {}
        for row in range(len(window.y.extents)):
            y = down.of(row)
            first = (window.y.begin + row) * self._header.geometry.columns + window.x.begin
            found |= {first + number: count_packets(x, y, self._header.layers) for number, x in enumerate(columns)}
        if any(count > MAX_PACKETS for count in found.values()):
            raise TooManyPackets
        return found

    def packets(self, window: LevelWindow) -> Iterator[TilePackets]:
        """Yield the packets of each tile of a window, row by row. Raises TooManyPackets."""
        across, down = self._layout.x.axis(window.x.extents), self._layout.y.axis(window.y.extents)
        columns = [across.of(column) for column in range(len(window.x.extents))]
        for row in range(len(window.y.extents)):
            y = down.of(row)
            yield from (TilePackets(self._order(x, y), x, y) for x in columns)

    def _select(  # two directions with a place in each
        self, level: int, across: Side, column: int, down: Side, row: int, layers: int | None
    ) -> Selection:
        order = self._order(across.axis.of(column), down.axis.of(row))
        needed = _between(order.column, across.begin[column], across.end[column], order.cell)
        needed &= _between(order.row, down.begin[row], down.end[row], order.cell)
        if layers is not None:
            needed &= order.layer < layers
        return Selection.of(needed, (self._layout.x.halvings >= level).ravel()[order.cell])

    def _order(self, x: Axis, y: Axis) -> PacketOrder:
        key = (x.signature, y.signature)
        order = self._orders.get(key)
        if order is None:
            if count_packets(x, y, self._header.layers) > MAX_PACKETS:
                raise TooManyPackets
            order = self._orders[key] = order_packets(self._header.progression, self._header.layers, x, y)
            while len(self._orders) > MAX_ORDERS:
                self._orders.popitem(last=False)
        return order


def _between(place: NDArray[np.int32], begin: Cells, end: Cells, cell: NDArray[np.int32]) -> NDArray[np.bool_]:
    return (place >= begin.ravel()[cell]) & (place < end.ravel()[cell])
