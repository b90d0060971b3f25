"""PNG's row filters (W3C PNG, third edition, section 9), on whole strips at once."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from sidecar.plugin import Pixels

Lines: TypeAlias = NDArray[np.uint8]
"""Shape (rows, 1 + bytes of a row): each row's filter type, then its filtered bytes."""

_NONE, _PAETH = 0, 4
_WHITE_FROM = 128


class Bits:
    """Black and white, 8 pixels to the byte, not filtered, as section 12.7 advises below 8 bits a sample."""

    depth = 1
    """Bits of a sample."""

    def __call__(self, pixels: Pixels) -> Lines:
        bits = np.packbits(pixels[:, :, 0] >= _WHITE_FROM, axis=1)
        return np.pad(bits, ((0, 0), (1, 0)), constant_values=_NONE)


class Paeth:
    """Subtracts the nearest of left, above and upper left to left + above - upper left (section 9.4)."""

    depth = 8

    def __init__(self) -> None:
        self._above: Pixels = np.zeros((1, 1, 1), np.uint8)

    def __call__(self, pixels: Pixels) -> Lines:
        rows, columns, channels = pixels.shape
        framed = np.zeros((1 + rows, 1 + columns, channels), np.uint8)
        framed[:1, 1:] = self._above
        framed[1:, 1:] = pixels
        self._above = pixels[-1:].copy()
        lines = np.empty((rows, 1 + columns * channels), np.uint8)
        lines[:, 0] = _PAETH
        predicted = _predicted(framed[1:, :-1], framed[:-1, 1:], framed[:-1, :-1])
        lines[:, 1:] = (pixels - predicted).reshape(rows, -1)
        return lines


def _predicted(left: Pixels, up: Pixels, corner: Pixels) -> Pixels:
    origin = corner.astype(np.int16)
    # With p = left + up - corner: p - left = up - corner, p - up = left - corner, and p - corner is their sum.
    to_left, to_up = up - origin, left - origin
    to_corner = to_left + to_up
    for distance in (to_left, to_up, to_corner):
        np.abs(distance, out=distance)
    nearest = np.where(to_left <= to_up, left, up)
    np.copyto(nearest, corner, where=to_corner < np.minimum(to_left, to_up))
    return nearest
