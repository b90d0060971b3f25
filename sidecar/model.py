"""The values that flow through a request: made once, frozen, passed forward."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

Pixels: TypeAlias = NDArray[np.uint8]
"""Shape (rows, columns, channels), 8 bit; 1 channel is grey, 2 grey and alpha, 3 RGB, 4 RGBA (alpha not multiplied in).
C-contiguous where an encoder gets them; elsewhere they may be a view of a larger array."""

Buffer: TypeAlias = bytes | bytearray | memoryview


@dataclass(frozen=True, slots=True)
class Size:
    """Width and height in pixels."""

    width: int
    height: int

    @property
    def area(self) -> int:
        """The number of pixels."""
        return self.width * self.height

    @property
    def turned(self) -> Size:
        """The size after a quarter turn."""
        return Size(self.height, self.width)


@dataclass(frozen=True, slots=True)
class Rect:
    """A rectangle of pixels: left, top, width, height."""

    x: int
    y: int
    width: int
    height: int

    @property
    def right(self) -> int:
        """The first column after the rectangle."""
        return self.x + self.width

    @property
    def bottom(self) -> int:
        """The first row after the rectangle."""
        return self.y + self.height

    @property
    def size(self) -> Size:
        """Width and height."""
        return Size(self.width, self.height)


class ByteRange(NamedTuple):
    """Bytes `start` to `stop` (exclusive) of a blob."""

    start: int
    stop: int


@dataclass(frozen=True, slots=True)
class Grid:
    """The grid on which a level decodes in pieces at least extra cost: piece k begins at ceil(origin + k * step).

    That is of its tiles, where it has any. Fractions are exact: JPEG 2000 tiles divided by a power of two (ITU-T T.800
    B.3), slides' whole tiles.
    """

    x: float
    y: float
    width: float
    height: float

    def columns(self, start: int, stop: int) -> Iterator[int]:
        """The boundaries strictly between two columns."""
        return _cuts(self.x, self.width, start, stop)

    def rows(self, start: int, stop: int) -> Iterator[int]:
        """The boundaries strictly between two rows."""
        return _cuts(self.y, self.height, start, stop)


def _cuts(origin: float, step: float, start: int, stop: int) -> Iterator[int]:
    k = math.floor((start - origin) / step)
    while (cut := math.ceil(origin + k * step)) < stop:
        if cut > start:
            yield cut
        k += 1


@dataclass(frozen=True, slots=True)
class Level:
    """One resolution of an image: `downsample` full-resolution pixels make one of its own, in each direction.

    Decoding a region takes about `fixed_bytes + pixel_bytes * area` bytes of memory beside the array that its pixels
    are written to, the region's area counted in whole tiles where there are any.
    """

    size: Size
    downsample: float
    grid: Grid | None
    """None: any piece may cost as much as the whole."""
    fixed_bytes: int = 0
    pixel_bytes: float = 8.0
    coded_bytes: float = 0.0
    """Of a pixel in the blob, at most; windows' bytes are fetched before they are decoded."""


@dataclass(frozen=True, slots=True)
class ImageInfo:
    """What a decoder says of an image once it is opened."""

    size: Size
    channels: int
    """Of the pixels the reader gives: 1, 2, 3 or 4, see Pixels."""
    levels: tuple[Level, ...]
    """Finest first; levels[0].size == size."""
    tile: Size | None = None
    """The size of the file's own tiles at full resolution; None: untiled."""
    icc: bytes | None = field(default=None, repr=False)
    """The ICC profile that describes the pixels as they are given."""
    parallel: bool = False
    """Whether several windows of one reader may be read at once, in different threads."""


@dataclass(frozen=True, slots=True)
class Window:
    """A region of a level and the bytes that decoding it takes. A value: it is tied to no request."""

    level: int
    region: Rect
    """In pixels of the level."""
    ranges: tuple[ByteRange, ...] = ()
    """What to read from the blob, in this order; empty where the reader reads a local path itself."""
    recipe: object = field(default=None, repr=False, compare=False)
    """The reader's own note of how to decode the bytes; nobody else looks at it."""


@dataclass(frozen=True, slots=True)
class Frame:
    """What an encoder is told before the first strip."""

    size: Size
    channels: int
    icc: bytes | None = field(default=None, repr=False)
    bitonal: bool = False
    """Grey pixels that are 0 or 255 only."""

    @property
    def alpha(self) -> bool:
        """Whether the last channel is alpha."""
        return self.channels in (2, 4)
