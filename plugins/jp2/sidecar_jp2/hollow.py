"""Codestreams that declare anything and hold nothing, for tests: their packets are empty (ITU-T T.800 B.10.3)."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from sidecar_jp2.format.main_header import Progression
from sidecar_jp2.format.markers import Marker, segment_bytes
from sidecar_jp2.format.rounding import ceil_div


@dataclass(frozen=True, slots=True, kw_only=True)
class Hollow:
    """What a codestream declares; the defaults are an untiled image of three components as encoders write it."""

    size: tuple[int, int]
    """Width and height in samples."""
    tile: tuple[int, int] | None = None
    """None: one tile."""
    components: int = 3
    depth: int = 8
    levels: int = 5
    blocks: tuple[int, int] = (6, 6)
    """Exponents of the sides of code blocks."""
    precincts: tuple[tuple[int, int], ...] = ()
    """(PPx, PPy) of each resolution, the smallest first; the last one counts for those after it. Empty: (15, 15)."""
    progression: Progression = Progression.LRCP
    layers: int = 1
    body: int = 18
    """Bytes of each tile, all zero: so many empty packets, if there are as many."""
    parts: int = 1
    """Tile-parts of each tile; the later ones are empty."""
    comments: int = 0
    """Empty COM segments in the main header."""

    @property
    def codestream(self) -> bytes:
        """The bytes, from SOC to EOC."""
        columns, rows = (ceil_div(side, of) for side, of in zip(self.size, self.tile or self.size, strict=True))
        tiles = b"".join(self._tile_part(tile, part) for tile in range(columns * rows) for part in range(self.parts))
        return self._header() + tiles + struct.pack(">H", Marker.EOC)

    def _header(self) -> bytes:
        tile = self.tile or self.size
        siz = struct.pack(">H8IH", 0, *self.size, 0, 0, *tile, 0, 0, self.components)
        siz += bytes([self.depth - 1, 1, 1]) * self.components
        sizes = [*self.precincts, *self.precincts[-1:] * self.levels][: self.levels + 1]
        cod = struct.pack(">BBHB", bool(sizes), self.progression, self.layers, 0)
        cod += bytes([self.levels, self.blocks[0] - 2, self.blocks[1] - 2, 0, 1])
        cod += bytes(x | y << 4 for x, y in sizes)
        qcd = b"\x40" + bytes([self.depth << 3]) * (3 * self.levels + 1)
        segments = ((Marker.SIZ, siz), (Marker.COD, cod), (Marker.QCD, qcd))
        head = b"".join(segment_bytes(marker, data) for marker, data in segments)
        return struct.pack(">H", Marker.SOC) + head + segment_bytes(Marker.COM, b"") * self.comments

    def _tile_part(self, tile: int, part: int) -> bytes:
        body = bytes(0 if part else self.body)
        start = struct.pack(">HIBB", tile, 14 + len(body), part, self.parts)
        return segment_bytes(Marker.SOT, start) + struct.pack(">H", Marker.SOD) + body
