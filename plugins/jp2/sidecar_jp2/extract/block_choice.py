"""Which code blocks of a tile a small codestream keeps, and how many coding passes of each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import NamedTuple

from sidecar_jp2.blocks.codewords import MOST_PASSES
from sidecar_jp2.format.block_grid import HIGH_BANDS, Bounds, Grids, PrecinctPlace, block_exponents, block_grids
from sidecar_jp2.format.cut_grid import REACH
from sidecar_jp2.format.main_header import Coding, MainHeader, Quantization
from sidecar_jp2.format.rounding import ceil_div
from sidecar_jp2.format.siz import Component
from sidecar_jp2.format.subbands import bit_planes
from sidecar_jp2.index.packet_selection import TilePackets
from sidecar_jp2.loss.dropped_planes import DEPTHS, Planes


class Precinct(NamedTuple):
    """A precinct of a tile, counted from the first one of the tile."""

    component: int
    resolution: int
    column: int
    row: int


class Edge(NamedTuple):
    """What code blocks lose that lie beside a window only."""

    window: Bounds
    """The window, on the grid of the level."""
    planes: int


@dataclass(frozen=True, slots=True)
class ComponentChoice:
    """What stays of one component."""

    coding: Coding
    """Without the finest resolutions, which are left out."""
    quantization: Quantization
    tile: Bounds
    part: Bounds
    """The tile-component, and the part of it that is kept."""
    first: tuple[tuple[int, int], ...]
    """The first precinct of each resolution of the tile: its column and row from the origin."""
    planes: tuple[tuple[int, ...], ...] = ()
    """Bit planes left out of each subband of each resolution, whether the quantization leaves them out too or not."""
    edge: Edge | None = None

    def grids(self, precinct: Precinct) -> tuple[Grids, Grids]:
        """Return the code blocks of a precinct in the tile, and those that are kept."""
        column, row = self.first[precinct.resolution]
        place = PrecinctPlace(precinct.resolution, column + precinct.column, row + precinct.row)
        whole = block_grids(self.coding, self.tile, place)
        return whole, whole if self.part == self.tile else block_grids(self.coding, self.part, place)

    def dropped(self, resolution: int) -> tuple[int, ...]:
        """Return the bit planes left out of each subband, for every window alike."""
        return self.planes[resolution] if self.planes else (0, 0, 0)

    def edged(self, resolution: int) -> bool:
        """Return whether code blocks of a resolution lose more in the margin of the window.

        In coarse ones a block is as wide as the window, and its error would reach far into it. Small precincts take
        less time to decode than to write anew.
        """
        fine = 0 < resolution > self.coding.levels - DEPTHS
        return self.edge is not None and fine and EDGED_SIZE <= sum(self.coding.precincts[resolution]) <= EDGED_MOST

    def most_passes(self, resolution: int, part: Grids, zero_planes: Sequence[int]) -> Sequence[int] | None:
        """Return the coding passes left of each code block of a precinct: 3 for each bit plane, 1 for the first.

        None: all of them.
        """
        dropped, edge = self.dropped(resolution), self.edge if self.edged(resolution) else None
        if not (edge or any(dropped)):
            return None
        found, number = list[int](), 0
        for band, grid in enumerate(part):
            count, planes = grid.width * grid.height, dropped[band]
            own = bit_planes(self.quantization, resolution, band) - planes
            zeros = zero_planes[number : number + count]
            number += count
            if edge:
                for beside, zero in zip(self._beside(resolution, band, part, edge.window), zeros, strict=True):
                    if beside == BEYOND:
                        found.append(0)
                    elif extra := edge.planes if beside else 0:
                        found.append(max(0, 3 * (own - extra - zero) - 2))
                    else:
                        found.append(max(0, 3 * (own - zero) - 2) if planes else MOST_PASSES)
            elif planes:
                found += [max(0, 3 * (own - zero) - 2) for zero in zeros]
            else:
                found += [MOST_PASSES] * count
        return found

    def _beside(self, resolution: int, band: int, part: Grids, window: Bounds) -> Iterator[int]:
        """Yield for each code block of a subband: 0 if it is in the window, 1 beside it, 2 beyond its margin."""
        grid, (right, below) = part[band], HIGH_BANDS[band]
        if not grid.width:
            return
        across, down = block_exponents(self.coding, resolution)
        halvings, reach = self.coding.levels - resolution + 1, REACH[self.coding.reversible] // 2 + 1
        columns = _places(grid.left, grid.right, across, _halved(window.left, window.right, halvings, right), reach)
        rows = _places(grid.top, grid.bottom, down, _halved(window.top, window.bottom, halvings, below), reach)
        for row in rows:
            yield from (max(row, column) for column in columns)


EDGED_SIZE, EDGED_MOST = 14, 18
"""The samples of a precinct, as powers of 2, for whose margin it is worth to be written anew for each window."""
BEYOND = 2
"""Of a code block: no sample of the window depends on it."""


@lru_cache(maxsize=512)
def _places(first: int, last: int, exponent: int, window: tuple[int, int], reach: int) -> tuple[int, ...]:
    """Return for each column (or row) of code blocks: 0 if it is in the window, 1 beside it, 2 beyond its margin."""
    start, stop = window
    found = []
    for block in range(first, last):
        begin, end = block << exponent, block + 1 << exponent
        inside = end > start and begin < stop
        found.append(0 if inside else 1 if end > start - reach and begin < stop + reach else BEYOND)
    return tuple(found)


def _halved(start: int, stop: int, halvings: int, high: int) -> tuple[int, int]:
    """Return the edges of a window in a subband (T.800 B-15)."""
    shift = high << halvings - 1
    return ceil_div(start - shift, 1 << halvings), ceil_div(stop - shift, 1 << halvings)


def choose_blocks(
    header: MainHeader,
    level: int,
    bounds: tuple[Bounds, Bounds],
    packets: TilePackets,
    planes: Planes | None = None,
    edge: Edge | None = None,
) -> tuple[ComponentChoice, ...]:
    """Return what stays of each component; `bounds` are a tile and the part of it that is kept, at the level."""
    tile, kept = bounds
    columns, rows = packets.x.first.tolist(), packets.y.first.tolist()
    return tuple(
        ComponentChoice(
            replace(coding, levels=coding.levels - level),
            header.quantization[number],
            sampled(tile, part),
            sampled(kept, part),
            tuple(zip(columns[number], rows[number], strict=True)),
            planes[number] if planes else (),
            edge and Edge(sampled(edge.window, part), edge.planes),
        )
        for number, (coding, part) in enumerate(zip(header.coding, header.geometry.components, strict=True))
    )


def sampled(bounds: Bounds, part: Component) -> Bounds:
    """Return a part of the reference grid in samples of a component (T.800 B-12)."""
    if part.dx == part.dy == 1:
        return bounds
    steps = part.dx, part.dy, part.dx, part.dy
    return Bounds(*(ceil_div(edge, step) for edge, step in zip(bounds, steps, strict=True)))
