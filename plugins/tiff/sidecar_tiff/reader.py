"""From a window of a slide to its pixels: only the tiles that it touches are fetched and decoded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from sys import getsizeof
from typing import Final, Literal

import numpy as np

from sidecar.plugin import Advice, Buffer, EncodedTile, Fact, ImageInfo, Pixels, Rect, Window
from sidecar.plugin.color import shared_profile
from sidecar_tiff import description
from sidecar_tiff.codecs import DecodeTile, JpegCodec, blank
from sidecar_tiff.levels import ShownLevel
from sidecar_tiff.slide import Slide

_CHANNELS: Final = 3
_LEVEL_BYTES: Final = 4096
"""Of a level, beside its lists and tables."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TileWindow(Window):
    """A window, and which of the tiles that it touches were scanned."""

    scanned: tuple[bool, ...] = field(default=(), repr=False)
    """Row by row. Only of those there are ranges."""


class TiffReader:
    """An ImageReader. Windows hold all that a decode needs, so any number of threads may read at once."""

    thread_safe: Literal[True] = True

    def __init__(self, levels: Sequence[ShownLevel], slide: Slide) -> None:
        self._levels = levels
        self._properties = slide.properties
        self._pages = slide.pages
        stored = levels[0].stored
        self.info = ImageInfo(
            size=stored.size,
            channels=_CHANNELS,
            levels=tuple(each.level for each in levels),
            tile=stored.tile,
            icc=None if slide.icc is None else shared_profile(slide.icc),
            pixel_micrometres=slide.pixel_micrometres,
        )
        lists = sum(each.stored.held_bytes + _LEVEL_BYTES for each in levels if each.ratio == 1)
        texts = (text for pair in self._properties.items() for text in pair)
        self._held = lists + getsizeof(self._properties) + sum(map(getsizeof, texts))

    @property
    def held_bytes(self) -> int:
        """The bytes of properties, of the lists of tiles that are held, and of pages of others, see HoldsBytes."""
        return self._held + self._pages.nbytes

    def window(self, level: int, region: Rect) -> TileWindow:
        """Return the places of the tiles that a region touches, those left out that were not scanned.

        Raises, if their places stay in the file, DecodeError and Unsupported for a tile that is not read here;
        SourceError, SourceChanged.
        """
        places = self._levels[level].places(region)
        return TileWindow(
            level=level,
            region=region,
            ranges=tuple(place for place in places if place.length),
            scanned=tuple(place.length > 0 for place in places),
        )

    def read(self, window: TileWindow, data: Sequence[Buffer], into: Pixels) -> None:
        """Write RGB pixels, white where nothing was scanned. Raises DecodeError."""
        shown = self._levels[window.level]
        tiles = iter(data)
        with shown.codec.decoding() as decode:
            canvas = _Canvas(shown, window.region, into, decode)
            for (column, row), scanned in zip(shown.tiles(window.region), window.scanned, strict=True):
                canvas.paint(column, row, next(tiles) if scanned else None)

    def encoded_tile(self, level: int, region: Rect) -> EncodedTile | None:
        """Return the stored tile of a region. None for parts of tiles: those at the edges, which hold padding, too.

        Raises as `window`.
        """
        shown = self._levels[level]
        tile, whole = shown.tile, shown.size
        column, row = region.x // tile.width, region.y // tile.height
        exact = Rect(column * tile.width, row * tile.height, tile.width, tile.height)
        inside = region.right <= whole.width and region.bottom <= whole.height
        if region != exact or not inside or shown.ratio > 1 or not isinstance(shown.codec, JpegCodec):
            return None
        (place,) = shown.places(region)
        return shown.codec.passed(region, place, self.info.icc) if place.length else None

    def properties(self) -> Mapping[str, str]:
        """Return what the slide says of itself, see HasProperties."""
        return self._properties

    def facts(self) -> Sequence[Fact]:
        """Return what the slide is, see Describes."""
        return [*description.facts(self._levels)]

    def window_facts(self, window: TileWindow) -> Sequence[Fact]:
        """Return how many tiles a window touches: each is decoded whole."""
        shown = self._levels[window.level]
        return [
            Fact("tiles decoded", len(window.ranges)),
            Fact("tiles not scanned", window.scanned.count(False)),
            Fact("tiles decoded at", f"1:{shown.ratio}"),
        ]

    def advice(self) -> Sequence[Advice]:
        """Return how the slide would better be stored."""
        return description.advice(self._levels)

    def close(self) -> None:
        """Do nothing: no resource is held between calls."""


@dataclass(frozen=True, slots=True)
class _Canvas:
    """The pixels of a window while its tiles are decoded."""

    shown: ShownLevel
    region: Rect
    into: Pixels
    decode: DecodeTile

    def paint(self, column: int, row: int, tile: Buffer | None) -> None:
        """Show a tile, as far as it lies in the region; None: nothing was scanned there. Raises DecodeError."""
        size, region = self.shown.tile, self.region
        left, top = column * size.width, row * size.height
        x, y = max(left, region.x), max(top, region.y)
        right, bottom = min(left + size.width, region.right), min(top + size.height, region.bottom)
        place = self.into[y - region.y : bottom - region.y, x - region.x : right - region.x]
        if tile is None:
            blank(place)
        elif place.shape[:2] == (size.height, size.width) and place.strides[1:] == (_CHANNELS, 1):
            self.decode(tile, place)
        else:
            whole = np.empty((size.height, size.width, _CHANNELS), np.uint8)
            self.decode(tile, whole)
            place[:] = whole[y - top : bottom - top, x - left : right - left]
