"""How large a slide's pixels are, if it says so for certain."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

_SQUARE: Final = 0.01
"""The part by which the sides of a pixel may differ, as scanners round them."""
_MICROSCOPIC: Final = 10.0
"""Micrometres. In a TIFF of no scanner's maker a resolution may be anybody's default, but none is that fine."""


def pixel_micrometres(properties: Mapping[str, str]) -> float | None:
    """Return the side of a pixel; None if it is not stated, not square, or a tiled TIFF's that nobody measured."""
    across, down = (_length(properties.get(f"openslide.mpp-{axis}", "")) for axis in ("x", "y"))
    if across is None or down is None or abs(across - down) > _SQUARE * across:
        return None
    if properties.get("openslide.vendor") == "generic-tiff" and across > _MICROSCOPIC:
        return None
    return across


def _length(text: str) -> float | None:
    try:
        found = float(text)
    except ValueError:
        return None
    return found if math.isfinite(found) and found > 0 else None
