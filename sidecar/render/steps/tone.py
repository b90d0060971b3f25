"""The qualities gray and bitonal, as Cantaloupe makes them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from sidecar.plugin import Pixels
from sidecar.render.steps.pillow import PIXEL_BYTES, picture, pixels
from sidecar.render.steps.step import Rows, Shape, Step

_GRAY_ALPHA: Final = 2
_RGB: Final = 3
_LEVELS: Final = 256


@dataclass(frozen=True, slots=True)
class ToGray(Step):
    """Luma of RGB with the weights and the rounding down of Cantaloupe (0.21, 0.71, 0.07); alpha is kept."""

    def shape(self, before: Shape, wanted: Rows) -> Shape:
        """Return the shape with one channel, or two with alpha."""
        del wanted
        return Shape(before.rows, before.columns, 1 if before.channels % 2 else 2)

    def peak_bytes(self, before: Shape, after: Shape) -> int:
        """Count the colours in one piece, the same in Pillow, the luma there, and the output."""
        return before.pixels * (_RGB + 2 * PIXEL_BYTES) + after.nbytes if before.channels > _GRAY_ALPHA else 0

    def apply(self, strip: Pixels, have: Rows, wanted: Rows) -> Pixels:
        """Make grey of colours; grey stays as it is."""
        del have, wanted
        if strip.shape[2] <= _GRAY_ALPHA:
            return strip
        # Pillow adds a half before it cuts the fraction off.
        luma = pixels(picture(strip[:, :, :_RGB]).convert("L", (0.21, 0.71, 0.07, -0.5)))
        return luma if strip.shape[2] == _RGB else np.concatenate([luma, strip[:, :, _RGB:]], axis=2)


@dataclass(frozen=True, slots=True)
class FirstChannel(Step):
    """The first channel alone: what Cantaloupe makes its bitonal pictures from."""

    def shape(self, before: Shape, wanted: Rows) -> Shape:
        """Return the shape with one channel."""
        del wanted
        return Shape(before.rows, before.columns, 1)

    def peak_bytes(self, before: Shape, after: Shape) -> int:
        """Count the output, which becomes a copy of its own."""
        del before
        return after.nbytes

    def apply(self, strip: Pixels, have: Rows, wanted: Rows) -> Pixels:
        """Return a view of the channel."""
        del have, wanted
        return strip[:, :, :1]


@dataclass(frozen=True, slots=True)
class Binarize:
    """Black and white by Otsu's threshold. It depends on the whole picture, so one channel of it is held until then."""

    def peak_bytes(self, height: int, strip: Shape) -> int:
        """Count the whole picture in one channel, and the comparison of a strip."""
        return height * strip.columns + 8 * strip.pixels

    def threshold(self, strips: list[Pixels]) -> int:
        """Return the grey level up to which pixels become black."""
        return otsu(np.sum([np.bincount(strip.ravel(), minlength=_LEVELS) for strip in strips], 0))

    def apply(self, strip: Pixels, threshold: int) -> Pixels:
        """Return 0 up to the threshold, 255 above it."""
        return np.where(strip > threshold, np.uint8(255), np.uint8(0))


def otsu(histogram: NDArray[np.int64]) -> int:
    """Return the grey level that separates a histogram (256 counts) best; levels above it become white.

    Otsu 1979, between-class variance; ties go to the lowest level.
    """
    levels = np.arange(_LEVELS)
    below = np.cumsum(histogram)
    above = below[-1] - below
    sums = np.cumsum(histogram * levels)
    with np.errstate(divide="ignore", invalid="ignore"):
        variance = below * above * (sums / below - (sums[-1] - sums) / above) ** 2.0
    return int(np.argmax(np.nan_to_num(variance, nan=0.0, posinf=0.0)))
