"""Weights arranged for matrix products: blocks of neighbouring target samples that share their source samples."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from sidecar.render.steps.step import Rows
from sidecar.render.steps.weights import Weights

BLOCK_SIZES: Final = range(4, 9)
"""Target samples in a block: the more, the faster a product is, and the more of its weights are 0."""
_LONGEST: Final = 64
"""Blocks in a run."""
_SLACK: Final = 3
"""Source samples by which the blocks of a run may be wider than they need to be."""


@dataclass(frozen=True, slots=True, eq=False)
class Run:
    """Blocks that begin at equal distances in the source, so that one call multiplies them all."""

    target: Rows
    """The target samples; the last block may hold fewer than the others."""
    source: int
    """The first source sample of the first block."""
    step: int
    """Source samples from one block to the next."""
    weights: NDArray[np.float32]
    """Shape (blocks, target samples of a block, source samples of a block)."""

    @property
    def sources(self) -> Rows:
        """The source samples of all blocks."""
        blocks, _, each = self.weights.shape
        return Rows(self.source, self.source + self.step * (blocks - 1) + each)

    def spread(self, channels: int) -> NDArray[np.float32]:
        """Return the weights for interleaved channels, transposed: (blocks, sources * channels, targets * channels)."""
        blocks, targets, sources = self.weights.shape
        spread = np.zeros((blocks, sources, channels, targets, channels), np.float32)
        for channel in range(channels):
            spread[:, :, channel, :, channel] = self.weights.transpose(0, 2, 1)
        return spread.reshape(blocks, sources * channels, targets * channels)


def arrange(weights: Weights, wanted: Rows) -> list[Run]:
    """Arrange the weights of some target samples."""
    first = weights.first[wanted.start : wanted.stop]
    each = weights.values.shape[1]
    pace = (int(first[-1]) - int(first[0])) / max(1, len(first) - 1)
    size = min(BLOCK_SIZES, key=lambda count: abs(count * pace - round(count * pace)))
    heads = np.arange(0, len(first), size)
    begins = np.minimum.reduceat(first, heads)
    ends = np.maximum.reduceat(first, heads) + each
    step = round(size * pace)
    inputs = Rows(int(first.min()), int(first.max()) + each)
    runs = []
    at = 0
    while at < len(heads):
        count, source, width = _longest(begins[at:], ends[at:], step, inputs)
        targets = Rows(at * size, min((at + count) * size, len(first)))
        rows = np.arange(targets.count)
        offsets = first[targets.start : targets.stop] - source - step * (rows // size)
        matrices = np.zeros((count * size, width), np.float32)
        values = weights.values[wanted.start + targets.start : wanted.start + targets.stop]
        matrices[rows[:, None], offsets[:, None] + np.arange(each)] = values
        runs.append(Run(targets, source, step, matrices.reshape(count, size, width)))
        at += count
    return runs


def _longest(begins: NDArray[np.int64], ends: NDArray[np.int64], step: int, inputs: Rows) -> tuple[int, int, int]:
    """Return how many blocks the first of the blocks can be joined with, where they begin, and their width.

    Joined blocks are `step` apart, not much wider than they need to be, and stay within the inputs.
    """
    begin, end = int(begins[0]), int(ends[0])
    found = (1, begin, end - begin)
    widest = end - begin + _SLACK
    for count in range(2, min(len(begins), _LONGEST) + 1):
        ahead = step * (count - 1)
        begin, end = min(begin, int(begins[count - 1]) - ahead), max(end, int(ends[count - 1]) - ahead)
        if end - begin > widest or begin < inputs.start or end + ahead > inputs.stop:
            break
        found = (count, begin, end - begin)
    return found
