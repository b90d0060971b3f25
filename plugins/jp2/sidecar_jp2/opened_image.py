"""An opened image: what its headers declare, and how it is described to the core."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sidecar.plugin import Blob, ByteRange, Grid, ImageInfo, Level, Size
from sidecar_jp2.color.channels import ColorModel
from sidecar_jp2.description import describe
from sidecar_jp2.format.cut_grid import CutGrid
from sidecar_jp2.format.geometry import Resolution
from sidecar_jp2.format.main_header import MainHeader
from sidecar_jp2.openjpeg.estimate import Estimate
from sidecar_jp2.proven import DecodeUnit
from sidecar_jp2.whole_tiles import grid_of, largest, peak_bytes

IRREVERSIBLE_MARGIN = 16
"""OpenJPEG takes one wavelet coefficient too few around a window of a 9/7 image: one sample in ten thousand is off by
one, unless it decodes some more pixels on each side (found by trial: 8 were not enough, 16 were)."""


@dataclass(frozen=True, slots=True)
class OpenedImage:
    """An opened blob: its codestream, and what its headers declare."""

    blob: Blob
    codestream: ByteRange
    header: MainHeader
    estimate: Estimate
    levels: int
    """How many times the image can be halved."""
    color: ColorModel
    unit: DecodeUnit = DecodeUnit.WINDOW
    """The least that OpenJPEG decodes of it without a fault."""
    indexed: bool = False
    """Whether the packet index finds the packets of every window, so that windows of remote blobs take few bytes."""
    packet_lengths: bool = False
    """Whether the first tile-part states the lengths of its packets (PLT)."""
    orientation: int = 1
    """How the image is to be shown, see ImageInfo."""
    alpha_is_optional: bool = False
    """See ImageInfo."""
    may_lose: bool = False
    """Whether bits may be left out of its windows."""
    cuttable: bool = False
    """Whether windows are cut out of an only tile, unless its packet lengths are wrong."""

    def cut_sides(self, level: int) -> Size:
        """Return the longest sides of windows that are cut out in one piece; the whole level if none are cut out."""
        if not self.cuttable:
            return self.header.geometry.level(level).size
        grid = CutGrid.of(self.header, level)
        return Size(grid.x.longest, grid.y.longest)


def resolutions_of(image: OpenedImage) -> list[Resolution]:
    """Return the resolutions that an image is shown in, the largest first."""
    geometry = image.header.geometry
    margin = 0 if all(coding.reversible for coding in image.header.coding) else IRREVERSIBLE_MARGIN
    found = [Resolution(geometry, 0, margin)]
    deepest = 0 if image.color.indexed else image.levels
    for reduce in range(1, deepest + 1):
        resolution = Resolution(geometry, reduce, margin)
        if found[-1].size == Size(1, 1) or not resolution.complete:
            break
        found.append(resolution)
    return found


def info_of(image: OpenedImage, resolutions: Sequence[Resolution]) -> ImageInfo:
    """Describe an image: what it looks like, and what windows of its levels take."""
    # A window of a remote codestream without an index takes all of it, which windows in progress share.
    held = 0 if image.indexed or image.blob.path else image.codestream.length
    levels = tuple(
        Level(
            size=each.size,
            downsample=float(each.scale),
            grid=_grid(image, each),
            fixed_bytes=_fixed_bytes(image, each) + held,
            pixel_bytes=0.0 if image.unit else image.estimate.pixel_bytes(each.reduce),
            coded_bytes=image.estimate.coded_bytes(each.size.area, indexed=image.indexed),
            fixed_seconds=_fixed_seconds(image, each),
            pixel_seconds=image.estimate.pixel_seconds(each.size.area),
        )
        for each in resolutions
    )
    return describe(
        resolutions[0], levels, image.color, orientation=image.orientation, alpha_is_optional=image.alpha_is_optional
    )


def _grid(image: OpenedImage, resolution: Resolution) -> Grid:
    return grid_of(resolution, image.unit) if image.unit else resolution.grid


def _fixed_bytes(image: OpenedImage, resolution: Resolution) -> int:
    if image.unit:
        return peak_bytes(image.estimate, resolution, image.unit)
    return image.estimate.fixed_bytes(resolution.reduce)


def _fixed_seconds(image: OpenedImage, resolution: Resolution) -> float:
    whole = largest(resolution, image.unit).area if image.unit else 0
    return image.estimate.fixed_seconds(resolution.reduce) + whole * image.estimate.pixel_seconds(resolution.size.area)
