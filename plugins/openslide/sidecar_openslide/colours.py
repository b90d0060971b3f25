"""From OpenSlide's samples to colours: alpha is blended with a background, and profiles are of RGB."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

import numpy as np

from sidecar.plugin import Pixels, Unsupported
from sidecar_openslide.library import Scan

WHITE: Final = (255, 255, 255)
# Rows shown at a time: so many stay in the processor's cache.
_ROWS: Final = 64
_OPAQUE: Final = 0xFF000000
# ICC.1:2022 7.2.6: the colour space that a profile is about.
_COLOUR_SPACE: Final = slice(16, 20)


def check_profile(icc: bytes | None) -> None:
    """Raise Unsupported if a profile is of another colour space: what OpenSlide returns is RGB."""
    if icc is not None and icc[_COLOUR_SPACE] != b"RGB ":
        raise Unsupported("a slide whose ICC profile is not one of RGB")


def background(properties: Mapping[str, str]) -> tuple[int, int, int]:
    """Return the colour of what was not scanned, as the scanner states it; else white, as glass is."""
    color = properties.get("openslide.background-color", "")
    if not re.fullmatch("[0-9a-fA-F]{6}", color):
        return WHITE
    red, green, blue = bytes.fromhex(color)
    return red, green, blue


def show(scan: Scan, behind: tuple[int, int, int], into: Pixels) -> None:
    """Blend what was scanned with the colour behind it, shape (rows, columns, 3)."""
    for top in range(0, len(scan), _ROWS):
        _show_rows(scan[top : top + _ROWS], behind, into[top : top + _ROWS])


def _show_rows(scan: Scan, behind: tuple[int, int, int], into: Pixels) -> None:
    samples = scan.astype("<u4", copy=False).view(np.uint8).reshape(*scan.shape, 4)
    colours, alpha = samples[..., 2::-1], samples[..., 3:]
    if scan.min() < _OPAQUE:
        into[:] = colours + (np.array(behind, np.uint16) * (255 - alpha) + 127) // 255
        return
    for index in range(3):  # faster than all at once
        into[..., index] = colours[..., index]
