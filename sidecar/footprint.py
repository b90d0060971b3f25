"""How much memory an answer takes at once: known before the work starts, checked against traces in the tests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from sidecar.model import Frame, ImageInfo, Level, Size
from sidecar.partition import UNDER_WAY
from sidecar.transform import Rows, Scaling

_PILLOW: Final = 4
"""Bytes that a pixel takes in Pillow, whatever its channels."""


@dataclass(frozen=True, slots=True)
class Work:
    """What is held of, in pixels of the oriented source."""

    source: Size
    thickest: int
    """Rows of the thickest band."""
    decoding: Sequence[int]
    """The areas of the pieces that may be in native hands at once."""
    fetched: int
    """The areas of all whose bytes are there: of bands ahead, and of the pieces in native hands."""
    encoding: float
    """Bytes that encoding takes for each byte of a strip; see EncoderFactory."""


def peak_bytes(work: Work, level: Level, info: ImageInfo, frame: Frame, rows: int, scaling: Scaling | None) -> int:
    """Bytes held at once, at most: what is fetched, native decoding, bands of pixels, and a strip on its way out."""
    native = level.fixed_bytes * len(work.decoding) + sum(work.decoding) * level.pixel_bytes
    coded = work.fetched * level.coded_bytes
    need = _rows_needed(frame.size.height, rows, scaling)
    # At worst the strip begins with the last row of one band and ends with the first of another; both are held whole.
    touched = (need - 2) // work.thickest + 2
    together = min((touched + UNDER_WAY) * work.thickest, work.source.height)
    held = together * work.source.width * info.channels
    return int(native + coded + held + _strip_bytes(work, need, info, frame, rows, scaling))


def _rows_needed(height: int, rows: int, scaling: Scaling | None) -> int:
    """The most source rows that a strip is made from."""
    if scaling is None:
        return rows
    needed = (scaling.rows(Rows(start, min(start + rows, height))) for start in range(0, height, rows))
    return max(each.stop - each.start for each in needed)


def _strip_bytes(work: Work, need: int, info: ImageInfo, frame: Frame, rows: int, scaling: Scaling | None) -> int:
    """Of the strip in hand: its source rows joined, framed and in Pillow, and what is made of them."""
    joined = need * work.source.width * info.channels
    if scaling:
        joined += need * (work.source.width * (info.channels + _PILLOW) + frame.size.width * _PILLOW)
    flattened = 8 * info.channels if info.channels in (2, 4) and not frame.alpha else 0
    out = rows * frame.size.width * max((1 + work.encoding) * frame.channels, flattened, 8 if frame.bitonal else 0)
    # A bitonal picture is held whole until its threshold is known.
    return joined + int(out) + (frame.size.area if frame.bitonal else 0)
