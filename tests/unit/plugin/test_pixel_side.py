"""Sizes of pixels that are certain, and those that are not."""

from __future__ import annotations

import math

import pytest

from sidecar.plugin import pixel_side


@pytest.mark.parametrize(
    "across, down, measured, expected",
    [
        (0.25, 0.25, True, 0.25),
        (0.25, 0.252, True, 0.25),
        (0.25, 0.248, False, 0.25),
        (0.25, 0.26, True, None),
        (0.26, 0.25, False, None),
        (10.0, 10.0, False, 10.0),
        (10.01, 10.01, False, None),
        (10.01, 10.01, True, 10.01),
        (352.8, 352.8, False, None),
        (None, 0.25, True, None),
        (0.25, None, True, None),
        (None, None, False, None),
        (0.0, 0.0, True, None),
        (-0.25, -0.25, True, None),
        (math.nan, math.nan, True, None),
        (math.inf, math.inf, True, None),
    ],
)
def test_pixel_side(across: float | None, down: float | None, *, measured: bool, expected: float | None) -> None:
    """A size counts if both sides are stated and alike, and somebody measured it or it is a microscope's."""
    assert pixel_side(across, down, measured=measured) == expected
