"""Windows of JPEG 2000 images, and long ones that are decoded in several parts, each cut out of its tile."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from sidecar.plugin import Buffer, ByteRange, Rect, Size, Window
from sidecar_jp2.extraction import Extraction
from sidecar_jp2.format.rounding import ceil_div
from sidecar_jp2.loss.dropped_planes import Loss


@dataclass(frozen=True, slots=True, kw_only=True)
class Jp2Window(Window):
    """A window and the small codestream that it is decoded from."""

    extraction: Extraction | None = field(default=None, repr=False, compare=False)
    """None: the whole codestream is decoded, unless there are parts."""
    loss: Loss | None = field(default=None, repr=False)
    """What is left out of it, if anything is."""
    parts: tuple[Part, ...] = field(default=(), repr=False, compare=False)
    """What is decoded one after the other."""

    @property
    def lossy(self) -> bool:
        """Whether bits are left out of it."""
        return self.loss is not None

    @property
    def cut(self) -> bool:
        """Whether it is cut out of a tile."""
        return self.extraction is not None and self.extraction.cut


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a window, as a window of its own."""

    window: Jp2Window
    places: tuple[tuple[int, int, int], ...]
    """Where each of its ranges lies: the number of the range of the whole window, begin and end in it."""

    def data(self, data: Sequence[Buffer]) -> Sequence[Buffer]:
        """Return the bytes of its ranges out of those of the whole window."""
        return [memoryview(data[number])[start:stop] for number, start, stop in self.places]


def split(region: Rect, longest: Size) -> Iterator[Rect]:
    """Yield the parts of a region, row by row, of nearly equal sizes."""
    rows = [*pairwise(_cuts(region.y, region.bottom, longest.height))]
    for left, right in pairwise(_cuts(region.x, region.right, longest.width)):
        for top, bottom in rows:
            yield Rect(left, top, right - left, bottom - top)


def _cuts(start: int, stop: int, longest: int) -> Sequence[int]:
    count = ceil_div(stop - start, longest)
    return [start + (stop - start) * number // count for number in range(count + 1)]


def joined(level: int, region: Rect, windows: Sequence[Jp2Window]) -> Jp2Window:
    """Return the window that reads the bytes of its parts once, though they overlap."""
    ranges: list[ByteRange] = []
    for start, stop in sorted({each for window in windows for each in window.ranges}):
        if ranges and start <= ranges[-1].stop:
            ranges[-1] = ByteRange(ranges[-1].start, max(stop, ranges[-1].stop))
        else:
            ranges.append(ByteRange(start, stop))
    starts = [each.start for each in ranges]
    parts = tuple(Part(window, tuple(_places(window.ranges, starts))) for window in windows)
    return Jp2Window(level=level, region=region, ranges=tuple(ranges), parts=parts)


def _places(ranges: Sequence[ByteRange], starts: Sequence[int]) -> Iterator[tuple[int, int, int]]:
    for start, stop in ranges:
        number = bisect_right(starts, start) - 1
        yield number, start - starts[number], stop - starts[number]
