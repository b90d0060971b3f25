"""From a window of a slide to its pixels.

OpenSlide takes the place to read in pixels of level 0 and divides it by the level's downsample. Where that quotient is
no whole number, it interpolates between pixels, so that the value of a pixel depends on where the read began. If the
downsample of a level is no whole number, blocks of a fixed grid are therefore read, each from its own corner, whatever
the window: then every pixel has one value, and windows join without a seam or a step.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from sidecar.plugin import (
    Advice,
    Buffer,
    DecodeError,
    Fact,
    ImageInfo,
    Level,
    Pixels,
    Rect,
    Size,
    Unsupported,
    Window,
    thread_lock,
)
from sidecar_openslide.colours import show
from sidecar_openslide.description import SlideDescription
from sidecar_openslide.guarded import GuardedSlide
from sidecar_openslide.library import Scan, Slide

# OpenSlide's ARGB takes 4 bytes; 4 to 5 were measured in a single read, up to 20 in whole responses, by what the
# allocator keeps between reads (`make bench ONLY=e`).
PIXEL_BYTES: Final = 20.0
# An open slide with what it is described by; each place and length of a tile, as libtiff holds them; the files that
# OpenSlide keeps opened for one slide at most.
_SLIDE_BYTES: Final = 1 << 16
_TILE_LIST_BYTES: Final = 16
_MOST_OPENED: Final = 32
# Interpolating costs more than four times what copying does, so little is read before a window; 64 to 192 are alike.
_BLOCK: Final = 128


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a window that is read at once."""

    start: tuple[int, int]
    """Where the read begins, in pixels of level 0."""
    margin: tuple[int, int]
    """Columns and rows of the read that lie before the part."""
    region: Rect
    """The part, in pixels of the level."""


def pieces(region: Rect, level: Level) -> Iterator[Piece]:
    """Split a region so that each of its pixels has the same value in any other region."""
    for x, width, start_x, margin_x in _spans(region.x, region.right, level.downsample):
        for y, height, start_y, margin_y in _spans(region.y, region.bottom, level.downsample):
            yield Piece((start_x, start_y), (margin_x, margin_y), Rect(x, y, width, height))


def _spans(start: int, stop: int, downsample: float) -> Iterator[tuple[int, int, int, int]]:
    """Return the parts of a row or column: start, length, where its read begins, and its margin before the part."""
    if downsample.is_integer():
        yield start, stop - start, start * int(downsample), 0
        return
    for block in range(start // _BLOCK * _BLOCK, stop, _BLOCK):
        first = max(start, block)
        yield first, min(stop, block + _BLOCK) - first, round(block * downsample), first - block


@dataclass(eq=False, slots=True)
class _Handle:
    """An open slide and the reads that are under way in it."""

    slide: GuardedSlide
    reads: int = 0
    most: int = 0
    """Reads that were under way at once, at most."""
    current: bool = True


class SlideReader:
    """An opened slide, read from any number of threads.

    OpenSlide keeps no state between reads, but an error ends a slide for good (openslide.h). So after an error the file
    is opened anew for the reads to come, and the old slide is closed when the last read in it has ended.
    """

    thread_safe: Final = True

    def __init__(
        self,
        slide: GuardedSlide,
        info: ImageInfo,
        background: tuple[int, int, int],
        reopen: Callable[[], GuardedSlide],
        description: SlideDescription,
    ) -> None:
        self.info = info
        self._description = description
        self._background = background
        self._reopen = reopen
        self._tiles = max(map(_tiles, info.levels))
        self._lock = thread_lock()
        self._handle: _Handle | None = _Handle(slide)
        self._closed = False

    @property
    def held_bytes(self) -> int:
        """The bytes that OpenSlide holds beside its cache of tiles: for each read at once it opens the file anew.

        What it has opened it keeps, see HoldsBytes: a TIFF with where each tile of a level is.
        """
        handle = self._handle
        opened = min(max(1, handle.most), _MOST_OPENED) if handle else 0
        return _SLIDE_BYTES + opened * _TILE_LIST_BYTES * self._tiles

    def window(self, level: int, region: Rect) -> Window:
        """Return the window as it stands: OpenSlide reads the file itself."""
        return Window(level=level, region=region)

    def read(self, window: Window, data: Sequence[Buffer], into: Pixels) -> None:
        """Write RGB pixels, the background where nothing was scanned.

        Raises DecodeError, SourceChanged if the files are no longer those that were opened, SourceError.
        """
        del data
        with self._open_slide() as slide:
            for part in pieces(window.region, self.info.levels[window.level]):
                x, y = part.region.x - window.region.x, part.region.y - window.region.y
                place = into[y : y + part.region.height, x : x + part.region.width]
                show(_scan(slide, window.level, part), self._background, place)

    def properties(self) -> Mapping[str, str]:
        """Return the properties that OpenSlide states, see HasProperties."""
        return self._description.properties

    def facts(self) -> Sequence[Fact]:
        """Return what the slide is, see Describes."""
        return self._description.facts(self.info)

    def window_facts(self, window: Window) -> Sequence[Fact]:
        """Return which tiles are decoded for a window, see Describes."""
        level, region = self.info.levels[window.level], window.region
        if level.grid is None:
            return []
        columns = [*level.grid.columns(region.x, region.right)]
        rows = [*level.grid.rows(region.y, region.bottom)]
        return [
            Fact("tiles decoded", (len(columns) + 1) * (len(rows) + 1)),
            Fact("reads", sum(1 for _ in pieces(region, level))),
        ]

    def advice(self) -> Sequence[Advice]:
        """Return how the slide would better be stored, see Describes."""
        return self._description.advice(self.info)

    def close(self) -> None:
        """Close the slide's files."""
        with self._lock:
            handle, self._handle, self._closed = self._handle, None, True
        if handle is not None:
            handle.slide.close()

    @contextmanager
    def _open_slide(self) -> Iterator[Slide]:
        handle = self._begin()
        try:
            with handle.slide.used() as slide:
                yield slide
        except BaseException:
            self._retire(handle)
            raise
        finally:
            self._end(handle)

    def _begin(self) -> _Handle:
        with self._lock:
            if self._closed:
                raise DecodeError("the slide is closed")
            if self._handle is None:
                self._handle = _Handle(self._opened())
            self._handle.reads += 1
            self._handle.most = max(self._handle.most, self._handle.reads)
            return self._handle

    def _opened(self) -> GuardedSlide:
        """Open the file anew. Raises DecodeError, SourceChanged, SourceError."""
        try:
            return self._reopen()
        except Unsupported as error:
            raise DecodeError(f"the slide cannot be opened again: {error}") from error

    def _retire(self, handle: _Handle) -> None:
        with self._lock:
            handle.current = False
            if self._handle is handle:
                self._handle = None

    def _end(self, handle: _Handle) -> None:
        with self._lock:
            handle.reads -= 1
            unused = not handle.current and not handle.reads
        if unused:
            handle.slide.close()


def _tiles(level: Level) -> int:
    """Return how many tiles a level has."""
    if level.grid is None:
        return 1
    return math.ceil(level.size.width / level.grid.width) * math.ceil(level.size.height / level.grid.height)


def _scan(slide: Slide, level: int, part: Piece) -> Scan:
    left, top = part.margin
    return slide.read(level, *part.start, Size(left + part.region.width, top + part.region.height))[top:, left:]
