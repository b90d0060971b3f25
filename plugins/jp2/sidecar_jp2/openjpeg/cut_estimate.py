"""An estimate of what OpenJPEG takes for a part of a large tile that is cut out of it, however large the image."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import Final, NamedTuple

from sidecar_jp2.format.cut_grid import LEAST_SAVED, REACH, CutGrid
from sidecar_jp2.format.main_header import Coding, MainHeader, Progression
from sidecar_jp2.format.rounding import ceil_div
from sidecar_jp2.openjpeg.structures import Structures

INCOMPRESSIBLE: Final = 1.1
"""Compressed bytes per raw byte of data that cannot be compressed."""


class CutEstimate(NamedTuple):
    """What the largest cut of a level takes, whichever window it is for."""

    structures: Structures
    packet_bytes: float
    """The bytes of the packets that any window touches."""
    pixel_bytes: float
    """What each pixel of a window adds to them."""


@lru_cache(maxsize=64)
def estimate_cut(header: MainHeader, reduce: int) -> CutEstimate:
    """Return what is made for windows of a level that are cut out of an only tile."""
    grid, whole = CutGrid.of(header, reduce), header.geometry.level(reduce)
    width = min(grid.x.most, whole.width)
    # A tile is not cut if the cut leaves out little of it.
    height = min(ceil_div(min(grid.y.most, whole.height) * width + LEAST_SAVED, width), whole.height)
    geometry = replace(
        header.geometry, x0=0, y0=0, x1=width, y1=height, tile_x=0, tile_y=0, tile_width=width, tile_height=height
    )
    cut = replace(header, geometry=geometry, coding=_reduced(header, reduce), progression=Progression.LRCP)
    return CutEstimate(Structures.of(cut), *_packet_bytes(header, reduce))


def uncut_structures(header: MainHeader, dropped: int) -> Structures:
    """Return what is made for the only tile of an image whose `dropped` finest resolutions are left out."""
    part = header.geometry.level(dropped)
    geometry = replace(
        header.geometry, x0=part.x, y0=part.y, x1=part.right, y1=part.bottom,
        tile_x=part.x, tile_y=part.y, tile_width=part.width, tile_height=part.height,
    )  # fmt: skip
    return Structures.of(replace(header, geometry=geometry, coding=_reduced(header, dropped)))


def _reduced(header: MainHeader, reduce: int) -> tuple[Coding, ...]:
    return tuple(
        replace(coding, levels=coding.levels - reduce, precincts=coding.precincts[: coding.levels - reduce + 1])
        for coding in header.coding
    )


def _packet_bytes(header: MainHeader, reduce: int) -> tuple[float, float]:
    """Return the most bytes of the packets that a window touches: those of any window, and more for each pixel.

    A window of w by h samples of a resolution touches precincts of (w + e) by (h + e) samples. If no side is longer
    than s, and so w + h no more than s + wh / s, that is es + e^2 + wh (1 + e / s) at most.
    """
    grid, fixed, each = CutGrid.of(header, reduce), 0.0, 0.0
    for coding, part in zip(_reduced(header, reduce), header.geometry.components, strict=True):
        size = INCOMPRESSIBLE * part.precision / 8
        for resolution in range(coding.levels + 1):
            halvings, powers = coding.levels - resolution, coding.precincts[resolution]
            sampling = (part.dx << halvings), (part.dy << halvings)
            whole = header.geometry.level(reduce)
            edge = max(
                min(2 * (REACH[coding.reversible] + (1 << power)), 2 * length // step + 2)
                for power, length, step in zip(powers, (whole.width, whole.height), sampling, strict=True)
            )
            longest = max(side / step for side, step in zip((grid.x.longest, grid.y.longest), sampling, strict=True))
            fixed += size * (edge * longest + edge * edge)
            each += size * (1 + edge / longest) / (sampling[0] * sampling[1])
    return fixed, each
