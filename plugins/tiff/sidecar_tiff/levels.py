"""The levels of a slide as the core sees them: those stored, and between them those that decoding makes of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from sidecar.plugin import ByteRange, Grid, Level, Rect, Size
from sidecar_tiff.codecs import TileCodec
from sidecar_tiff.slide import StoredLevel

_SMALLEST: Final = 64
"""Pixels of the shorter side below which a level is not halved any more."""
_NEXT: Final = 1.5
"""Times the downsample by which the next stored level has to be coarser, so that one is made in between."""


@dataclass(frozen=True, slots=True, eq=False)
class ShownLevel:
    """A stored level, or what is made of it by decoding its tiles at 1:2, 1:4 or 1:8."""

    stored: StoredLevel
    codec: TileCodec
    ratio: int = 1

    @property
    def size(self) -> Size:
        """The size in pixels. What is left at the edges is cut off, as scanners do: there, tiles hold padding."""
        return Size(max(1, self.stored.size.width // self.ratio), max(1, self.stored.size.height // self.ratio))

    @property
    def tile(self) -> Size:
        """The size of a tile."""
        return Size(self.stored.tile.width // self.ratio, self.stored.tile.height // self.ratio)

    def tiles(self, region: Rect) -> Iterator[tuple[int, int]]:
        """Return column and row of the tiles that a region touches, row by row."""
        tile = self.tile
        for row in range(region.y // tile.height, -(-region.bottom // tile.height)):
            for column in range(region.x // tile.width, -(-region.right // tile.width)):
                yield column, row

    def places(self, region: Rect) -> Sequence[ByteRange]:
        """Return the places of the tiles that a region touches. Raises as Tiles.places."""
        columns = self.stored.columns
        return self.stored.tiles.places([row * columns + column for column, row in self.tiles(region)])

    @property
    def level(self) -> Level:
        """What the core has to know of it."""
        stored, tile = self.stored, self.tile
        area = self.size.area
        return Level(
            size=self.size,
            downsample=stored.downsample * self.ratio,
            grid=Grid(width=tile.width, height=tile.height),
            # One tile at a time, and its pixels if a part of them is wanted; the others are written in place.
            fixed_bytes=self.codec.tile_bytes + 3 * tile.area,
            pixel_bytes=0.0,
            coded_bytes=stored.longest * stored.count / area,
            pixel_seconds=self.codec.pixel_seconds * self.ratio**2,
        )


def shown_levels(stored: Sequence[StoredLevel], codecs: Sequence[TileCodec]) -> Iterator[ShownLevel]:
    """Return all levels, finest first."""
    followers = [*(level.downsample for level in stored[1:]), float("inf")]
    for level, codec, following in zip(stored, codecs, followers, strict=True):
        yield ShownLevel(level, codec)
        for halved in range(1, codec.reductions + 1):
            made = ShownLevel(level, codec, 1 << halved)
            if min(made.size.width, made.size.height) < _SMALLEST or level.downsample * made.ratio * _NEXT > following:
                break
            yield made
