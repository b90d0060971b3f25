"""Planning a small codestream whose packet headers are written anew: its tiles, and which precincts change."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from sidecar_jp2.extract.block_choice import ComponentChoice, Edge, Precinct, choose_blocks
from sidecar_jp2.extract.cutting import Cut, Places, alone
from sidecar_jp2.extract.reduced_header import can_reduce, reduced_main_header
from sidecar_jp2.extract.rewritten_codestream import Packets, RewrittenCodestream, RewrittenPrecinct, RewrittenTile
from sidecar_jp2.extract.small_codestream import Pieces, SmallCodestream
from sidecar_jp2.extraction import LeftOut
from sidecar_jp2.format.block_grid import Bounds
from sidecar_jp2.format.geometry import Area
from sidecar_jp2.format.main_header import MainHeader, Progression, parse_main_header
from sidecar_jp2.format.markers import Marker
from sidecar_jp2.format.rounding import ceil_div
from sidecar_jp2.index.packet_index import PacketIndex, WindowPackets
from sidecar_jp2.index.packet_selection import LevelWindow, Selection, TilePackets
from sidecar_jp2.loss.dropped_planes import Loss, dropped_planes, summed

Unchanged: TypeAlias = Callable[[], SmallCodestream]
"""Makes the small codestream of the same packets as they are."""
Flags: TypeAlias = NDArray[np.bool_]
Numbers: TypeAlias = NDArray[np.int64]


def cut_codestream(
    index: PacketIndex, window: LevelWindow, packets: WindowPackets, cut: Cut, unchanged: Unchanged, loss: Loss | None
) -> RewrittenCodestream:
    """Return the codestream of a cut for a window."""
    header = index.header
    x, y = alone(cut.area.left, cut.area.right), alone(cut.area.top, cut.area.bottom)
    planes = dropped_planes(header, window.level, loss) if loss else None
    # The order of packets by layer, resolution and component depends on no position (T.800 B.12.1.1).
    head = reduced_main_header(header, window.level, x, y, marked=True, progression=Progression.LRCP, planes=planes)
    pieces = Pieces.of(packets.tiles, packets.selections)
    tile = next(index.tile_packets(window))
    places = Places.of(parse_main_header(head + Marker.SOT.to_bytes(2)), tile, pieces.numbers)
    edge = Edge(_bounds(window), loss.margin) if loss and loss.margin else None
    choice = choose_blocks(header, window.level, (cut.tile, cut.area), tile, planes, edge)
    changed = _Changed.of(choice, tile, pieces.numbers)
    positions = np.empty(len(places.order), np.int64)
    positions[places.order] = np.arange(len(places.order))
    number = window.y.begin * header.geometry.columns + window.x.begin
    stored = _packets(pieces, slice(None), places.places, places.order, places.total)
    return RewrittenCodestream(
        ranges=pieces.ranges,
        area=Area(*_bounds(window), 0, 1, marked=True),
        head=head,
        tiles=(RewrittenTile(number, stored, changed.precincts(positions), choice),),
        sop=header.sop,
        eph=header.eph,
        store=index.blocks,
        unchanged=unchanged,
        cut=True,
        left_out=LeftOut(planes=summed(planes) if planes else 0),
    )


def shortened_codestream(
    index: PacketIndex, window: LevelWindow, packets: WindowPackets, unchanged: Unchanged, loss: Loss
) -> RewrittenCodestream | None:
    """Return the codestream of whole tiles with fewer coding passes; None if the finest resolutions must stay."""
    header, level = index.header, window.level
    x, y = window.x.reduced(level), window.y.reduced(level)
    if not (x and y and can_reduce(header, level, window.x, window.y)):
        return None
    planes = dropped_planes(header, level, loss)
    edge = Edge(_bounds(window), loss.margin) if loss.margin else None
    pieces = Pieces.of(packets.tiles, packets.selections)
    tiles, made, at = list[RewrittenTile](), dict[int, tuple[RewrittenPrecinct, ...]](), 0
    for own, selection, number in zip(
        index.tile_packets(window), packets.selections, tile_numbers(header, window), strict=True
    ):
        bounds = tile_bounds(header, number, level)
        choice = choose_blocks(header, level, (bounds, bounds), own, planes, edge)
        # Tiles whose packets are in the same order share their selections.
        if id(selection) not in made:
            count = np.arange(len(selection.wanted))
            made[id(selection)] = _Changed.of(choice, own, selection.wanted).precincts(count)
        where = slice(at, at + len(selection.wanted))
        at = where.stop
        places, total = _places(selection)
        stored = _packets(pieces, where, places, np.arange(len(places)), total)
        tiles.append(RewrittenTile(number, stored, made[id(selection)], choice))
    return RewrittenCodestream(
        ranges=pieces.ranges,
        area=Area(*_bounds(window), 0, window.tiles, marked=True),
        head=reduced_main_header(header, level, x, y, marked=True, planes=planes),
        tiles=tuple(tiles),
        sop=header.sop,
        eph=header.eph,
        store=index.blocks,
        unchanged=unchanged,
        dropped=level,
        left_out=LeftOut(planes=summed(planes)),
    )


def _bounds(window: LevelWindow) -> Bounds:
    left, right, top, bottom = *window.across, *window.down
    return Bounds(left, top, right, bottom)


def tile_numbers(header: MainHeader, window: LevelWindow) -> Iterator[int]:
    """Yield the numbers of the tiles of a window, row by row."""
    for row in range(window.y.begin, window.y.end):
        yield from range(row * header.geometry.columns + window.x.begin, row * header.geometry.columns + window.x.end)


def tile_bounds(header: MainHeader, number: int, level: int) -> Bounds:
    tile = header.geometry.tile(number)
    return Bounds(*(ceil_div(edge, 1 << level) for edge in (tile.x, tile.y, tile.right, tile.bottom)))


def _places(selection: Selection) -> tuple[Numbers, int]:
    """Return the place of each packet among those that are kept, and how many are."""
    places = np.cumsum(selection.gaps[:-1] + 1) - 1
    return places, int(places[-1] + 1 + selection.gaps[-1])


def _packets(pieces: Pieces, where: slice, places: Numbers, order: Numbers, total: int) -> Packets:
    begins = pieces.begins
    ranges = np.cumsum(begins) - 1
    starts = pieces.starts - pieces.starts[begins][ranges]
    stops = starts + pieces.stops - pieces.starts
    return Packets(
        places=tuple(places[order].tolist()),
        numbers=tuple(pieces.numbers[where][order].tolist()),
        ranges=tuple(ranges[where][order].tolist()),
        starts=tuple(starts[where][order].tolist()),
        stops=tuple(stops[where][order].tolist()),
        total=total,
    )


@dataclass(frozen=True, slots=True)
class _Changed:
    """Which packets of a tile are written anew, and where their precincts are."""

    columns: Numbers
    """By packet: component, resolution, column and row of the precinct."""
    changes: Flags
    lasts: Flags
    """Whether every window gets the same of it."""

    @classmethod
    def of(cls, choices: Sequence[ComponentChoice], tile: TilePackets, numbers: Numbers) -> _Changed:
        cells, resolutions = tile.order.cell[numbers], tile.x.count.shape[1]
        component, resolution = np.divmod(cells, resolutions)
        column, row = (each[numbers].astype(np.int64) for each in (tile.order.column, tile.order.row))
        through, beside, shortened = (np.zeros(len(numbers), bool) for _ in range(3))
        for number, choice in enumerate(choices):
            for level in range(choice.coding.levels + 1):
                own = np.flatnonzero((component == number) & (resolution == level))
                at = column[own] + choice.first[level][0], row[own] + choice.first[level][1]
                through[own] = _leaves(choice, level, at, choice.part)
                if choice.edge and choice.edged(level):
                    beside[own] = _leaves(choice, level, at, choice.edge.window)
                # The quantization leaves planes out of irreversible components.
                shortened[own] = choice.coding.reversible and any(choice.dropped(level))
        changes = through | beside | shortened
        return cls(np.stack([component, resolution, column, row]), changes, ~through & ~beside)

    def precincts(self, positions: Numbers) -> tuple[RewrittenPrecinct, ...]:
        """Return the precincts to be written anew; `positions` are those of the packets."""
        found: dict[Precinct, list[int]] = {}
        which = np.flatnonzero(self.changes)
        lasting: dict[Precinct, bool] = {}
        for place, position, lasts in zip(
            self.columns[:, which].T.tolist(), positions[which].tolist(), self.lasts[which].tolist(), strict=True
        ):
            key = Precinct(*place)
            found.setdefault(key, []).append(position)
            lasting[key] = lasts
        return tuple(RewrittenPrecinct(tuple(packets), key, lasting[key]) for key, packets in found.items())


def _leaves(choice: ComponentChoice, level: int, at: tuple[Numbers, Numbers], part: Bounds) -> Flags:
    """Return which precincts of a resolution an edge of a part of the tile runs through."""
    halvings, found = choice.coding.levels - level, np.zeros(len(at[0]), bool)
    for axis in (0, 1):
        size = choice.coding.precincts[level][axis]
        edges = (part[axis], choice.tile[axis], part[axis + 2], choice.tile[axis + 2])
        begin, low, stop, high = (ceil_div(edge, 1 << halvings) for edge in edges)
        first = at[axis] << size
        found |= ((low < begin) & (first < begin)) | ((stop < high) & (first + (1 << size) > stop))
    return found
