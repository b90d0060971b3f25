"""Estimates of the memory and time that decoding takes: the array of a stage, and what OpenJPH allocates for it."""

from __future__ import annotations

from dataclasses import dataclass

from sidecar_jp2.format.geometry import PIECE, Resolution
from sidecar_jp2.format.main_header import MainHeader
from sidecar_jp2.index.packet_order import MAX_PACKETS
from sidecar_jp2.openjpeg.cut_estimate import INCOMPRESSIBLE
from sidecar_jp2.openjpeg.estimate import ORDER_BYTES, UNEVEN

from sidecar.plugin import Grid, Level
from sidecar_htj2k.cuts import MOST_LEVELS, SMALL_TILE, Cutter, is_cuttable
from sidecar_htj2k.openjph import SHALLOW, depth_of
from sidecar_htj2k.stages import tiles_at_once

COPIES = 4
"""Copies of the compressed bytes: joined to a codestream, another with lowest packets put in, OpenJPH's in chunks."""
COLUMN_BYTES, TILE_COLUMNS = 1400, 64
"""OpenJPH's lines and rows of code blocks, for each column of a component; a tile has some more than its width."""
BLOCK_BYTES = 160
"""OpenJPH's record of a code block."""
FIXED_BYTES = 2 << 20
"""A band of samples being finished and converted, and the structures of a codestream."""
SAMPLE_SECONDS = 25e-9
"""A sample decoded and converted, at one bit and more."""
BASES = 1.5
"""The stages below one have a quarter of its samples each, coded anew."""


@dataclass(frozen=True, slots=True)
class Estimator:
    """Describes the levels of one image."""

    header: MainHeader
    compressed: int
    """Bytes of the codestream."""
    lengths: bool
    """Whether packet lengths are known."""
    packets: float = 0.0
    """The most packets of a tile."""

    def level(self, resolution: Resolution) -> Level:
        """Return a level with what a window of it takes, in bytes and seconds."""
        coded = self.compressed / max(1, resolution.size.area)
        coded = min(coded, self._raw) if self.lengths else coded
        grid, fixed, pixel = self._bytes(resolution)
        geometry = self.header.geometry
        tile = geometry.tile_width * geometry.tile_height >> 2 * resolution.reduce
        seconds = SAMPLE_SECONDS * BASES * len(geometry.components)
        return Level(
            size=resolution.size,
            downsample=float(resolution.scale),
            grid=grid,
            fixed_bytes=int(fixed + min(self.packets, MAX_PACKETS) * ORDER_BYTES),
            pixel_bytes=pixel,
            coded_bytes=coded,
            fixed_seconds=seconds * (0 if pixel else min(tile, resolution.size.area)),
            pixel_seconds=seconds * (1 if grid else 0),
        )

    @property
    def _raw(self) -> float:
        return sum(each.precision for each in self.header.geometry.components) / 8 * INCOMPRESSIBLE

    def _bytes(self, resolution: Resolution) -> tuple[Grid | None, float, float]:
        geometry, reduce = self.header.geometry, resolution.reduce
        components, tiles = len(geometry.components), geometry.columns * geometry.rows
        depth = depth_of(geometry.components, reversible=self.header.coding[0].reversible)
        sample = components * ((2 if depth == SHALLOW else 4) + BLOCK_BYTES / 1024)
        width = min((geometry.tile_width >> reduce) + 1, resolution.size.width)
        height = min((geometry.tile_height >> reduce) + 1, resolution.size.height)
        together = min(tiles, tiles_at_once(self.header, reduce))
        columns = COLUMN_BYTES * components * together * (width + TILE_COLUMNS)
        cuttable = self.lengths and is_cuttable(self.header) and width * height > SMALL_TILE
        if tiles == 1 and cuttable:
            pixel = BASES * (sample + COPIES * self._raw)
            wide, high = Cutter(self.header).alignment(reduce, max(1, min(MOST_LEVELS, self.header.levels - reduce)))
            wide, high = min(wide, width), min(high, height)
            pieces = Grid(x=-resolution.left, y=-resolution.top, width=PIECE.width, height=PIECE.height)
            around = 1 + 2 * wide / PIECE.width + 2 * high / PIECE.height
            return pieces, FIXED_BYTES + columns + 4 * wide * high * pixel, around * pixel
        area = together * width * height
        coded = min(self.compressed, UNEVEN * together * self.compressed / tiles)
        coded = min(coded, self._raw * area) if self.lengths else coded
        sample *= BASES if cuttable else 1
        grid = resolution.grid if tiles > 1 else None
        return grid, FIXED_BYTES + columns + area * sample + COPIES * coded, 0.0
