"""Grey and bitonal: what Java's colour models make of grey, in Cantaloupe."""

from __future__ import annotations

import numpy as np
import pytest

from sidecar.plugin import Pixels
from sidecar.render.steps.step import Rows, Shape
from sidecar.render.steps.tone import FirstChannel, ToGray

RAMP = np.arange(256, dtype=np.uint8).reshape(16, 16, 1)
ROWS = Rows(0, 16)


def weighed(red: int, green: int, blue: int) -> int:
    """Cantaloupe's luma in plain Python, whose numbers are Java's doubles."""
    return int(0.21 * red + 0.71 * green + 0.07 * blue)


def encoded(level: int) -> int:
    """SRGB's 8 bits for linear light in 8 bits."""
    light = level / 255
    return round(255 * (12.92 * light if light <= 0.0031308 else 1.055 * light ** (1 / 2.4) - 0.055))


def linear(level: int) -> int:
    """Linear light in 8 bits for sRGB's, by way of 16 bits as in Java."""
    value = level / 255
    light = round(65535 * (value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4))
    return int(255 * light / 65535 + 0.5)


def levels(made: Pixels) -> list[int]:
    """Return the first channel's levels, row by row."""
    return [int(level) for level in made[..., 0].ravel()]


def test_gray_of_grey() -> None:
    """Grey is taken for linear light, weighed as sRGB, and turned back: every level is what that gives."""
    expected = [linear(weighed(*[encoded(level)] * 3)) for level in range(256)]
    assert levels(ToGray().apply(RAMP, ROWS, ROWS)) == expected
    # Recorded of Cantaloupe 5.0.6.
    assert expected[::15] == [0, 15, 29, 44, 58, 73, 87, 103, 116, 131, 146, 159, 175, 190, 204, 218, 233, 248]


def test_gray_of_grey_in_three_colours() -> None:
    """Grey that stands for three equal colours is weighed as these."""
    expected = [weighed(level, level, level) for level in range(256)]
    assert levels(ToGray(colors=True).apply(RAMP, ROWS, ROWS)) == expected


def test_gray_of_colours() -> None:
    """Every sample is the weighed sum rounded down, also where that is a whole number."""
    pixels = np.random.default_rng(1).integers(0, 256, (60, 60, 3), np.uint8)
    expected = [weighed(*(int(level) for level in pixel)) for pixel in pixels.reshape(-1, 3)]
    assert levels(ToGray().apply(pixels, ROWS, ROWS)) == expected


@pytest.mark.parametrize("channels", [2, 4])
def test_alpha_is_kept(channels: int) -> None:
    """The last channel passes through."""
    pixels = np.random.default_rng(2).integers(0, 256, (16, 16, channels), np.uint8)
    made = ToGray().apply(pixels, ROWS, ROWS)
    assert made.shape == (16, 16, 2)
    assert np.array_equal(made[..., 1], pixels[..., -1])


def test_bitonal_of_grey() -> None:
    """The threshold is found among sRGB's levels of grey, unless it stands for three colours."""
    assert levels(FirstChannel().apply(RAMP, ROWS, ROWS)) == [encoded(level) for level in range(256)]
    assert levels(FirstChannel(colors=True).apply(RAMP, ROWS, ROWS)) == list(range(256))
    assert FirstChannel().shape(Shape(16, 16, 1), ROWS) == Shape(16, 16, 1)
