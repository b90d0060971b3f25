"""The packet index of a codestream: the tiles of a window, and which of their packets it needs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from gevent.lock import BoundedSemaphore

from sidecar.plugin import Blob, Buffer, Native, run_inline
from sidecar_jp2.format.broken import Broken
from sidecar_jp2.format.geometry import Area
from sidecar_jp2.format.main_header import MainHeader
from sidecar_jp2.index.block_store import BlockStore
from sidecar_jp2.index.packet_selection import (
    LevelWindow,
    PacketSelector,
    Selection,
    TilePackets,
    TooManyPackets,
)
from sidecar_jp2.index.tile_part_index import Tile, TilePartIndex, TlmMismatch, TooManyTileParts
from sidecar_jp2.loss.loss_table import LossTable
from sidecar_jp2.store.packing import Extent

MANY_TILES = 16
"""Windows of more tiles are handled in a native thread, so that other greenlets go on; so are tiles with many
packets."""
TILES_AT_ONCE = 512
"""Tiles whose headers are read in one round while all of an image is learned."""
MANY_PARTS, PARTS_OF_A_TILE = 4096, 16
"""Windows of more tile-parts are left to OpenJPEG: for each of them, our lists of ranges and buffers take half a
kilobyte, which nobody has promised."""


@dataclass(frozen=True, slots=True)
class WindowPackets:
    """The tiles of a window, row by row, and the packets of each that the window needs, at least one."""

    tiles: Sequence[Tile]
    selections: Sequence[Selection]

    @property
    def located(self) -> bool:
        """Whether the packet lengths of all tiles are known, so that single packets can be taken."""
        return all(tile.lengths is not None for tile in self.tiles)


class PacketIndex:
    """The index of one codestream of one blob. It grows as windows are looked up."""

    def __init__(self, header: MainHeader, stop: int, native: Native, name: str = "") -> None:
        """`stop` is the end of the codestream in the blob; `native` runs what takes long; `name` is for messages."""
        self.header = header
        self.blocks = BlockStore(name)
        self.losses = LossTable()
        self.tile_parts = TilePartIndex(header, stop)
        self.head: Mapping[int, Buffer] = {}
        """Blocks of the file's head that took a read of their own, by number; see KeptImages."""
        self.kept = 0
        """The size of the extent that is kept outside of this process."""
        self._exhausted = False
        self._native = native
        self._selector = PacketSelector(header)
        self._turn = BoundedSemaphore(1)

    @property
    def nbytes(self) -> int:
        """The approximate memory in bytes."""
        learnt = self.blocks.nbytes + self.losses.nbytes + sum(map(len, self.head.values()))
        return self.header.nbytes + self.tile_parts.nbytes + self._selector.nbytes + learnt

    @property
    def extent(self) -> Extent:
        """How much is known."""
        parts = self.tile_parts
        complete = self._exhausted or len(parts.tiles) == parts.tiles_in_image
        size = parts.revision + (parts.marked is not None) + self.losses.revision + len(self.head)
        return Extent(size, complete)

    @property
    def unambiguous(self) -> bool:
        """Whether every decoder agrees on the order of the packets."""
        return self._selector.unambiguous

    def runner(self, window: LevelWindow) -> Native:
        """Return what should run the computations for a window: a native thread, or the caller if they are short."""
        return self._native if window.tiles > MANY_TILES or self._selector.slow else run_inline

    def tile_packets(self, window: LevelWindow) -> Iterator[TilePackets]:
        """Yield the packets of each tile of a window that `find` has found, row by row."""
        return self._selector.packets(window)

    def find(self, window: LevelWindow, blob: Blob, layers: int | None = None) -> WindowPackets | None:
        """Return the packets that a window needs; None if tiles are missing, inconsistent or too large to index.

        They are those of the first `layers`, if these are given. Called in a greenlet; it may read tile-part headers,
        several at once. Raises Broken if tile-parts break the standard, and SourceError.
        """
        try:
            selections = self.runner(window)(self._selector.select, window, layers)
            tiles = self._find_tiles(blob, {tile: selection.total for tile, selection in selections.items()})
        except (TooManyPackets, TooManyTileParts):
            return None
        if tiles is None or not all(len(selection.wanted) for selection in selections.values()):
            return None
        if sum(tile.parts.shape[1] for tile in tiles) > MANY_PARTS + PARTS_OF_A_TILE * len(tiles):
            return None
        return WindowPackets(tiles, [*selections.values()])

    def learn(self, blob: Blob) -> None:
        """Read the headers of all tile-parts, some rows of tiles at a time; Broken ones end it. Raises SourceError."""
        try:
            self.tile_parts.has_end(blob)
            for window in self._rows():
                self._find_tiles(blob, self._selector.totals(window))
        except (Broken, TooManyPackets, TooManyTileParts):
            pass
        self._exhausted = True

    def _rows(self) -> Iterator[LevelWindow]:
        """Yield windows that together show every tile once."""
        geometry = self.header.geometry
        height = max(1, TILES_AT_ONCE // geometry.columns) * geometry.tile_height
        for top in range(geometry.tile_y, geometry.y1, height):
            edges = geometry.x0, max(top, geometry.y0), geometry.x1, min(top + height, geometry.y1)
            if edges[1] < edges[3]:
                yield LevelWindow.of(geometry, Area(*edges, 0, 1))

    def _find_tiles(self, blob: Blob, packets: Mapping[int, int]) -> Sequence[Tile] | None:
        with self._turn:  # one greenlet reads, and the others find what it has read
            try:
                return self.tile_parts.find(blob, packets)
            except TlmMismatch:
                self.tile_parts.forget()
                return self.tile_parts.find(blob, packets)
