"""What decoding a slide's tiles takes: OpenSlide decodes them whole, one after the other, however little is wanted.

The largest tile of a file counts for all its levels. Bytes for each pixel, beside the slide's own pixels as they are
written: 4 of OpenSlide's ARGB, and what the format's decoder holds. Checked against measured peaks in the tests.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from sidecar.plugin import Malformed, Size
from sidecar_openslide import tiff
from sidecar_openslide.library import Slide

Directory = Mapping[int, Sequence[int]]

_ARGB: Final = 4
# A progressive JPEG is decoded from all its coefficients, of 2 bytes each (ITU-T T.81 G.1.1); CMYK has four of them.
_JPEG: Final = 8
# OpenJPEG's samples and coefficients, of 4 bytes each and three components, and a margin; no other decoder takes more.
_OTHER: Final = 36
_MARGIN: Final = 1
STRIP_PIXEL_BYTES: Final = 16
"""The most compressed bytes that a strip may have for each pixel of its picture."""
_HEADROOM: Final = 1 << 16
_JPEG_COMPRESSION: Final = 7
_JPEG_2000: Final = frozenset({33003, 33004, 33005, 34712})
_JPEG_VENDORS: Final = frozenset({"hamamatsu", "sakura", "mirax"})
# A tile's size if nothing states it: larger than usual.
_UNKNOWN: Final = Size(1024, 1024)
# MIRAX: the size of the pictures that tiles are cut from, in Slidedat.ini and so in OpenSlide's properties.
_PICTURE: Final = re.compile(r"mirax\..*\.DIGITIZER_(WIDTH|HEIGHT)")


@dataclass(frozen=True, slots=True)
class NativeTile:
    """The largest tile of a slide."""

    size: Size
    pixel_bytes: int
    """What decoding takes for each of its pixels."""
    coded_bytes: int
    """The most compressed bytes that one tile claims to have."""

    @property
    def bytes(self) -> int:
        """What decoding one takes at once."""
        return self.size.area * self.pixel_bytes + self.coded_bytes


def largest_tile(slide: Slide, directories: Iterable[Directory], subblock: Size | None = None) -> NativeTile:
    """Return the largest tile of a slide: of all its levels, directories (if it is a TIFF), subblocks (Zeiss)."""
    vendor = slide.properties.get("openslide.vendor", "")
    sizes = [*_stated(slide.properties), subblock]
    costs, coded = [], 0
    for directory in directories:
        sizes.append(_tile(directory))
        costs.append(_pixel_bytes(directory))
        coded = max(coded, *directory.get(tiff.TILE_BYTES, (0,)))
    known = [size for size in sizes if size is not None]
    other = _ARGB + (_JPEG if vendor in _JPEG_VENDORS else _OTHER)
    return NativeTile(max(known, key=lambda size: size.area, default=_UNKNOWN), max(costs, default=other), coded)


def check(tile: NativeTile, limit: int, length: int, name: str) -> None:
    """Raise Malformed if a tile has more pixels than the limit, or claims more bytes than the file of `length` has."""
    if tile.size.area > limit:
        shape = f"{tile.size.width} x {tile.size.height}"
        raise Malformed(f"{name!r} has tiles of {shape} pixels; SIDECAR_OPENSLIDE_MAX_TILE_PIXELS is {limit}")
    if tile.coded_bytes > length:
        raise Malformed(f"{name!r} has a tile of {tile.coded_bytes} bytes, more than the file")


def check_strips(directories: Iterable[Directory], name: str) -> None:
    """Raise Malformed if a strip claims more bytes than its picture can need: libtiff makes room for all of them."""
    for directory in directories:
        width, length = (directory.get(tag, (0,))[0] for tag in (tiff.WIDTH, tiff.LENGTH))
        claimed = directory.get(tiff.STRIP_BYTES, (0,))[0]
        if claimed > STRIP_PIXEL_BYTES * width * length + _HEADROOM:
            raise Malformed(f"{name!r} has a strip of {claimed} bytes, more than its picture can need")


def _stated(properties: Mapping[str, str]) -> Iterable[Size | None]:
    levels = int(properties.get("openslide.level-count", "0"))
    yield from (tile_of(properties, level) for level in range(levels))
    picture = {"WIDTH": 0, "HEIGHT": 0}
    for key, value in properties.items():
        if (found := _PICTURE.fullmatch(key)) and value.isdecimal():
            picture[found[1]] = max(picture[found[1]], int(value))
    yield Size(picture["WIDTH"], picture["HEIGHT"]) if all(picture.values()) else None


def tile_of(properties: Mapping[str, str], level: int) -> Size | None:
    """Return the size of a level's tiles as OpenSlide states it; None if it does not."""
    width, height = (properties.get(f"openslide.level[{level}].tile-{side}") for side in ("width", "height"))
    return Size(int(width), int(height)) if width and height else None


def _tile(directory: Directory) -> Size | None:
    """Return the size of a directory's tiles; OpenSlide shows none of those in strips."""
    width, height = (directory.get(tag, (0,))[0] for tag in (tiff.TILE_WIDTH, tiff.TILE_LENGTH))
    return Size(width, height) if width and height else None


def _pixel_bytes(directory: Directory) -> int:
    compression = directory.get(tiff.COMPRESSION, (1,))[0]
    if compression in _JPEG_2000:
        return _ARGB + _OTHER
    # What libtiff unpacks: all samples of a pixel, those that nobody shows included.
    samples = directory.get(tiff.SAMPLES_PER_PIXEL, (1,))[0]
    unpacked = samples * -(-max(directory.get(tiff.BITS_PER_SAMPLE, (1,))) // 8)
    return _ARGB + (max(_JPEG, unpacked) if compression == _JPEG_COMPRESSION else unpacked) + _MARGIN
