"""What a window takes of a codestream, counted for people: its tiles, packets and code blocks."""

from __future__ import annotations

import numpy as np

from sidecar.plugin import Blob
from sidecar_jp2.extract.block_choice import Precinct, choose_blocks
from sidecar_jp2.extract.rewriting import tile_bounds, tile_numbers
from sidecar_jp2.extraction import Census
from sidecar_jp2.format.block_grid import Bounds
from sidecar_jp2.format.broken import Broken
from sidecar_jp2.format.main_header import MainHeader
from sidecar_jp2.index.packet_index import PacketIndex
from sidecar_jp2.index.packet_selection import LevelWindow, Selection, TilePackets
from sidecar_jp2.loss.dropped_planes import Loss


def count(index: PacketIndex, window: LevelWindow, blob: Blob, loss: Loss | None) -> Census | None:
    """Return what a window takes; None if its packets are not found. Called in a greenlet. Raises SourceError."""
    header = index.header
    try:
        found = index.find(window, blob, loss.layers if loss else None)
    except Broken:
        return None
    if found is None or not found.located:
        return None
    numbers = tile_numbers(header, window)
    counted: dict[tuple[int, Bounds], int] = {}
    blocks = 0
    for own, selection, number in zip(index.tile_packets(window), found.selections, numbers, strict=True):
        bounds = tile_bounds(header, number, window.level)
        key = id(selection), bounds
        if key not in counted:
            counted[key] = _blocks(header, window.level, bounds, own, selection)
        blocks += counted[key]
    return Census(
        tiles=len(found.tiles),
        packets=sum(len(selection.wanted) for selection in found.selections),
        of_packets=sum(selection.total for selection in found.selections),
        blocks=blocks,
    )


def _blocks(header: MainHeader, level: int, bounds: Bounds, tile: TilePackets, selection: Selection) -> int:
    """Return how many code blocks the precincts of the selected packets have."""
    choices = choose_blocks(header, level, (bounds, bounds), tile)
    numbers = selection.wanted
    component, resolution = np.divmod(tile.order.cell[numbers], tile.x.count.shape[1])
    places = np.stack([component, resolution, tile.order.column[numbers], tile.order.row[numbers]])
    total = 0
    for place in np.unique(places, axis=1).T.tolist():
        precinct = Precinct(*place)
        whole, _ = choices[precinct.component].grids(precinct)
        total += sum(grid.width * grid.height for grid in whole)
    return total
