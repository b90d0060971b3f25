"""Extraction of small codestreams with the help of packet indexes.

ITU-T T.800 lets a packet be empty, an image have fewer tiles and a component fewer resolutions. So the data that a
window does not need can be left out of a codestream without changing the samples that it does need.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import replace
from functools import partial

from sidecar.plugin import Blob
from sidecar_jp2.extract.counting import count
from sidecar_jp2.extract.cutting import choose_cut
from sidecar_jp2.extract.reduced_header import can_reduce, is_reducible, reduced_main_header
from sidecar_jp2.extract.rewriting import cut_codestream, shortened_codestream
from sidecar_jp2.extract.rewritten_codestream import RewrittenCodestream
from sidecar_jp2.extract.small_codestream import SOP, Pieces, SmallCodestream, join_packets, join_tile_parts
from sidecar_jp2.extraction import Census, LeftOut
from sidecar_jp2.format.broken import Broken
from sidecar_jp2.format.geometry import Area
from sidecar_jp2.format.main_header import MainHeader
from sidecar_jp2.index.index_cache import IndexCache
from sidecar_jp2.index.packet_index import PacketIndex, WindowPackets
from sidecar_jp2.index.packet_selection import LevelWindow
from sidecar_jp2.loss.dropped_planes import Loss, dropped_planes, summed
from sidecar_jp2.loss.loss_table import LossKey

EMPTY, EMPTY_EPH = SOP + b"\x00", SOP + b"\x00\xff\x92"
"""An empty packet (T.800 B.10.3), and one in a codestream with EPH (A.8.2)."""
MAX_SHARE = 0.98
"""If a window needs more of the bytes than this, decoding the whole codestream is as good."""
SMALL_FILE = 1 << 20
"""A local file up to this size is decoded faster than it is found out what can be left out."""
MAX_BYTES = 1 << 31
"""Psot has 32 bits, and no window should hold that much memory."""


class IndexedExtractor:
    """An Extractor for one blob, which finds packets by a packet index out of a cache."""

    def __init__(self, cache: IndexCache, blob: Blob, header: MainHeader, stop: int) -> None:
        """`stop` is the end of the codestream in the blob."""
        self._cache = cache
        self._blob = blob
        self._etag = blob.etag
        self._header = header
        self._stop = stop

    def loss(self, key: LossKey) -> tuple[bool, Loss | None]:
        """Return whether it is known what may be lost, and what may; None: nothing."""
        with self._lease() as index:
            return key in index.losses, index.losses.get(key)

    def keep(self, key: LossKey, loss: Loss | None) -> None:
        """Keep what may be lost with the index."""
        with self._lease() as index:
            index.losses.put(key, loss)

    def _lease(self) -> AbstractContextManager[PacketIndex]:
        far = self._blob.path is None
        return self._cache.lease(self._etag, self._header, self._stop, self._blob.name, far=far)

    def learn(self) -> None:
        """Read all that the index can hold, and keep it outside of this process. Raises SourceError."""
        self._cache.learn(self._blob, self._header, self._stop)

    def extract(
        self, area: Area, *, cut: bool = False, loss: Loss | None = None
    ) -> SmallCodestream | RewrittenCodestream | None:
        """Return the small codestream for an area; None if only the whole codestream will do.

        Unless `cut`, whole tiles can be decoded of it. Called in a greenlet; may read headers of tile-parts.
        Raises SourceError.
        """
        with self._lease() as index:
            return extract(index, area, self._blob, cut=cut, loss=loss)

    def count(self, area: Area, loss: Loss | None) -> Census | None:
        """Return what decoding an area takes, counted; None if its packets are not found. As `extract`."""
        with self._lease() as index:
            return count(index, LevelWindow.of(self._header.geometry, area), self._blob, loss)


def extract(
    index: PacketIndex, area: Area, blob: Blob, *, cut: bool = False, loss: Loss | None = None
) -> SmallCodestream | RewrittenCodestream | None:
    """Return the small codestream for an area of the image; None if the whole codestream has to be decoded.

    If `cut`, it may be cut out of a large tile; `loss` may be lost of it.

    That is so if it uses POC, PPM or Part 2, if the index finds no packets for the area, if its tile-parts are broken,
    or if nothing can be left out. Called in a greenlet; may read headers of tile-parts. Raises SourceError.
    """
    header = index.header
    if loss and index.blocks.unreadable:
        loss = replace(loss, layers=None)
    window = LevelWindow.of(header.geometry, area)
    length, has_end = index.tile_parts.stop - header.stop, index.tile_parts.has_end
    if not (is_reducible(header) and index.unambiguous and _has_pixels(header, window)):
        return None
    everything = loss is None and not _is_part(header, window)
    if (everything or (blob.path and length < SMALL_FILE)) and has_end(blob):
        return None
    run = index.runner(window)
    try:
        packets = index.find(window, blob, loss.layers if loss else None)
    except Broken:
        return None  # OpenJPEG decides what can be made of it
    if packets is None:
        return None
    small = run(_make, index, area, window, packets, cut=cut, loss=loss)
    if loss and loss.layers:
        small = replace(small, left_out=small.left_out._replace(layers=max(0, header.layers - loss.layers)))
    taken = sum(part.stop - part.start for part in small.ranges)
    # That a tile other than the first has a style of its own is known from its header only.
    share = 1 if small.restyled and header.geometry.columns * header.geometry.rows > 1 else MAX_SHARE
    if taken >= MAX_BYTES or (loss is None and not small.cut and taken >= share * length and has_end(blob)):
        return None
    return small


def _has_pixels(header: MainHeader, window: LevelWindow) -> bool:
    return window.level <= header.levels and window.across[0] < window.across[1] and window.down[0] < window.down[1]


def _is_part(header: MainHeader, window: LevelWindow) -> bool:
    """Whether a window is a proper part of the image, not all of it at full size."""
    geometry = header.geometry
    everything = ((geometry.x0, geometry.x1), (geometry.y0, geometry.y1))
    return window.level > 0 or (window.across, window.down) != everything


def _make(
    index: PacketIndex, area: Area, window: LevelWindow, packets: WindowPackets, *, cut: bool, loss: Loss | None
) -> SmallCodestream | RewrittenCodestream:
    header = index.header
    unchanged = partial(_build, header, area, window, packets)
    if not packets.located or index.blocks.unreadable:
        return unchanged()
    if part := choose_cut(header, window) if cut else None:
        return cut_codestream(index, window, packets, part, unchanged, loss)
    if loss is None:
        return unchanged()
    if header.coding[0].reversible or (loss.margin and window.tiles == 1):
        return shortened_codestream(index, window, packets, unchanged, loss) or unchanged()
    return _build(header, area, window, packets, loss)


def _build(
    header: MainHeader, area: Area, window: LevelWindow, packets: WindowPackets, loss: Loss | None = None
) -> SmallCodestream:
    edges = area.left, area.top, area.right, area.bottom
    tiles, selections = packets.tiles, packets.selections
    if not packets.located:
        head = reduced_main_header(header, 0, window.x, window.y, marked=False)
        return join_tile_parts(head, tiles, Area(*edges, area.reduce, window.tiles))
    empty = EMPTY_EPH if header.eph else EMPTY
    x, y = window.x.reduced(window.level), window.y.reduced(window.level)
    if x and y and can_reduce(header, window.level, window.x, window.y):
        left, right, top, bottom = *window.across, *window.down
        planes = dropped_planes(header, window.level, loss) if loss else None
        head = reduced_main_header(header, window.level, x, y, marked=True, planes=planes)
        reduced = Area(left, top, right, bottom, 0, window.tiles, marked=True)
        pieces, left_out = Pieces.of(tiles, selections), LeftOut(planes=summed(planes) if planes else 0)
        small = join_packets(head, pieces, empty, reduced, marked=header.sop, dropped=window.level)
        return replace(small, left_out=left_out)
    # All resolutions stay, the finest ones with empty packets, and OpenJPEG skips them.
    pieces = Pieces.of(tiles, [selection.padded for selection in selections])
    head = reduced_main_header(header, 0, window.x, window.y, marked=True)
    return join_packets(head, pieces, empty, Area(*edges, area.reduce, window.tiles, marked=True), marked=header.sop)
