"""Weighted sums of samples along an axis, as matrix products.

They differ from Cantaloupe's by a few thousandths of a level, so that one sample in a thousand is rounded otherwise.
`exact` adds up again, in single precision and in Cantaloupe's order, those that come close to half a level.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from sidecar.render.steps.blocks import Run
from sidecar.render.steps.weights import CENTRE, Weights

# OpenBLAS, beneath np.matmul, takes several threads for larger products; these are made in several threads anyway.
_PRODUCT: Final = 1 << 18
CHUNK_BYTES: Final = 1 << 18
"""Of samples in single precision that are worked on at once: they stay in the processor's cache."""
_DOUBTFUL: Final = 0.02
"""With larger errors (at ratios of ten and more) too many sums would have to be added up again."""
_FLOAT: Final = 4
_HALF: Final = np.float32(0.5)

Samples = NDArray[np.uint8]
"""Shape (rows, columns * channels)."""
Indices = NDArray[np.intp]


def scale_across(
    weights: Weights, runs: Sequence[Run], source: Samples, channels: int, out: Samples, *, exact: bool
) -> None:
    """Scale rows of interleaved channels into `out`, which has a column for each target sample of the axis."""
    for run in runs:
        spread = run.spread(channels)
        blocks, width, height = spread.shape
        inputs = source[:, run.sources.start * channels : run.sources.stop * channels]
        made = slice(run.target.start * channels, run.target.stop * channels)
        chunk = max(1, min(_PRODUCT // (width * height), CHUNK_BYTES // (_FLOAT * inputs.shape[1])))
        for top in range(0, len(source), chunk):
            part = _centred(inputs[top : top + chunk])
            product = np.empty((len(part), blocks * height), np.float32)
            _multiply(
                _view(part, (blocks, len(part), width), (run.step * channels, part.shape[1], 1)),
                spread,
                _view(product, (blocks, len(part), height), (height, product.shape[1], 1)),
            )
            if exact and weights.error < _DOUBTFUL:
                near = _close(product, weights.error)
                rows, columns = np.divmod(near, product.shape[1])
                targets, channel = np.divmod(columns + made.start, channels)
                origins = (rows + top) * source.shape[1] + channel
                product.reshape(-1)[near] = _sum(weights, targets, source, origins, channels)
            _finish(product[:, : made.stop - made.start], out[top : top + chunk, made])


def scale_down(
    weights: Weights, runs: Sequence[Run], source: Samples, first: int, begin: int, out: Samples, *, exact: bool
) -> None:
    """Scale columns into `out`: target rows from `begin` on. `first` is the number of the source's first row."""
    for run in runs:
        blocks, height, width = run.weights.shape
        inputs = source[run.sources.start - first : run.sources.stop - first]
        made = slice(run.target.start, run.target.stop)
        chunk = max(1, min(_PRODUCT // (width * height), CHUNK_BYTES // (_FLOAT * len(inputs))))
        for left in range(0, source.shape[1], chunk):
            part = _centred(inputs[:, left : left + chunk])
            product = np.empty((blocks, height, part.shape[1]), np.float32)
            _multiply(
                run.weights,
                _view(part, (blocks, width, part.shape[1]), (run.step * part.shape[1], part.shape[1], 1)),
                product,
            )
            if exact and weights.error < _DOUBTFUL:
                near = _close(product, weights.error)
                rows, columns = np.divmod(near, part.shape[1])
                origins = columns + left - first * source.shape[1]
                targets = rows + made.start + begin
                product.reshape(-1)[near] = _sum(weights, targets, source, origins, source.shape[1])
            sums = product.reshape(blocks * height, -1)[: run.target.count]
            _finish(sums, out[made, left : left + chunk])


def _multiply(left: NDArray[np.float32], right: NDArray[np.float32], out: NDArray[np.float32]) -> None:
    """Write a matrix product of finite numbers, or several of one stack."""
    # OpenBLAS's kernels for aarch64 raise the processor's flags for lanes that belong to no number of the product, and
    # numpy would warn of divisions by zero (https://github.com/numpy/numpy/issues/28687 is the same elsewhere).
    with np.errstate(all="ignore"):
        np.matmul(left, right, out=out)


def _close(sums: NDArray[np.float32], error: float) -> Indices:
    """Return the places of sums that are as close to half a level as they may be wrong."""
    above = sums.reshape(-1) + np.float32(0.5 + error)
    above -= np.floor(above)
    return np.flatnonzero(above <= np.float32(2 * error))


def _sum(weights: Weights, targets: Indices, source: Samples, origins: Indices, step: int) -> NDArray[np.float32]:
    """Add products up one by one in single precision, and round; less CENTRE.

    The source samples of a target sample are `step` apart, counted from its origin.
    """
    flat, samples, single = source.reshape(-1), weights.samples.reshape(-1), weights.single.reshape(-1)
    each = weights.single.shape[1]
    total = np.zeros(len(targets), np.float32)
    for tap in range(each):
        places = targets * each + tap
        levels = flat.take(origins + samples.take(places) * step).astype(np.float32)
        levels *= single.take(places)
        total += levels
    total += _HALF
    np.floor(total, out=total)
    total -= np.float32(CENTRE)
    return total


def _finish(sums: NDArray[np.float32], out: Samples) -> None:
    """Round sums, half up, and clip them to 8 bits."""
    np.clip(sums, -CENTRE, 255 - CENTRE, out=sums)
    np.add(sums, np.float32(CENTRE) + _HALF, out=out, casting="unsafe")


def _centred(samples: Samples) -> NDArray[np.float32]:
    return np.subtract(samples, np.float32(CENTRE), dtype=np.float32, order="C")


def _view(array: NDArray[np.float32], shape: tuple[int, int, int], steps: tuple[int, int, int]) -> NDArray[np.float32]:
    """Return overlapping blocks of a contiguous array, without a copy; much faster than `as_strided`."""
    first, second, third = steps
    return np.ndarray(shape, np.float32, array.data, 0, (first * _FLOAT, second * _FLOAT, third * _FLOAT))
