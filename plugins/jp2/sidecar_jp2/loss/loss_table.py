"""What may be lost of windows of an image: measured once, by level and by what hides it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sidecar.plugin import EXACT, Tolerance
from sidecar_jp2.loss.dropped_planes import Loss
from sidecar_jp2.loss.search import MARGINS, THRESHOLDS

SUBSAMPLINGS: Final = ("4:4:4", "4:2:2", "4:2:0", "gray")
"""In this order they are numbered on disk."""
RULE: Final = 1
"""Counts the changes of the rule; what was measured for another one is measured again."""
COLUMNS: Final = 9
MOST_ROWS: Final = 256
MOST_LEVELS, MOST_LAYERS = 32, 65535
"""Decomposition levels and quality layers (T.800 tables A.15, A.14)."""


class LossKey(NamedTuple):
    """What a measurement is for."""

    level: int
    tolerance: Tolerance
    decibels: float
    """The loss that is allowed."""


class LossTable:
    """The measurements of one image. A row is replaced at once, so any greenlet may read."""

    def __init__(self) -> None:
        self._rows: dict[LossKey, Loss | None] = {}
        self.revision = 0
        """Grows with every measurement."""

    def __contains__(self, key: LossKey) -> bool:
        return key in self._rows

    def get(self, key: LossKey) -> Loss | None:
        """Return what may be lost; None if nothing may, or if that is not known yet."""
        return self._rows.get(key)

    def put(self, key: LossKey, loss: Loss | None) -> None:
        """Keep a measurement; None: nothing may be lost."""
        if len(self._rows) < MOST_ROWS:
            self._rows[key] = loss
            self.revision += 1

    @property
    def nbytes(self) -> int:
        """The approximate memory in bytes."""
        return 500 * len(self._rows)

    def to_array(self) -> NDArray[np.float64]:
        """Return the measurements as numbers."""
        return np.array([*self._numbers()], np.float64).reshape(-1, COLUMNS)

    def _numbers(self) -> Iterator[tuple[float, ...]]:
        for (level, tolerance, decibels), loss in [*self._rows.items()]:
            kept = (loss.threshold, loss.halved_chroma, loss.margin, loss.layers or 0) if loss else (0.0, 0, 0, 0)
            sampling = SUBSAMPLINGS.index(tolerance.subsampling)
            yield RULE, level, tolerance.quality, sampling, decibels, *kept

    def fill(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Take over the measurements of `to_array` under the name `losses`, those of this rule.

        Raises ValueError, IndexError if they are none; the table is as before then.
        """
        numbers = arrays["losses"].reshape(-1, COLUMNS)
        if len(numbers) > MOST_ROWS or not np.isfinite(numbers).all():
            raise ValueError("losses: too many, or no numbers")
        rows = {key: loss for row in numbers.tolist() if row[0] == RULE for key, loss in [_measurement(row[1:])]}
        self._rows |= rows

    def forget(self) -> None:
        """Drop all measurements."""
        self._rows.clear()


def _measurement(row: Sequence[float]) -> tuple[LossKey, Loss | None]:
    """Return a row of a table without its rule. Raises ValueError, IndexError if there cannot be such a one."""
    level, quality, sampling, halved, margin, layers = (int(row[place]) for place in (0, 1, 2, 5, 6, 7))
    decibels, threshold = row[3], row[4]
    believable = (
        0 <= level <= MOST_LEVELS and 1 <= quality <= EXACT.quality and sampling >= 0 and 0 <= layers <= MOST_LAYERS
    )
    if not believable or threshold not in (0, *THRESHOLDS) or margin not in (0, *MARGINS):
        raise ValueError("losses: no measurement is like that")
    key = LossKey(level, Tolerance(quality, SUBSAMPLINGS[sampling]), decibels)
    return key, Loss(threshold, bool(halved), margin, layers or None) if threshold else None
