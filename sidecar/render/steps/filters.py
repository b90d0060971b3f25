"""Resampling filters, named as in Cantaloupe's `processor.downscale_filter`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

Distances = NDArray[np.float32]
"""From the centre of a target sample to source samples, in units in which a filter reaches `radius` far."""
_1 = np.float32


class Filter(NamedTuple):
    """A filter: the weight of a source sample by its distance, computed in single precision as Cantaloupe does."""

    radius: float
    """Samples at least this far away have no weight."""
    kernel: Callable[[Distances], Distances]


def _box(distances: Distances) -> Distances:
    # Of two samples at the very edges only the left one counts, so that exactly one does if the picture is enlarged.
    return ((distances > -0.5) & (distances <= 0.5)).astype(np.float32)  # noqa: PLR2004  # half a sample


def _triangle(distances: Distances) -> Distances:
    return np.maximum(_1(1) - np.abs(distances), _1(0))


def _hermite(distances: Distances) -> Distances:
    x = np.abs(distances)
    return np.where(x < 1, (_1(2) * x - _1(3)) * x * x + _1(1), _1(0))


def _bicubic(distances: Distances) -> Distances:
    """Keys (1981) with a = -1/2."""
    x = np.abs(distances)
    square: Distances = x * x
    near = _1(1.5) * square * x - _1(2.5) * square + _1(1)
    far = _1(-0.5) * square * x + _1(2.5) * square - _1(4) * x + _1(2)
    return np.where(x < 1, near, np.where(x < 2, far, _1(0)))  # noqa: PLR2004  # the polynomials' borders


def _mitchell(distances: Distances) -> Distances:
    """Mitchell and Netravali (SIGGRAPH 1988, eq. 8) with B = C = 1/3."""
    x = np.abs(distances)
    square: Distances = x * x
    near = _1(7) * (x * square) - _1(12) * square + _1(16 / 3)
    far = _1(-7 / 3) * (x * square) + _1(12) * square - _1(20) * x + _1(32 / 3)
    sixfold: Distances = np.where(x < 1, near, np.where(x < 2, far, _1(0)))  # noqa: PLR2004  # as above
    sixfold /= _1(6)
    return sixfold


def _lanczos3(distances: Distances) -> Distances:
    x = np.abs(distances) * _1(np.pi)
    third = x / _1(3)
    with np.errstate(invalid="ignore"):
        product = (_sine(x) / x) * (_sine(third) / third)
    return np.where(distances == 0, _1(1), np.where(np.abs(distances) < 3, product, _1(0)))  # noqa: PLR2004


def _sine(angles: Distances) -> Distances:
    return np.sin(angles.astype(np.float64)).astype(np.float32)


FILTERS: Final = {
    "box": Filter(0.5, _box),
    "triangle": Filter(1.0, _triangle),
    "hermite": Filter(1.0, _hermite),
    "mitchell": Filter(2.0, _mitchell),
    "bicubic": Filter(2.0, _bicubic),
    "lanczos3": Filter(3.0, _lanczos3),
}
