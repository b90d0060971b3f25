"""Scaling, done strip by strip, to the pixels that Cantaloupe's Java 2D processing gives."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from sidecar.iiif.geometry import Orientation
from sidecar.plugin import Pixels, Size
from sidecar.render.steps.blocks import Run, arrange
from sidecar.render.steps.pillow import PIXEL_BYTES, premultiplied, unpremultiplied
from sidecar.render.steps.products import CHUNK_BYTES, scale_across, scale_down
from sidecar.render.steps.step import Rows, Shape, Step
from sidecar.render.steps.weights import Weights, weights

_FLOAT: Final = 4
_EXACT: Final = 1 << 17
"""Pixels up to which a picture is Cantaloupe's to the last sample. That takes half as long again, so that in larger
ones, tiles among them, one sample in a thousand may differ by one level."""
_GRAY_ALPHA, _RGB_ALPHA = 2, 4
_UPRIGHT: Final = Orientation()


@dataclass(frozen=True, slots=True)
class Resample(Step):
    """Resampling of a whole picture, done strip by strip; each strip equals that part of the whole exactly.

    One direction is scaled after the other, with 8 bits in between. Cantaloupe scales before it mirrors and turns, so
    the orientation says which direction comes first and which way sums are added up. Pixels with alpha are
    premultiplied meanwhile.
    """

    source: Size
    """Of the oriented picture, as `target`."""
    target: Size
    filter: str
    orientation: Orientation = _UPRIGHT

    def rows(self, wanted: Rows) -> Rows:
        """Return the source rows that some rows of the target are made from."""
        return self._down.sources(wanted)

    def shape(self, before: Shape, wanted: Rows) -> Shape:
        """Return the wanted rows at the target's width."""
        return Shape(wanted.count, self.target.width, before.channels)

    def peak_bytes(self, before: Shape, after: Shape) -> int:
        """Count a copy of the strip, what is between the directions, weights, chunks, the output, Pillow's pictures."""
        turned = self.orientation.quarter_turns % 2 == 1
        between = after.rows * before.columns if turned else before.rows * after.columns
        chunks = 6 * max(CHUNK_BYTES, _FLOAT * before.channels * max(before.rows, before.columns, after.columns))
        alpha = before.channels in (_GRAY_ALPHA, _RGB_ALPHA)
        pillow = 3 * PIXEL_BYTES * (before.pixels + after.pixels) if alpha else 0
        arranged = 8 * (self._across.values.nbytes + self._down.values.nbytes)
        return before.nbytes + between * before.channels + chunks + arranged + after.nbytes + pillow

    def apply(self, strip: Pixels, have: Rows, wanted: Rows) -> Pixels:
        """Make rows `wanted` of the target from a strip that holds `have` (at least `rows(wanted)`) of the source."""
        channels = strip.shape[2]
        alpha = channels in (_GRAY_ALPHA, _RGB_ALPHA)
        need = self.rows(wanted)
        part = strip[need.start - have.start : need.stop - have.start]
        flat = np.ascontiguousarray(premultiplied(part) if alpha else part).reshape(need.count, -1)
        out = self._scaled(flat, need, wanted, channels).reshape(wanted.count, self.target.width, channels)
        return unpremultiplied(out) if alpha else out

    def _scaled(self, flat: NDArray[np.uint8], need: Rows, wanted: Rows, channels: int) -> NDArray[np.uint8]:
        across, down = self._across, self._down
        columns, rows = _arranged(across, Rows(0, self.target.width)), _arranged(down, wanted)
        out = np.empty((wanted.count, self.target.width * channels), np.uint8)
        exact = self.target.area <= _EXACT
        if self.orientation.quarter_turns % 2 == 1:
            between = np.empty((wanted.count, flat.shape[1]), np.uint8)
            scale_down(down, rows, flat, need.start, wanted.start, between, exact=exact)
            scale_across(across, columns, between, channels, out, exact=exact)
            return out
        between = np.empty((need.count, out.shape[1]), np.uint8)
        scale_across(across, columns, flat, channels, between, exact=exact)
        scale_down(down, rows, between, need.start, wanted.start, out, exact=exact)
        return out

    @property
    def _across(self) -> Weights:
        return weights(self.source.width, self.target.width, self.filter, mirrored=_against(self.orientation)[0])

    @property
    def _down(self) -> Weights:
        return weights(self.source.height, self.target.height, self.filter, mirrored=_against(self.orientation)[1])


def _against(orientation: Orientation) -> tuple[bool, bool]:
    """Return whether an oriented picture's rows, and its columns, run against what they were before."""
    across, down = orientation.mirror, False
    for _ in range(orientation.quarter_turns):
        across, down = not down, across
    return across, down


@lru_cache(maxsize=32)
def _arranged(axis: Weights, wanted: Rows) -> list[Run]:
    return arrange(axis, wanted)
