"""Which packets of which tiles a window takes."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sidecar_jp2.codestream import MainHeader
from sidecar_jp2.lowering import Span
from sidecar_jp2.packets import MOST, Packets, count_packets, sequence
from sidecar_jp2.precincts import Axis, Cells, Direction, Layout

MANY = 1 << 15
"""Selecting from more packets than this takes some milliseconds."""
ORDERS = 8
"""How many different orders of packets are kept for an image: the tiles of a regular grid have four."""


class TooManyPackets(Exception):
    """A tile has more packets than can be put in order in good time."""


@dataclass(frozen=True, slots=True)
class Selection:
    """Some packets of a tile, and how many others are kept, empty, to hold their places."""

    wanted: NDArray[np.int64]
    """The numbers of the packets that are needed."""
    gaps: NDArray[np.int64]
    """How many are kept before each of them, after the one before, and at last how many after the last."""
    total: int
    """How many packets the tile has."""

    @classmethod
    def of(cls, needed: NDArray[np.bool_], kept: NDArray[np.bool_]) -> Selection:
        """From two masks over the packets of the tile; what is needed is kept."""
        wanted = np.flatnonzero(needed)
        place = np.cumsum(kept)
        places = np.concatenate([[0], place[wanted], place[-1:] + 1])
        return cls(wanted, np.diff(places) - 1, len(needed))

    @property
    def padded(self) -> Selection:
        """The same with every other packet kept."""
        return Selection(self.wanted, np.diff(self.wanted, prepend=-1, append=self.total) - 1, self.total)


@dataclass(frozen=True, slots=True)
class Side:
    """One direction of a window, in each of the tile columns (or rows) that it touches."""

    axis: Axis
    begin: Cells
    """The first precinct that the window needs."""
    end: Cells
    """The first after it that the window does not need."""
    keys: Sequence[bytes]
    """Of each tile: equal ones select equally."""

    @classmethod
    def of(cls, direction: Direction, tiles: Sequence[tuple[int, int]], level: int, window: tuple[int, int]) -> Side:
        """Measure; the tiles are on the reference grid, the window on that of the level."""
        axis = direction.axis(tiles)
        begin, end = direction.reach(axis, level, *window)
        every = np.concatenate([axis.count, axis.origin, axis.second, begin, end], axis=-1)
        return cls(axis, begin, end, [every[tile].tobytes() for tile in range(len(tiles))])


@dataclass(frozen=True, slots=True)
class Cut:
    """A window on the grid of its level, and the tiles it touches."""

    level: int
    x: Span
    y: Span
    across: tuple[int, int]
    down: tuple[int, int]

    @property
    def tiles(self) -> int:
        """How many."""
        return (self.x.end - self.x.begin) * (self.y.end - self.y.begin)


class Selector:
    """Selects packets of an image. It keeps the orders in which the packets of its tiles come."""

    def __init__(self, header: MainHeader) -> None:
        self._header = header
        self._layout = Layout.of(header)
        self._orders: OrderedDict[tuple[bytes, bytes], Packets] = OrderedDict()

    @property
    def sure(self) -> bool:
        """Whether every decoder agrees about the order of the packets."""
        return self._layout.sure

    @property
    def busy(self) -> bool:
        """Whether selecting takes so long that others should not have to wait for it; so it does the first time."""
        return not self._orders or any(len(order.cell) > MANY for order in [*self._orders.values()])

    @property
    def nbytes(self) -> int:
        """The memory of the orders kept."""
        return sum(order.nbytes for order in [*self._orders.values()])

    def select(self, cut: Cut) -> Mapping[int, Selection]:
        """The selection of every tile of a window, by the tile's number, row by row. Raises TooManyPackets."""
        columns = self._header.geometry.columns
        across = Side.of(self._layout.x, cut.x.pieces, cut.level, cut.across)
        down = Side.of(self._layout.y, cut.y.pieces, cut.level, cut.down)
        found: dict[tuple[bytes, bytes], Selection] = {}
        selections: dict[int, Selection] = {}
        for row, below in enumerate(down.keys):
            first = (cut.y.begin + row) * columns + cut.x.begin
            for column, beside in enumerate(across.keys):
                if (beside, below) not in found:
                    found[beside, below] = self._select(cut.level, across, column, down, row)
                selections[first + column] = found[beside, below]
        return selections

    def _select(self, level: int, across: Side, column: int, down: Side, row: int) -> Selection:
        order = self._order(across.axis.of(column), down.axis.of(row))
        needed = _between(order.column, across.begin[column], across.end[column], order.cell)
        needed &= _between(order.row, down.begin[row], down.end[row], order.cell)
        return Selection.of(needed, (self._layout.x.halvings >= level).ravel()[order.cell])

    def _order(self, x: Axis, y: Axis) -> Packets:
        key = (x.signature, y.signature)
        order = self._orders.get(key)
        if order is None:
            if count_packets(x, y, self._header.layers) > MOST:
                raise TooManyPackets
            order = self._orders[key] = sequence(self._header.progression, self._header.layers, x, y)
            while len(self._orders) > ORDERS:
                self._orders.popitem(last=False)
        return order


def _between(place: NDArray[np.int32], begin: Cells, end: Cells, cell: NDArray[np.int32]) -> NDArray[np.bool_]:
    return (place >= begin.ravel()[cell]) & (place < end.ravel()[cell])
