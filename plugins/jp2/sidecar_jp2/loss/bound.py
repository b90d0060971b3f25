"""The bound: by how much a JPEG of fewer bits may show an image worse than a JPEG of all of them."""

from __future__ import annotations

import io
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Final, NamedTuple

import numpy as np
from PIL import Image

from sidecar.plugin import Pixels, Tolerance

EDGE: Final = 3
"""Columns and rows at an edge whose loss is bounded by itself."""
MEAN, WORST, EDGES, LARGER = 0.85, 1.5, 3.0, 1.02
"""How many times the loss that is allowed the windows that are measured may have: their mean, the worst of them, and
the mean of their edges; and how much larger the JPEGs may be. They leave room for windows that are not measured: 1, 2.5
and 5 times, and 1.03."""
LEAST_ERROR: Final = 1e-6
PILLOW: Final = {"4:4:4": 0, "4:2:2": 1, "4:2:0": 2, "gray": 0}
"""Pillow's numbers of the subsamplings."""


class Shown(NamedTuple):
    """What a JPEG shows of a window."""

    error: float
    """The mean square error."""
    edges: tuple[float, ...]
    """Likewise of the outermost columns and rows on each side."""
    size: int


def show(pixels: Pixels, exact: Pixels, tolerance: Tolerance) -> Shown:
    """Return what a JPEG of pixels shows of the exact ones."""
    file = io.BytesIO()
    picture = Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
    picture.save(file, "JPEG", quality=tolerance.quality, subsampling=PILLOW[tolerance.subsampling])
    with Image.open(file) as image:
        shown = np.asarray(image).reshape(exact.shape)
    errors = (shown.astype(np.int32) - exact) ** 2
    edges = (errors[:, :EDGE], errors[:, -EDGE:], errors[:EDGE], errors[-EDGE:])
    return Shown(float(errors.mean()), tuple(float(each.mean()) for each in edges), file.tell())


def decibels(worse: float, better: float) -> float:
    """Return how much lower the peak signal-to-noise ratio of one mean square error is than that of another."""
    return 10 * math.log10((worse + LEAST_ERROR) / (better + LEAST_ERROR))


@dataclass(frozen=True, slots=True)
class Measured:
    """The losses of some windows."""

    mean: float
    worst: float
    edge: float
    """In decibels."""
    larger: float
    """The sizes of the JPEGs, as a ratio."""

    @classmethod
    def of(cls, exact: Sequence[Shown], lossy: Sequence[Shown]) -> Measured:
        """Compare what JPEGs of the same windows show."""
        losses = [decibels(one.error, other.error) for one, other in zip(lossy, exact, strict=True)]
        return cls(
            fmean(losses),
            max(losses),
            fmean(_edges(exact, lossy)),
            sum(each.size for each in lossy) / sum(each.size for each in exact),
        )

    def within(self, allowed: float) -> bool:
        """Return whether the windows lose no more than is allowed, in decibels, without their edges."""
        return self.mean <= MEAN * allowed and self.worst <= WORST * allowed and self.larger <= LARGER

    def sharp(self, allowed: float) -> bool:
        """Return whether their edges lose no more."""
        return self.edge <= EDGES * allowed


def _edges(exact: Sequence[Shown], lossy: Sequence[Shown]) -> Iterator[float]:
    for one, other in zip(lossy, exact, strict=True):
        yield from (decibels(worse, better) for worse, better in zip(one.edges, other.edges, strict=True))
