"""How much each source sample counts in each target sample along one axis, in numbers that add up exactly.

The arithmetic is that of Cantaloupe's Java 2D processing (Morten Nobel-Jørgensen's java-image-scaling):

- Source sample *j* lies at *j*, target sample *i* at (i + 1/2) * source / target, computed in single precision. So its
  scaled pictures lie half a source sample to the upper left.
- If the picture shrinks, the filter is stretched until its reach is a whole number of samples.
- Beyond the edges lie mirrored samples: -1 is 1, and `source` is `source - 1`. What lies beyond these has no weight.
- The weights of a target sample are divided by their sum.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import ceil, log2
from typing import Final

import numpy as np
from numpy.typing import NDArray

from sidecar.render.steps.filters import FILTERS
from sidecar.render.steps.step import Rows

CENTRE: Final = 128
"""Samples are 8 bits minus this: then their products with weights have a bit less."""
# Products of samples and weights, and all their partial sums, are whole numbers of units below 2**24: exact in single
# precision, so that no order of summation, no fused multiplication and no number of threads shows in the result.
_MANTISSA: Final = 24
_UNIT: Final = 16
"""A weight is a multiple of 2**-16, unless that would exceed the mantissa."""
_PHASES: Final = 8
"""Where more target samples than this lie differently among the source's, sums of exactly half a level are rare."""
_ROUNDING: Final = 2e-4
"""Grey levels by which a sum in single precision may be off."""


@dataclass(frozen=True, slots=True, eq=False)
class Weights:
    """The weights of an axis: of each target sample, for as many source samples from `first` on."""

    first: NDArray[np.int64]
    """For each target sample, the first source sample that counts."""
    values: NDArray[np.float32]
    """Shape (target samples, source samples each), in units in which sums are exact. Each row sums up to 1."""
    samples: NDArray[np.int64]
    """Shape (target samples, source samples each): source samples in the order in which Cantaloupe adds them up."""
    single: NDArray[np.float32]
    """Their weights, as Cantaloupe has them."""
    error: float
    """Grey levels by which a sum with `values` differs from Cantaloupe's at most."""

    def sources(self, wanted: Rows) -> Rows:
        """Return the source samples that some target samples are made from."""
        starts = self.first[wanted.start : wanted.stop]
        return Rows(int(starts.min()), int(starts.max()) + self.values.shape[1])


@lru_cache(maxsize=32)
def weights(source: int, target: int, name: str, *, mirrored: bool = False) -> Weights:
    """Return the weights of the filter `name` along an axis; `mirrored`: the axis runs against Cantaloupe's."""
    samples, single = _inside(source, *_unfolded(source, target, name))
    if mirrored:
        samples, single = source - 1 - samples[::-1], single[::-1]
    first, folded = _folded(source, samples, single)
    # Samples without weight need not be there.
    samples = np.where(single != 0, samples, first[:, None])
    values = _rounded(folded)
    error = float(np.abs(values - folded).sum(axis=1).max()) * CENTRE + _ROUNDING
    made = Weights(first, values.astype(np.float32), samples, np.ascontiguousarray(single), error)
    for array in (made.first, made.values, made.samples, made.single):
        array.flags.writeable = False
    return made


def _unfolded(source: int, target: int, name: str) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return source samples, some beyond the edges, and their weights: two arrays (target samples, samples each)."""
    radius, kernel = FILTERS[name]
    single = np.float32
    scale = single(target) / single(source)
    centers = np.arange(target, dtype=single) / scale + single(0.5) / scale
    reach = single(radius) / scale if scale < 1 else single(radius)
    stretch = single(radius / ceil(reach)) if scale < 1 else single(1)
    leftmost = np.floor(centers - reach).astype(np.int64)
    rightmost = np.ceil(centers + reach).astype(np.int64)
    samples = leftmost[:, None] + np.arange(int((rightmost - leftmost).max()) + 1)
    distances = (centers[:, None] - samples.astype(single)) * stretch
    return samples, np.where(samples <= rightmost[:, None], kernel(distances), single(0))


def _inside(
    source: int, samples: NDArray[np.int64], values: NDArray[np.float32]
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Replace samples beyond the edges by those whose mirror images they are, and normalize weights."""
    inside = np.where(samples < 0, -samples, np.where(samples >= source, 2 * source - 1 - samples, samples))
    values = np.where((inside >= 0) & (inside < source), values, np.float32(0))
    return np.clip(inside, 0, source - 1), values / np.cumsum(values, axis=1)[:, -1:]


def _folded(
    source: int, samples: NDArray[np.int64], values: NDArray[np.float32]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Add up the weights of each source sample."""
    counts = values != 0
    first = np.where(counts, samples, source).min(axis=1)
    each = int((np.where(counts, samples, -1).max(axis=1) - first).max()) + 1
    first = np.minimum(first, source - each)
    targets, columns = np.nonzero(counts)
    places = targets * each + samples[targets, columns] - first[targets]
    folded = np.asarray(np.bincount(places, values[targets, columns], len(samples) * each), np.float64)
    return first, folded.reshape(-1, each)


def _rounded(exact: NDArray[np.float64]) -> NDArray[np.float64]:
    """Round weights to multiples of a unit, so that each row sums up to 1: those cut off most are rounded up."""
    largest = np.abs(exact).sum(axis=1).max() * CENTRE
    units = 2.0 ** min(_UNIT, int(_MANTISSA - log2(largest) - 0.01))
    floors = np.floor(exact * units)
    lost = np.rint(units - floors.sum(axis=1)).astype(np.int64)
    order = np.argsort(floors - exact * units, axis=1, kind="stable")
    raised = np.arange(exact.shape[1]) < lost[:, None]
    np.put_along_axis(floors, order, np.take_along_axis(floors, order, axis=1) + raised, axis=1)
    rounded: NDArray[np.float64] = floors / units
    return rounded
