"""The coding features whose windows are proven, and what is decoded of images that use any other.

OpenJPEG has code of its own for decode areas inside a tile. Two of its faults give wrong samples without an error
(versions 2.5.0 and 2.5.4): it leaves code blocks of ITU-T T.814 at zero, and it takes packet headers out of PPM for
the wrong tile if it skips tiles. So this is a list of what is known to be right: every feature in it is compared with
the plain decode by `tests/test_jp2_proven.py`, and images with any other feature are decoded in whole tiles.
"""

from __future__ import annotations

from collections.abc import Collection
from enum import IntEnum

from sidecar_jp2.format.main_header import MainHeader
from sidecar_jp2.format.markers import Marker

IN_MAIN_HEADER = frozenset(
    {
        Marker.SIZ,
        Marker.COD,
        Marker.COC,
        Marker.QCD,
        Marker.QCC,
        Marker.RGN,
        Marker.TLM,
        Marker.PLM,
        Marker.CRG,
        Marker.COM,
    }
)
"""Not CAP (it declares T.814 and extensions of Part 2), POC and PPM."""
IN_TILE_PART_HEADER = frozenset({Marker.PLT, Marker.COM})
"""Not PPT, POC, and what overrides the main header for a tile."""
BLOCK_STYLES = 0x3F
"""The six code-block styles of T.800 table A.19, in any combination. Bit 6 is T.814's."""


class DecodeUnit(IntEnum):
    """The least that OpenJPEG decodes of an image without a fault."""

    WINDOW = 0
    TILE = 1
    IMAGE = 2


def decode_unit(header: MainHeader, tile_part: Collection[int]) -> DecodeUnit:
    """Return what has to be decoded at once; `tile_part` holds the markers of the first tile-part's header."""
    tiles = header.geometry.columns * header.geometry.rows
    if header.has(Marker.PPM) and tiles > 1:
        return DecodeUnit.IMAGE
    if all(_proven(header, tile_part)):
        return DecodeUnit.WINDOW
    return DecodeUnit.TILE


def _proven(header: MainHeader, tile_part: Collection[int]) -> tuple[bool, ...]:
    return (
        all(segment.marker in IN_MAIN_HEADER for segment in header.segments),
        all(marker in IN_TILE_PART_HEADER for marker in tile_part),
        all(coding.block_style | BLOCK_STYLES == BLOCK_STYLES for coding in header.coding),
    )
