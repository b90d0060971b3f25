"""The order of the packets in a tile: the five progressions of ITU-T T.800 B.12.1, by sorting."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sidecar_jp2.format.main_header import Progression
from sidecar_jp2.index.precincts import Axis, Cells

MAX_PACKETS = 1 << 20
"""Packets of a tile with more are not sorted, because that would take too long."""

_KEYS = {
    Progression.LRCP: ("resolution", "component"),
    Progression.RLCP: ("resolution", "component"),
    Progression.RPCL: ("resolution", "y", "x", "component"),
    Progression.PCRL: ("y", "x", "component", "resolution"),
    Progression.CPRL: ("component", "y", "x", "resolution"),
}
"""The sort keys of the precincts; `_with_layers` adds the layers."""


@dataclass(frozen=True, slots=True)
class PacketOrder:
    """The packets of a tile in codestream order; each array has one element per packet."""

    cell: NDArray[np.int32]
    """component * resolutions + resolution, an index into flattened `Cells`."""
    column: NDArray[np.int32]
    row: NDArray[np.int32]
    """The column and row of the precinct within its tile."""
    layer: NDArray[np.uint16]

    @property
    def nbytes(self) -> int:
        return self.cell.nbytes + self.column.nbytes + self.row.nbytes + self.layer.nbytes


def count_packets(x: Axis, y: Axis, layers: int) -> int:
    """Return the number of packets in a tile."""
    # Floating point, because hostile headers can declare more than 2**64 precincts; large counts need not be exact.
    return int((x.count.astype(float) * y.count).sum() * layers)


def order_packets(progression: Progression, layers: int, x: Axis, y: Axis) -> PacketOrder:
    """Sort the packets of a tile into the order of the codestream."""
    counts = (x.count * y.count).ravel()
    cell = np.repeat(np.arange(counts.size), counts)
    number = np.arange(cell.size) - np.repeat(np.cumsum(counts) - counts, counts)
    row, column = np.divmod(number, x.count.ravel()[cell])
    component, resolution = np.divmod(cell, x.count.shape[1])
    keys = {
        "component": component,
        "resolution": resolution,
        "x": _positions(x, cell, column),
        "y": _positions(y, cell, row),
    }
    order = np.lexsort([keys[name] for name in reversed(_KEYS[progression])])
    order, layer = _with_layers(progression, layers, order, resolution)
    cells, columns, rows = (values[order].astype(np.int32) for values in (cell, column, row))
    return PacketOrder(cells, columns, rows, layer.astype(np.uint16))


def _positions(axis: Axis, cell: Cells, number: Cells) -> Cells:
    """Return where the progression meets each precinct, in grid points from the tile's edge."""
    later = axis.second.ravel()[cell] + (number - 1) * axis.step.ravel()[cell]
    return np.where(number > 0, later, axis.origin.ravel()[cell])


def _with_layers(progression: Progression, layers: int, order: Cells, resolution: Cells) -> tuple[Cells, Cells]:
    """Return the precinct of each packet, and its layer."""
    if progression not in (Progression.LRCP, Progression.RLCP):
        return np.repeat(order, layers), np.tile(np.arange(layers), len(order))
    every, layer = np.tile(order, layers), np.repeat(np.arange(layers), len(order))
    if progression == Progression.LRCP:
        return every, layer
    by_resolution = np.argsort(resolution[every], kind="stable")
    return every[by_resolution], layer[by_resolution]
