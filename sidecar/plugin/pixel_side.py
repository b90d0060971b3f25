"""How large a pixel is on what an image shows, if what its file states is certain."""

from __future__ import annotations

import math
from typing import Final

_SQUARE: Final = 0.01
"""The part by which the sides of a pixel may differ, as scanners round them."""
_MICROSCOPIC: Final = 10.0
"""Micrometres. A resolution may be anybody's default, as 72 to the inch is, but none is that fine."""


def pixel_side(across: float | None, down: float | None, *, measured: bool) -> float | None:
    """Return `ImageInfo.pixel_micrometres` from the width and the height of a pixel in micrometres.

    None for one of them: the file does not state it. `measured`: whoever wrote the file knows its scale, as a scanner
    does; in other files, as TIFFs of any program, a size counts only if it is as small as a microscope's. Returns None
    if the size is not stated, not positive and finite, not square, or not certain.
    """
    if across is None or down is None or not all(math.isfinite(side) and side > 0 for side in (across, down)):
        return None
    if abs(across - down) > _SQUARE * across:
        return None
    return across if measured or across <= _MICROSCOPIC else None
