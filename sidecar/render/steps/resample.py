"""Scaling, done strip by strip."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from PIL import Image

from sidecar.iiif.geometry import Orientation
from sidecar.plugin import Pixels, Size
from sidecar.render.steps.pillow import PIXEL_BYTES, picture, pixels
from sidecar.render.steps.step import Rows, Shape, Step


class Filter(NamedTuple):
    """A resampling filter of Pillow's."""

    kernel: Image.Resampling
    support: float
    """In source pixels at a ratio of 1 (Pillow, src/libImaging/Resample.c)."""
    nudge: float = 0.0
    """If the centre of a target pixel lies exactly between two source pixels, a box filter takes one of them.
    Pillow keeps the box in single precision, so without a nudge rounding would decide differently in each strip."""


_FILTERS: Final = {
    "box": Filter(Image.Resampling.BOX, 0.5, 1 / 1024),
    "triangle": Filter(Image.Resampling.BILINEAR, 1.0),
    "hermite": Filter(Image.Resampling.HAMMING, 1.0),
    "mitchell": Filter(Image.Resampling.BICUBIC, 2.0),
    "bicubic": Filter(Image.Resampling.BICUBIC, 2.0),
    "lanczos3": Filter(Image.Resampling.LANCZOS, 3.0),
}


# Cantaloupe's resampling takes source pixel j to lie at j, not at j + 1/2, so that its scaled pictures lie half a
# source pixel to the upper left. Same URL, same pixels: the shift is worth a mean difference of 2 to 6 levels.
_SHIFT: Final = 0.5


@dataclass(frozen=True, slots=True)
class Resample(Step):
    """Resampling of a whole picture, done strip by strip.

    Pillow's `resize` takes a fractional box and reaches beyond it for the filter's support as far as the strip has
    rows; with `support * ratio + 1` rows of margin each strip equals that part of the whole but for rounding.
    """

    source: Size
    target: Size
    filter: str
    shift: tuple[float, float] = (_SHIFT, _SHIFT)
    """By how many source pixels the samples are taken further right and further down."""

    def rows(self, wanted: Rows) -> Rows:
        """Return the source rows that some rows of the target are made from."""
        ratio = self.source.height / self.target.height
        margin = _FILTERS[self.filter].support * max(ratio, 1.0) + 2
        return Rows(
            max(0, int(wanted.start * ratio - margin)),
            min(self.source.height, int(wanted.stop * ratio + margin) + 1),
        )

    def shape(self, before: Shape, wanted: Rows) -> Shape:
        """Return the wanted rows at the target's width."""
        return Shape(wanted.count, self.target.width, before.channels)

    def peak_bytes(self, before: Shape, after: Shape) -> int:
        """Count the strip with its frame, the same in Pillow, and what each direction of scaling makes."""
        framed = before.pixels * (before.channels + PIXEL_BYTES)
        narrow = before.rows * self.target.width * PIXEL_BYTES
        return framed + narrow + after.pixels * PIXEL_BYTES + after.nbytes

    def apply(self, strip: Pixels, have: Rows, wanted: Rows) -> Pixels:
        """Make rows `wanted` of the target from a strip that holds `have` (at least `rows(wanted)`) of the source."""
        kernel = _FILTERS[self.filter]
        ratio = self.source.height / self.target.height
        # A frame of one pixel, so that the shift may reach beyond the edge.
        framed = picture(np.pad(strip, ((1, 1), (1, 1), (0, 0)), mode="edge"))
        left = 1 + self.shift[0]
        top, bottom = (
            1 + self.shift[1] + kernel.nudge + row * ratio - have.start for row in (wanted.start, wanted.stop)
        )
        across = (left, 0.0, left + self.source.width, float(framed.height))
        # Pillow refuses a box that exceeds the picture by a rounding error.
        down = (0.0, top, float(self.target.width), min(bottom, float(framed.height)))
        # One direction after the other: asked for both, Pillow begins with the one that is cheaper for these very
        # sizes, and what is clipped between them differs (by up to 14 levels where bicubic overshoots).
        narrow = framed.resize((self.target.width, framed.height), kernel.kernel, box=across)
        return pixels(narrow.resize((self.target.width, wanted.count), kernel.kernel, box=down))


def shift(orientation: Orientation) -> tuple[float, float]:
    """Return Cantaloupe's shift as it lies in an oriented picture: Cantaloupe scales first and turns then."""
    x, y = (-_SHIFT if orientation.mirror else _SHIFT), _SHIFT
    for _ in range(orientation.quarter_turns):
        x, y = -y, x
    return x, y
