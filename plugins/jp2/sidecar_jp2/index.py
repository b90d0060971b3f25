"""The packet index of an image: from a window to a small codestream that decodes to the same samples.

ITU-T T.800 lets a packet be empty, an image have fewer tiles and a component fewer resolutions: so what a window does
not need can be left out of a codestream without touching what it needs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from gevent.lock import BoundedSemaphore

from sidecar.interfaces import Blob, Native
from sidecar.native import direct
from sidecar_jp2.chain import Chain, Disagreement, Tile, TooManyParts
from sidecar_jp2.codestream import MainHeader
from sidecar_jp2.lowering import Span, can_lower, main_header, understood
from sidecar_jp2.openjpeg import Area
from sidecar_jp2.selection import Cut, Selection, Selector, TooManyPackets
from sidecar_jp2.sparse import SOP, Pieces, SmallCodestream, split, whole

EMPTY, EMPTY_EPH = SOP + b"\x00", SOP + b"\x00\xff\x92"
"""An empty packet (T.800 B.10.3), and one in a codestream with EPH (A.8.2)."""
MANY_TILES = 16
"""Windows of more tiles are worked out in a native thread, so that other greenlets go on; so are those of tiles with
many packets."""
WORTH = 0.98
"""Whoever takes more of the bytes than this may as well take all and decode the plain way."""
SMALL_FILE = 1 << 20
"""A file on this machine that is not longer is decoded in less time than it takes to find out what can be left out."""
LONGEST = 1 << 31
"""Psot has 32 bits; nobody wants to have that much in memory for a window."""


class PacketIndex:
    """What is known of one codestream of one blob. It fills up while windows are asked of it."""

    def __init__(self, header: MainHeader, stop: int, native: Native) -> None:
        """`stop` is where the codestream ends in the blob."""
        self.chain = Chain(header, stop)
        self._header = header
        self._native = native
        self._selector = Selector(header)
        self._sure = understood(header) and self._selector.sure
        self._turn = BoundedSemaphore(1)

    @property
    def nbytes(self) -> int:
        """About how much memory it takes."""
        return self.chain.nbytes + self._selector.nbytes

    def cut(self, area: Area, blob: Blob) -> SmallCodestream | None:
        """The small codestream for an area of the image, or None where the plain way has to be taken.

        None: the codestream is out of the ordinary (POC, PPM, Part 2), tiles are missing, or nothing can be left out.
        Called in a greenlet; may read headers of tile-parts, several at once. Raises Malformed where tile-parts break
        the standard, SourceError.
        """
        cut = self._cut(area)
        length = self.chain.stop - self._header.stop
        if not self._sure or not self._asks_for_some(cut) or (blob.path and length < SMALL_FILE):
            return None
        aside = self._native if cut.tiles > MANY_TILES or self._selector.busy else direct
        try:
            selections = aside(self._selector.select, cut)
            tiles = self._find(blob, {tile: selection.total for tile, selection in selections.items()})
        except (TooManyPackets, TooManyParts):
            return None
        if tiles is None or not all(len(selection.wanted) for selection in selections.values()):
            return None
        small = aside(self._small, area, cut, tiles, [*selections.values()])
        taken = sum(part.stop - part.start for part in small.ranges)
        return small if taken < min(LONGEST, WORTH * length) else None

    def _cut(self, area: Area) -> Cut:
        level, geometry = area.reduce, self._header.geometry
        left, top, right, bottom = (-(-edge >> level) for edge in (area.left, area.top, area.right, area.bottom))
        x, y = Span.of(geometry, 0, level, left, right), Span.of(geometry, 1, level, top, bottom)
        return Cut(level, x, y, (left, right), (top, bottom))

    def _asks_for_some(self, cut: Cut) -> bool:
        """Whether it is a part of the image, not all of it and not nothing."""
        geometry = self._header.geometry
        if cut.level > self._header.levels or cut.across[0] >= cut.across[1] or cut.down[0] >= cut.down[1]:
            return False
        whole = ((geometry.x0, geometry.x1), (geometry.y0, geometry.y1))
        return cut.level > 0 or (cut.across, cut.down) != whole

    def _find(self, blob: Blob, packets: Mapping[int, int]) -> Sequence[Tile] | None:
        """One greenlet reads, the others profit."""
        with self._turn:
            try:
                return self.chain.find(blob, packets)
            except Disagreement:
                self.chain.forget()
                return self.chain.find(blob, packets)

    def _small(self, area: Area, cut: Cut, tiles: Sequence[Tile], selections: Sequence[Selection]) -> SmallCodestream:
        header = self._header
        edges = area.left, area.top, area.right, area.bottom
        if any(tile.lengths is None for tile in tiles):
            head = main_header(header, 0, cut.x, cut.y, marked=False)
            return whole(head, tiles, Area(*edges, area.reduce, cut.tiles))
        empty = EMPTY_EPH if header.eph else EMPTY
        x, y = cut.x.lowered(cut.level), cut.y.lowered(cut.level)
        if x and y and can_lower(header, cut.level, cut.x, cut.y):
            lowered = Area(cut.across[0], cut.down[0], cut.across[1], cut.down[1], 0, cut.tiles, marked=True)
            head = main_header(header, cut.level, x, y, marked=True)
            return split(head, Pieces.of(tiles, selections), empty, lowered, marked=header.sop)
        # All resolutions stay in place, and OpenJPEG leaves out the finest itself.
        pieces = Pieces.of(tiles, [selection.padded for selection in selections])
        head = main_header(header, 0, cut.x, cut.y, marked=True)
        return split(head, pieces, empty, Area(*edges, area.reduce, cut.tiles, marked=True), marked=header.sop)
