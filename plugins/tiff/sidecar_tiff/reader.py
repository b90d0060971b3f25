"""From a window of a slide to its pixels: only the tiles that it touches are fetched and decoded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
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


class TiffReader:
    """An ImageReader. It holds places of tiles and no state of a decode, so any number of threads may read at once."""

    thread_safe: Literal[True] = True

    def __init__(self, levels: Sequence[ShownLevel], slide: Slide) -> None:
        self._levels = levels
        self._properties = slide.properties
        stored = levels[0].stored
        self.info = ImageInfo(
            size=stored.size,
            channels=_CHANNELS,
            levels=tuple(each.level for each in levels),
            tile=stored.tile,
            icc=None if slide.icc is None else shared_profile(slide.icc),
            pixel_micrometres=slide.pixel_micrometres,
        )
        lists = sum(
            each.stored.places.nbytes + each.stored.lengths.nbytes + len(each.stored.tables) + 4096
            for each in levels
            if each.ratio == 1
        )
        texts = (text for pair in self._properties.items() for text in pair)
        self.held_bytes = lists + getsizeof(self._properties) + sum(map(getsizeof, texts))
        """The bytes of the lists of tiles and of the properties, see HoldsBytes."""

    def window(self, level: int, region: Rect) -> Window:
        """Return the places of the tiles that a region touches, those left out that were not scanned."""
        shown = self._levels[level]
        places = (shown.stored.place(column, row) for column, row in shown.tiles(region))
        return Window(level=level, region=region, ranges=tuple(place for place in places if place.length))

    def read(self, window: Window, data: Sequence[Buffer], into: Pixels) -> None:
        """Write RGB pixels, white where nothing was scanned. Raises DecodeError."""
        shown = self._levels[window.level]
        tiles = iter(data)
        with shown.codec.decoding() as decode:
            canvas = _Canvas(shown, window.region, into, decode)
            for column, row in shown.tiles(window.region):
                missing = not shown.stored.place(column, row).length
                canvas.paint(column, row, None if missing else next(tiles))

    def encoded_tile(self, level: int, region: Rect) -> EncodedTile | None:
        """Return the stored tile of a region. None for parts of tiles: those at the edges, which hold padding, too."""
        shown = self._levels[level]
        tile, whole = shown.tile, shown.size
        column, row = region.x // tile.width, region.y // tile.height
        exact = Rect(column * tile.width, row * tile.height, tile.width, tile.height)
        inside = region.right <= whole.width and region.bottom <= whole.height
        if region != exact or not inside or shown.ratio > 1 or not isinstance(shown.codec, JpegCodec):
            return None
        place = shown.stored.place(column, row)
        return shown.codec.passed(region, place, self.info.icc) if place.length else None

    def properties(self) -> Mapping[str, str]:
        """Return what the slide says of itself, see HasProperties."""
        return self._properties

    def facts(self) -> Sequence[Fact]:
        """Return what the slide is, see Describes."""
        return [*description.facts(self._levels)]

    def window_facts(self, window: Window) -> Sequence[Fact]:
        """Return how many tiles a window touches: each is decoded whole."""
        shown = self._levels[window.level]
        return [
            Fact("tiles decoded", len(window.ranges)),
            Fact("tiles not scanned", sum(1 for _ in shown.tiles(window.region)) - len(window.ranges)),
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
