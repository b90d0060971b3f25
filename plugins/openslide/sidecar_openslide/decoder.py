"""From a blob to an opened slide, or the reason why not."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from typing import Final

from sidecar.plugin import Blob, Grid, ImageInfo, Level, Native, Size, Unsupported
from sidecar_openslide import tiff
from sidecar_openslide.library import Library, Slide
from sidecar_openslide.reader import PIXEL_BYTES, SlideReader

# Slides without a regular grid of tiles (MIRAX, Leica, Ventana) are tiled all the same: any piece may be cut.
_NOMINAL: Final = Size(256, 256)
# TIFF 6.0 section 2 and BigTIFF, CZI, VMS, SQLite (what Sakura slides are).
_SIGNATURES: Final = (
    b"II*\0",
    b"MM\0*",
    b"II+\0",
    b"MM\0+",
    b"ZISRAWFILE",
    b"[Virtual Microscope Specimen]",
    b"SQLite format 3\0",
)
# DICOM PS3.10 section 7.1: the prefix after a preamble.
_DICOM: Final = slice(128, 132)
_WHITE: Final = (255, 255, 255)
# Of a level's side: what rounding its size may make beside a pixel.
_UNEVEN: Final = 0.01
# ICC.1:2022 7.2.6: the colour space that a profile is about.
_COLOUR_SPACE: Final = slice(16, 20)


class OpenSlideDecoder:
    """Every format that OpenSlide reads, from local files."""

    def __init__(self, library: Library, suffixes: Iterable[str], native: Native) -> None:
        self._library = library
        self._native = native
        self.suffixes = frozenset(suffix.lower().lstrip(".") for suffix in suffixes)

    name: Final = "openslide"

    def recognizes(self, head: bytes) -> bool:
        """Report whether a file may be a slide: TIFF, DICOM, CZI, VMS or an SQLite database (Sakura)."""
        return head.startswith(_SIGNATURES) or head[_DICOM] == b"DICM"

    def open(self, blob: Blob) -> SlideReader:
        """Open a slide.

        Raises Unsupported if the blob is no local file, no slide, or one whose colours might be wrong; Malformed if it
        is a TIFF and its directories are broken; SourceError, SourceChanged.
        """
        if blob.path is None:
            raise Unsupported("OpenSlide reads local files only")
        try:
            slide = self._native(self._library.open, blob.path)
        except Unsupported:
            _check_structure(blob)
            raise
        with ExitStack() as unless_whole:
            unless_whole.callback(slide.close)
            # OpenSlide was given a path, not the blob: whether that still leads to the blob shows when it is read.
            structure = tiff.recognise(blob)
            if slide.properties.get("openslide.vendor") == "generic-tiff" and structure is not None:
                _check_samples(next(structure.directories()))
            again = partial(self._library.open, blob.path)
            reader = SlideReader(slide, describe(slide), _background(slide.properties), again)
            unless_whole.pop_all()
        return reader


def _check_structure(blob: Blob) -> None:
    """Keep broken TIFFs from being handed over: OpenSlide refuses them in the same words as those of other kinds."""
    structure = tiff.recognise(blob)
    for _ in structure.directories() if structure else ():
        pass


def _check_samples(directory: Mapping[int, Sequence[int]]) -> None:
    """Accept only those tiled TIFFs that look the same in any reader: 8 bit grey, RGB and YCbCr, upright.

    OpenSlide makes 8 bit RGB of all others too, by libtiff's TIFFRGBAImage, which ignores profiles.
    """
    plain = (
        {*directory.get(tiff.BITS_PER_SAMPLE, (1,))} == {8}
        and directory.get(tiff.PHOTOMETRIC, (0,))[0] in {1, 2, 6}
        and directory.get(tiff.SAMPLES_PER_PIXEL, (1,))[0] in {1, 3}
        and directory.get(tiff.ORIENTATION, (1,))[0] == 1
        and directory.get(tiff.SAMPLE_FORMAT, (1,))[0] == 1
    )
    if not plain:
        raise Unsupported("a tiled TIFF of another kind than 8 bit grey, RGB or YCbCr")


def describe(slide: Slide) -> ImageInfo:
    """Return what a slide is. Raises Unsupported if its profile is not one of RGB, or a level shows something else."""
    if slide.icc is not None and slide.icc[_COLOUR_SPACE] != b"RGB ":
        raise Unsupported("a slide whose ICC profile is not one of RGB")
    if not all(map(partial(_reduces, slide.sizes[0]), slide.sizes, slide.downsamples)):
        raise Unsupported("a slide whose levels are not of one shape")
    tiles = [_tile(slide.properties, index) for index in range(len(slide.sizes))]
    return ImageInfo(
        size=slide.sizes[0],
        channels=3,
        levels=tuple(
            _level(size, downsample, tile or _NOMINAL)
            for size, downsample, tile in zip(slide.sizes, slide.downsamples, tiles, strict=True)
        ),
        tile=tiles[0],
        icc=slide.icc,
    )


def _reduces(full: Size, size: Size, downsample: float) -> bool:
    """Report whether both sides are as long as the downsample says: OpenSlide takes the mean of the two directions."""
    sides = ((size.width, full.width), (size.height, full.height))
    return all(abs(side - whole / downsample) <= 1 + _UNEVEN * side for side, whole in sides)


def _level(size: Size, downsample: float, tile: Size) -> Level:
    return Level(
        size=size,
        downsample=downsample,
        grid=Grid(width=tile.width, height=tile.height),
        pixel_bytes=PIXEL_BYTES,
    )


def _tile(properties: Mapping[str, str], level: int) -> Size | None:
    width, height = (properties.get(f"openslide.level[{level}].tile-{side}") for side in ("width", "height"))
    return Size(int(width), int(height)) if width and height else None


def _background(properties: Mapping[str, str]) -> tuple[int, int, int]:
    """Return the colour of what was not scanned, as the scanner states it; else white, as glass is."""
    color = properties.get("openslide.background-color", "")
    if not re.fullmatch("[0-9a-fA-F]{6}", color):
        return _WHITE
    red, green, blue = bytes.fromhex(color)
    return red, green, blue
