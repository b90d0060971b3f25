"""From a window of a slide to its pixels.

OpenSlide takes the place to read in pixels of level 0 and divides it by the level's downsample. Where that quotient is
no whole number, it interpolates between pixels, so that what a pixel shows depends on where the read began. Of a level
whose downsample is no whole number, blocks of a fixed grid are therefore read, each from its own corner, whatever the
window: then every pixel has one value, and windows join without a seam or a step.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from sidecar.errors import DecodeError
from sidecar.model import Buffer, ImageInfo, Level, Pixels, Rect, Size, Window
from sidecar_openslide.library import Scan, Slide

# OpenSlide's ARGB takes 4 bytes; of a single read 4 to 5 were measured, of whole answers up to 20, by what the
# allocator keeps between reads (`make bench ONLY=e`).
PIXEL_BYTES: Final = 20.0
# Interpolating costs more than four times what copying does, so little is read before a window; 64 to 192 are alike.
_BLOCK: Final = 128
# Rows shown at a time: so many stay in the processor's cache.
_ROWS: Final = 64
_OPAQUE: Final = 0xFF000000


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a window that is read in one go."""

    start: tuple[int, int]
    """Where the read begins, in pixels of level 0."""
    margin: tuple[int, int]
    """Columns and rows of the read that lie before the part."""
    region: Rect
    """The part, in pixels of the level."""


def pieces(region: Rect, level: Level) -> Iterator[Piece]:
    """Part a region so that each of its pixels comes out the same in any other region."""
    for x, width, start_x, margin_x in _spans(region.x, region.right, level.downsample):
        for y, height, start_y, margin_y in _spans(region.y, region.bottom, level.downsample):
            yield Piece((start_x, start_y), (margin_x, margin_y), Rect(x, y, width, height))


def _spans(start: int, stop: int, downsample: float) -> Iterator[tuple[int, int, int, int]]:
    """The parts of a row or column: where each begins, how long it is, where its read begins, what that has before."""
    if downsample.is_integer():
        yield start, stop - start, start * int(downsample), 0
        return
    for block in range(start // _BLOCK * _BLOCK, stop, _BLOCK):
        first = max(start, block)
        yield first, min(stop, block + _BLOCK) - first, round(block * downsample), first - block


class SlideReader:
    """An opened slide. OpenSlide keeps no state between reads; an error, though, ends a slide for good."""

    def __init__(self, slide: Slide, info: ImageInfo, background: tuple[int, int, int]) -> None:
        self.info = info
        self._slide: Slide | None = slide
        self._background = background

    def window(self, level: int, region: Rect) -> Window:
        """The window as it stands: OpenSlide reads the file itself."""
        return Window(level, region)

    def read(self, window: Window, data: Sequence[Buffer], into: Pixels) -> None:
        """RGB pixels, the background where nothing was scanned. Raises DecodeError."""
        del data
        if self._slide is None:
            raise DecodeError("the slide is closed")
        for part in pieces(window.region, self.info.levels[window.level]):
            x, y = part.region.x - window.region.x, part.region.y - window.region.y
            place = into[y : y + part.region.height, x : x + part.region.width]
            show(_scan(self._slide, window.level, part), self._background, place)

    def close(self) -> None:
        """Close the slide's files."""
        if self._slide is not None:
            self._slide.close()
            self._slide = None


def _scan(slide: Slide, level: int, part: Piece) -> Scan:
    left, top = part.margin
    return slide.read(level, *part.start, Size(left + part.region.width, top + part.region.height))[top:, left:]


def show(scan: Scan, background: tuple[int, int, int], into: Pixels) -> None:
    """Put what was scanned on a background colour: (rows, columns, 3)."""
    for top in range(0, len(scan), _ROWS):
        _show_rows(scan[top : top + _ROWS], background, into[top : top + _ROWS])


def _show_rows(scan: Scan, background: tuple[int, int, int], into: Pixels) -> None:
    samples = scan.astype("<u4", copy=False).view(np.uint8).reshape(*scan.shape, 4)
    colours, alpha = samples[..., 2::-1], samples[..., 3:]
    if scan.min() < _OPAQUE:
        into[:] = colours + (np.array(background, np.uint16) * (255 - alpha) + 127) // 255
        return
    for index in range(3):  # faster than all at once
        into[..., index] = colours[..., index]
