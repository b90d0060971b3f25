"""What a slide is, for people: its scanner, its levels, its tiles, and how it would better be stored."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from sidecar.plugin import Advice, Fact, ImageInfo
from sidecar_openslide import tiff
from sidecar_openslide.native_tiles import NativeTile, tile_of

Directory = Mapping[int, Sequence[int]]
COMPRESSIONS: Final[Mapping[int, str]] = {
    1: "none",
    5: "LZW",
    7: "JPEG",
    8: "Deflate",
    33003: "JPEG 2000",
    33005: "JPEG 2000",
    34712: "JPEG 2000",
    32946: "Deflate",
    50000: "Zstandard",
    50001: "WebP",
}
"""TIFF's tag Compression, by the registered numbers that libtiff and Aperio use."""
JPEG_2000: Final = "JPEG 2000"
FARTHEST: Final = 4.5
"""From level to level: what lies between is scaled down from up to so much more in each direction."""
LARGEST_TILE: Final = 1024
"""The side of tiles that are not wasteful: they are decoded whole."""
THUMBNAIL: Final = 2048
"""The longer side of the smallest level, about."""
COMMAND: Final = (
    "vips tiffsave IN OUT.tif --tile --tile-width 512 --tile-height 512 --pyramid --compression jpeg --Q 85 --bigtiff"
)
SHOWN: Final[Mapping[str, str]] = {
    "openslide.vendor": "format",
    "openslide.objective-power": "objective power",
    "openslide.mpp-x": "micrometres per pixel, across",
    "openslide.mpp-y": "micrometres per pixel, down",
    "openslide.background-color": "background colour",
    "openslide.bounds-width": "width of what was scanned",
    "openslide.bounds-height": "height of what was scanned",
    "openslide.quickhash-1": "quickhash",
}
"""OpenSlide's standard properties that are shown, by name."""
_ASSOCIATED: Final = "openslide.associated."


@dataclass(frozen=True, slots=True)
class SlideDescription:
    """What is known of an opened slide."""

    properties: Mapping[str, str]
    compressions: tuple[str, ...]
    """Of its tiles, if it is a TIFF; more than one if levels differ."""
    tile: NativeTile
    """The largest tile of any level."""

    @classmethod
    def of(cls, properties: Mapping[str, str], directories: Sequence[Directory], tile: NativeTile) -> SlideDescription:
        """Describe a slide by its properties and, if it is a TIFF, its directories."""
        tiled = [each for each in directories if tiff.TILE_WIDTH in each]
        numbers = [each.get(tiff.COMPRESSION, (1,))[0] for each in tiled]
        names = dict.fromkeys(COMPRESSIONS.get(number, str(number)) for number in numbers)
        return cls(properties, tuple(names), tile)

    def facts(self, info: ImageInfo) -> Sequence[Fact]:
        """Return what the slide is."""
        return [*self._facts(info)]

    def _facts(self, info: ImageInfo) -> Iterator[Fact]:
        for key, name in SHOWN.items():
            if key in self.properties:
                yield Fact(name, self.properties[key])
        if self.compressions:
            yield Fact("compression of tiles", ", ".join(self.compressions))
        for index, level in enumerate(info.levels):
            tile = tile_of(self.properties, index)
            tiles = f"tiles of {tile.width} x {tile.height}" if tile else "no regular tiles"
            size = f"{level.size.width} x {level.size.height}"
            yield Fact(f"level {index}", f"{size}, 1:{level.downsample:.6g}, {tiles}")
        yield Fact("largest tile in pixels", f"{self.tile.size.width} x {self.tile.size.height}")
        others = sorted({key.split(".")[2] for key in self.properties if key.startswith(_ASSOCIATED)})
        yield Fact("associated images", ", ".join(others) or "none")

    def advice(self, info: ImageInfo) -> Sequence[Advice]:
        """Return how the slide would better be stored; nothing if it is well made."""
        reasons = [*self._reasons(info)]
        return [Advice("; ".join(reasons), "store it as a pyramid of tiles", (COMMAND,))] if reasons else []

    def _reasons(self, info: ImageInfo) -> Iterator[str]:
        if JPEG_2000 in self.compressions:
            yield "tiles are JPEG 2000, which takes several times as long to decode as JPEG"
        steps = [coarse.downsample / fine.downsample for fine, coarse in pairwise(info.levels)]
        if max(steps, default=1) > FARTHEST:
            yield f"two levels are {max(steps):.3g} times apart, and what lies between is made of the larger one"
        smallest = info.levels[-1].size
        if max(smallest.width, smallest.height) > THUMBNAIL:
            yield f"the smallest level is {smallest.width} x {smallest.height}, and every overview is made of it"
        if max(self.tile.size.width, self.tile.size.height) > LARGEST_TILE:
            yield f"tiles have {self.tile.size.width} x {self.tile.size.height} pixels, and are decoded whole"
        if not all(level.downsample.is_integer() for level in info.levels):
            yield "the downsample of a level is no whole number, so its pixels are interpolated in small blocks"
