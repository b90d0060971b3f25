"""Division rounded up, for integers and arrays."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from sidecar_jp2.format.rounding import ceil_div


@given(st.integers(-(2**40), 2**40), st.integers(1, 2**40))
def test_the_quotient_is_rounded_up(value: int, by: int) -> None:
    """The result is the smallest integer that is not below the quotient, for arrays as for integers."""
    quotient = ceil_div(value, by)
    assert (quotient - 1) * by < value <= quotient * by
    assert ceil_div(np.array([value], np.int64), by).tolist() == [quotient]
    assert ceil_div(value, np.array([by], np.int64)).tolist() == [quotient]
