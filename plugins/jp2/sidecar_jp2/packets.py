"""In which order the packets of a tile come: the five progressions of ITU-T T.800 B.12.1, without loops."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sidecar_jp2.codestream import Progression
from sidecar_jp2.precincts import Axis, Cells

MOST = 1 << 20
"""A tile with more packets is not split: sorting them would hold up everyone else."""

_KEYS = {
    Progression.LRCP: ("resolution", "component"),
    Progression.RLCP: ("resolution", "component"),
    Progression.RPCL: ("resolution", "y", "x", "component"),
    Progression.PCRL: ("y", "x", "component", "resolution"),
    Progression.CPRL: ("component", "y", "x", "resolution"),
}
"""How the precincts are sorted; layers come before, between or after them."""


@dataclass(frozen=True, slots=True)
class Packets:
    """The packets of a tile in the order of the codestream, one array element for each."""

    cell: NDArray[np.int32]
    """component * resolutions + resolution: an index into flattened `Cells`."""
    column: NDArray[np.int32]
    row: NDArray[np.int32]
    """The precinct's place among those of the tile."""

    @property
    def nbytes(self) -> int:
        """The memory of the arrays."""
        return self.cell.nbytes + self.column.nbytes + self.row.nbytes


def count_packets(x: Axis, y: Axis, layers: int) -> int:
    """How many packets a tile has."""
    # Floating point: hostile headers have more than 64 bits of precincts, and what is that large is not counted out.
    return int((x.count.astype(float) * y.count).sum() * layers)


def sequence(progression: Progression, layers: int, x: Axis, y: Axis) -> Packets:
    """Put the packets of a tile in order."""
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
    order = _with_layers(progression, layers, order, resolution)
    return Packets(*(values[order].astype(np.int32) for values in (cell, column, row)))


def _positions(axis: Axis, cell: Cells, number: Cells) -> Cells:
    """Where on the reference grid, from the tile's edge on, the progression meets each precinct."""
    later = axis.second.ravel()[cell] + (number - 1) * axis.step.ravel()[cell]
    return np.where(number > 0, later, axis.origin.ravel()[cell])


def _with_layers(progression: Progression, layers: int, order: Cells, resolution: Cells) -> Cells:
    if progression == Progression.LRCP:
        return np.tile(order, layers)
    if progression == Progression.RLCP:
        every = np.tile(order, layers)
        return every[np.argsort(resolution[every], kind="stable")]
    return np.repeat(order, layers)
