"""What a TIFF is as a slide: its levels as OpenSlide counts them, or the reason why it is left to OpenSlide.

Only what looks the same in any reader is taken: Aperio's slides and plain tiled pyramids, of JPEG tiles, and of JPEG
2000 tiles as Aperio has them. OpenSlide reads the other makers' TIFFs in ways of their own: tiles that overlap, several
areas in one directory, backgrounds. They are told apart by what OpenSlide knows them by.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from itertools import pairwise
from typing import Final

import numpy as np

from sidecar.plugin import Blob, Size, Unsupported
from sidecar_tiff import tags
from sidecar_tiff.checks import TileCheck
from sidecar_tiff.pages import Contents, Page
from sidecar_tiff.places import HeldTiles, Numbers, PagedTiles, Pages, Paging, Part, Tiles
from sidecar_tiff.properties import pixel_micrometres, properties_of

_ICC_SPACE: Final = slice(16, 20)
"""The colour space that a profile is about (ICC.1:2022 7.2.6)."""
_UNEVEN: Final = 0.01
"""Of a level's side: what rounding its size may make beside a pixel."""
_EIGHT_BITS: Final = 8


class Coding(Enum):
    """How tiles are compressed, and what their samples are."""

    JPEG_GREY = "JPEG, grey"
    JPEG_RGB = "JPEG, RGB"
    JPEG_YCC = "JPEG, YCbCr"
    JPEG_2000_RGB = "JPEG 2000, RGB"
    JPEG_2000_YCC = "JPEG 2000, YCbCr"

    @property
    def jpeg(self) -> bool:
        """Whether it is JPEG (ITU-T T.81)."""
        return self in (Coding.JPEG_GREY, Coding.JPEG_RGB, Coding.JPEG_YCC)


_JPEG: Final = {
    (tags.GREY, 1): Coding.JPEG_GREY,
    (tags.RGB, 3): Coding.JPEG_RGB,
    (tags.YCBCR, 3): Coding.JPEG_YCC,
}
_JPEG_2000: Final = {tags.JPEG_2000_RGB: Coding.JPEG_2000_RGB, tags.JPEG_2000_YCC: Coding.JPEG_2000_YCC}


@dataclass(frozen=True, slots=True, eq=False)
class StoredLevel:
    """A resolution as the file has it. Tiles are all of one size: those at the right and bottom edge are padded."""

    size: Size
    downsample: float
    tile: Size
    coding: Coding
    tables: bytes = field(repr=False)
    """The JPEG tables that all tiles share (TIFF Technical Note 2); empty if each has its own."""
    places: Numbers = field(repr=False)
    lengths: Numbers = field(repr=False)
    """In bytes; 0 if nothing was scanned there. Both are empty if `paged`."""
    paged: PagedTiles | None = field(default=None, repr=False)
    """Places and lengths, if they stay in the file."""

    @property
    def columns(self) -> int:
        """Tiles across."""
        return -(-self.size.width // self.tile.width)

    @property
    def count(self) -> int:
        """The number of tiles, those included that were not scanned."""
        return self.columns * -(-self.size.height // self.tile.height)

    @property
    def tiles(self) -> Tiles:
        """Where in the file tiles lie, by lists that are held or stay there."""
        return self.paged or HeldTiles(Part(self.places, self.lengths))

    @property
    def longest(self) -> int:
        """No tile has more bytes."""
        return self.tiles.longest

    @property
    def held_bytes(self) -> int:
        """The bytes that are held; of lists that stay in the file the first page, which was read with the slide."""
        first = sum(each.head.nbytes for each in self.paged.lists) if self.paged else 0
        return self.places.nbytes + self.lengths.nbytes + first + len(self.tables)


@dataclass(frozen=True, slots=True, eq=False)
class Slide:
    """The levels of a slide, finest first."""

    levels: Sequence[StoredLevel]
    icc: bytes | None
    properties: Mapping[str, str] = field(repr=False)
    """As OpenSlide names them."""
    pixel_micrometres: float | None
    """The side of a pixel of the finest level."""
    pages: Pages = field(repr=False)
    """What was read of lists that stay in the file."""


def slide_of(contents: Contents, blob: Blob, paging: Paging) -> Slide:
    """Return what a TIFF is as a slide. Raises Unsupported if it is none, or not one that is read here; SourceError."""
    first = contents.pages[0]
    aperio = is_aperio(first)
    pages = [page for index, page in enumerate(contents.pages) if _is_level(page, index, aperio=aperio)]
    if not pages or pages[0] is not first:
        raise Unsupported("a TIFF whose first picture is not tiled")
    read = Pages(blob, paging)
    levels = [*_levels(pages, read, aperio=aperio)]
    if any(level.size.width >= before.size.width for before, level in pairwise(levels)):
        raise Unsupported("a slide whose levels are not in order")
    properties = properties_of(contents.pages, aperio=aperio)
    return Slide(
        levels, check_profile(first.texts.get(tags.ICC)), properties, pixel_micrometres(first, properties), read
    )


def check_profile(icc: bytes | None) -> bytes | None:
    """Return a profile as it is. Raises Unsupported if it is of another space than RGB."""
    if icc is not None and icc[_ICC_SPACE] != b"RGB ":
        raise Unsupported("a slide whose ICC profile is not one of RGB")
    return icc


def is_aperio(page: Page) -> bool:
    """Report whether the first directory is that of an Aperio slide, or of a TIFF of no maker's.

    Raises Unsupported for the TIFFs of other makers, and those in which XML says what belongs together.
    """
    if page.texts.get(tags.DESCRIPTION, b"").startswith(b"Aperio"):
        return True
    description = page.texts.get(tags.DESCRIPTION, b"").lstrip(b"\xef\xbb\xbf \t\r\n")
    software = page.texts.get(tags.SOFTWARE, b"")
    maker = (
        tags.NDPI in page.tags  # Hamamatsu
        or tags.XMP in page.tags  # Ventana
        or description.startswith(b"<")  # Leica, Philips, Argos, OME
        or software.startswith((b"MedScan", b"Philips"))  # Trestle
        or page.texts.get(tags.MAKE, b"").startswith((b"Huron", b"Hamamatsu", b"Philips"))
    )
    if maker:
        raise Unsupported("a slide of a maker whose TIFFs only OpenSlide reads")
    return False


def _is_level(page: Page, index: int, *, aperio: bool) -> bool:
    """Report whether OpenSlide takes a directory for a level: of others than Aperio's, smaller pictures only."""
    tiled = tags.TILE_WIDTH in page.tags
    return tiled and (aperio or not index or bool(page.number(tags.SUBFILE, 0) & tags.REDUCED))


def _levels(pages: Sequence[Page], read: Pages, *, aperio: bool) -> Iterator[StoredLevel]:
    whole = size_of(pages[0], tags.WIDTH, tags.LENGTH)
    for page in pages:
        level = StoredLevel(
            size=(size := size_of(page, tags.WIDTH, tags.LENGTH)),
            downsample=_downsample(whole, size),
            tile=size_of(page, tags.TILE_WIDTH, tags.TILE_LENGTH),
            coding=coding_of(page, aperio=aperio),
            tables=page.texts.get(tags.JPEG_TABLES, b""),
            places=page.lists.get(tags.TILE_OFFSETS, np.empty(0, np.uint32)),
            lengths=page.lists.get(tags.TILE_BYTES, np.empty(0, np.uint32)),
        )
        check = TileCheck(level.tile, level.count, read.blob, complete=aperio)
        if page.paged:
            yield replace(level, paged=check.paged(page.paged, read))
        else:
            check.held(Part(level.places, level.lengths))
            yield level


def size_of(page: Page, width: int, height: int) -> Size:
    """Return the size in two fields of a directory. Raises Unsupported if they are missing."""
    size = Size(page.number(width, 0), page.number(height, 0))
    if not size.area:
        raise Unsupported("a TIFF that does not state its size")
    return size


def _downsample(whole: Size, size: Size) -> float:
    """Return how many pixels of the finest level make one.

    Scanners reduce by whole numbers and cut off what is left at the edges. OpenSlide takes the mean of the quotients of
    both sides, which is a little more then, and tiles would drift away from where they are.
    """
    ratios = whole.width / size.width, whole.height / size.height
    mean = (ratios[0] + ratios[1]) / 2
    even = max(1, round(mean))
    sides = ((whole.width, size.width), (whole.height, size.height))
    if all(side in (full // even, -(-full // even)) for full, side in sides):
        return float(even)
    if any(abs(side - full / mean) > 1 + _UNEVEN * side for full, side in sides):
        raise Unsupported("a slide whose levels are not of one shape")
    return mean


def is_plain(page: Page) -> bool:
    """Report whether samples are whole numbers of 8 bits, side by side, upright."""
    return (
        {*page.numbers.get(tags.BITS_PER_SAMPLE, (1,))} == {_EIGHT_BITS}
        and page.number(tags.ORIENTATION, 1) == 1
        and page.number(tags.PLANAR, 1) == 1
        and page.number(tags.DEPTH, 1) == 1
        and {*page.numbers.get(tags.SAMPLE_FORMAT, (1,))} == {1}
    )


def coding_of(page: Page, *, aperio: bool) -> Coding:
    """Return how the tiles or strips of a directory are compressed. Raises Unsupported if that is not read here."""
    compression, samples = page.number(tags.COMPRESSION, 1), page.number(tags.SAMPLES_PER_PIXEL, 1)
    coding = None
    if compression == tags.JPEG:
        coding = _JPEG.get((page.number(tags.PHOTOMETRIC, 0), samples))
    elif aperio and samples == 3:  # noqa: PLR2004  # red, green and blue, whatever they are stored as
        coding = _JPEG_2000.get(compression)
    if not is_plain(page) or coding is None:
        raise Unsupported("tiles of another kind than JPEG of 8 bit grey, RGB or YCbCr, or Aperio's JPEG 2000")
    return coding
