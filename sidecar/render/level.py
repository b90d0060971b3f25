"""The resolution level that a response is made from, and regions in its pixels."""

from __future__ import annotations

from math import ceil
from typing import Final

from sidecar.plugin import ImageInfo, Level, Rect, Size

_SIDE: Final = 64
"""Pixels of which one is under 2 %; the side of the usual code block."""
_FEW: Final = _SIDE**2


def choose_level(info: ImageInfo, region: Rect, size: Size) -> int:
    """Return the coarsest level whose pixels are fine enough for a region at a size."""
    if size.width >= region.width or size.height >= region.height:
        return 0
    for index in range(len(info.levels) - 1, 0, -1):
        if _is_fine_enough(info.levels[index], info.size, region, size):
            return index
    return 0


def _is_fine_enough(level: Level, image: Size, region: Rect, size: Size) -> bool:
    """Report whether the pixels of a level are as small as those wanted.

    Measured before any rounding: a region smaller than a pixel of the level would get the average of what surrounds it.
    """
    across = _pixels(region.x, region.right, image.width, level.downsample, level.size.width)
    down = _pixels(region.y, region.bottom, image.height, level.downsample, level.size.height)
    # A pixel of a level holds something of its neighbours (of JPEG 2000, as far as the wavelet's filter reaches, ITU-T
    # T.800 F.3.8). In a small part of an image that shows, and a finer level costs little.
    if region.size != image and across * down <= _FEW:
        return False
    # A pixel may be missing in each direction: levels of slides are rounded down, and a level four times finer for the
    # sake of one column would cost sixteen times the work.
    slack = 1.0 if min(across, down) > _SIDE else 0.0
    return across + slack >= size.width and down + slack >= size.height


def _pixels(start: int, stop: int, image: int, downsample: float, level: int) -> float:
    """Return how many pixels of a level there are from start to stop; the last of an image's counts whole."""
    return max((stop - start) / downsample, level - start / downsample if stop == image else 0.0)


def project(region: Rect, level: Level) -> Rect:
    """Return a full-resolution region in pixels of a level; neighbouring regions meet without gap or overlap.

    Both edges are rounded up, as the samples of JPEG 2000 levels lie (ITU-T T.800 B-14).
    """
    x, width = _span(region.x, region.right, level.downsample, level.size.width)
    y, height = _span(region.y, region.bottom, level.downsample, level.size.height)
    return Rect(x, y, width, height)


def _span(start: int, stop: int, downsample: float, limit: int) -> tuple[int, int]:
    first = min(ceil(start / downsample), limit - 1)
    return first, max(1, min(ceil(stop / downsample), limit) - first)
