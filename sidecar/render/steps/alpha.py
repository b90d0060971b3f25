"""Transparent pixels in formats without alpha, and images that are shown without theirs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sidecar.plugin import Pixels
from sidecar.render.steps.step import Rows, Shape, Step


@dataclass(frozen=True, slots=True)
class Flatten(Step):
    """Blends the pixels with a background colour, red, green and blue, and drops the alpha channel."""

    background: tuple[int, int, int]

    def shape(self, before: Shape, wanted: Rows) -> Shape:
        """Return the shape without alpha."""
        del wanted
        return Shape(before.rows, before.columns, before.channels - 1)

    def peak_bytes(self, before: Shape, after: Shape) -> int:
        """Count the products in 16 bit, of which three exist at once, and the output."""
        return 8 * before.nbytes + after.nbytes

    def apply(self, strip: Pixels, have: Rows, wanted: Rows) -> Pixels:
        """Blend, rounded to the nearest level."""
        del have, wanted
        alpha = strip[:, :, -1:].astype(np.uint16)
        color = strip[:, :, :-1]
        below = np.array(self.background if color.shape[2] > 1 else [_luma(self.background)], np.uint16)
        mixed = color * alpha + below * (255 - alpha) + 127
        return (mixed // 255).astype(np.uint8)


@dataclass(frozen=True, slots=True)
class DropAlpha(Step):
    """Leaves the alpha channel out; the colours stay as they are in the file."""

    def shape(self, before: Shape, wanted: Rows) -> Shape:
        """Return the shape without alpha."""
        del wanted
        return Shape(before.rows, before.columns, before.channels - 1)

    def peak_bytes(self, before: Shape, after: Shape) -> int:
        """Count the output, which becomes a copy of its own."""
        del before
        return after.nbytes

    def apply(self, strip: Pixels, have: Rows, wanted: Rows) -> Pixels:
        """Return the colours in an array of their own."""
        del have, wanted
        return np.ascontiguousarray(strip[:, :, :-1])


def _luma(color: tuple[int, int, int]) -> int:
    red, green, blue = color
    return (299 * red + 587 * green + 114 * blue + 500) // 1000
