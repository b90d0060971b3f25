"""The qualities gray and bitonal, as Cantaloupe makes them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from sidecar.plugin import Pixels
from sidecar.render.steps.step import Rows, Shape, Step

_GRAY_ALPHA: Final = 2
_RGB: Final = 3
_LEVELS: Final = 256
_LUMA: Final = tuple(weight * np.arange(_LEVELS) for weight in (0.21, 0.71, 0.07))
"""Cantaloupe's weights of red, green and blue, times each level. They add up to 0.99."""


def _encoded(light: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return sRGB's values for linear light, both from 0 to 1 (IEC 61966-2-1)."""
    return np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)  # noqa: PLR2004  # the standard's


def _linear(encoded: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return linear light for sRGB's values, both from 0 to 1 (IEC 61966-2-1)."""
    return np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)  # noqa: PLR2004  # as above


def _luma(red: Pixels, green: Pixels, blue: Pixels) -> Pixels:
    """Return Cantaloupe's luma, rounded down; in double precision, which decides whether it reaches a whole number."""
    luma = _LUMA[0][red]
    luma += _LUMA[1][green]
    luma += _LUMA[2][blue]
    return luma.astype(np.uint8)


_RAMP: Final = np.arange(_LEVELS, dtype=np.uint8)
_SEEN: Final = np.rint(255 * _encoded(_RAMP / 255)).astype(np.uint8)
"""What Java's getRGB() makes of a grey level: it takes grey for linear light, and colours for sRGB."""
_DARKER: Final = _luma(_RAMP, _RAMP, _RAMP)
_GRAY_OF_GRAY: Final = np.floor(255 * _linear(_luma(_SEEN, _SEEN, _SEEN) / 255) + 0.5).astype(np.uint8)
"""The luma of what getRGB() returns, and back by setRGB(): 3 % darker in the middle."""


@dataclass(frozen=True, slots=True)
class ToGray(Step):
    """Luma with the weights and the rounding down of Cantaloupe (0.21, 0.71, 0.07); alpha is kept.

    Grey becomes darker, as in Cantaloupe.
    """

    colors: bool = False
    """Whether grey stands for three equal colours."""

    def shape(self, before: Shape, wanted: Rows) -> Shape:
        """Return the shape with one channel, or two with alpha."""
        del wanted
        return Shape(before.rows, before.columns, 1 if before.channels % 2 else 2)

    def peak_bytes(self, before: Shape, after: Shape) -> int:
        """Count two products a pixel in double precision, luma, and the output."""
        return before.pixels * (2 * 8 + 1) + after.nbytes if before.channels > _GRAY_ALPHA else 2 * after.nbytes

    def apply(self, strip: Pixels, have: Rows, wanted: Rows) -> Pixels:
        """Make grey of colours, and darker grey of grey."""
        del have, wanted
        if strip.shape[2] <= _GRAY_ALPHA:
            luma = (_DARKER if self.colors else _GRAY_OF_GRAY)[strip[:, :, :1]]
        else:
            luma = _luma(*(strip[:, :, channel : channel + 1] for channel in range(_RGB)))
        return luma if strip.shape[2] % 2 else np.concatenate([luma, strip[:, :, -1:]], axis=2)


@dataclass(frozen=True, slots=True)
class FirstChannel(Step):
    """The first channel alone: what Cantaloupe makes its bitonal pictures from."""

    colors: bool = False
    """Whether grey stands for three equal colours; if not, Cantaloupe takes it for linear light."""

    def shape(self, before: Shape, wanted: Rows) -> Shape:
        """Return the shape with one channel."""
        del wanted
        return Shape(before.rows, before.columns, 1)

    def peak_bytes(self, before: Shape, after: Shape) -> int:
        """Count the output, which becomes a copy of its own."""
        del before
        return after.nbytes

    def apply(self, strip: Pixels, have: Rows, wanted: Rows) -> Pixels:
        """Return a view of the channel, or grey as Java sees it."""
        del have, wanted
        first = strip[:, :, :1]
        return _SEEN[first] if strip.shape[2] <= _GRAY_ALPHA and not self.colors else first


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
