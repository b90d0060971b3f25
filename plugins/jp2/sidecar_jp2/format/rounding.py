"""Division rounded up, the rule by which JPEG 2000 maps the reference grid to samples (ITU-T T.800 B.2 to B.7)."""

from __future__ import annotations

from typing import overload

import numpy as np
from numpy.typing import NDArray


@overload
def ceil_div(value: int, by: int) -> int: ...
@overload
def ceil_div(value: NDArray[np.int64], by: int | NDArray[np.int64]) -> NDArray[np.int64]: ...
@overload
def ceil_div(value: int, by: NDArray[np.int64]) -> NDArray[np.int64]: ...
def ceil_div(value: int | NDArray[np.int64], by: int | NDArray[np.int64]) -> int | NDArray[np.int64]:
    """Return `value / by` rounded up, exact for integers of any sign."""
    return -(-value // by)
