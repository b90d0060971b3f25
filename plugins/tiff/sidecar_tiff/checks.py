"""What lists of tiles must be like to be a slide's, looked at when it is opened, as far as they are at hand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from sidecar.plugin import Blob, Size, Unsupported
from sidecar_tiff.places import Lists, PagedTiles, Pages, Part

_MOST_PIXELS: Final = 1 << 24
"""Of a tile: it is decoded whole, however little of it is wanted. OpenSlide's plugin has the same limit."""
_MOST_PIXEL_BYTES, _MOST_BYTES = 4, 1 << 16
"""Of a compressed tile: for each pixel, and beside them."""
_LOOKED_THROUGH: Final = 1 << 20
"""Tiles of a level of a file on this machine whose lists are looked through: 12 MB, read in pieces."""
_LOOKED_AT_ONCE: Final = 1 << 15


@dataclass(frozen=True, slots=True)
class TileCheck:
    """Looks at the lists of tiles of a level. Raises Unsupported if they are not a slide's."""

    tile: Size
    count: int
    """Tiles that the level has."""
    blob: Blob
    complete: bool
    """OpenSlide shows a part of the level before instead of Aperio's missing tiles, and of tiles beside them."""

    def held(self, part: Part) -> None:
        """Look at lists that are held."""
        self._counts(len(part.places), len(part.lengths))
        self._part(part)

    def paged(self, lists: Lists, pages: Pages) -> PagedTiles:
        """Return lists that stay in the file.

        Those of a file on this machine are looked through, if they are not too long: it is then known as before what
        OpenSlide has to show, and how long tiles are. Of others each tile is looked at when it is wanted.
        """
        self._counts(*(each.entry.count for each in lists))
        if self.blob.path is None or self.count > _LOOKED_THROUGH:
            return PagedTiles(lists, pages, _longest(self.tile), self.complete)
        longest = missing = 0
        for part in pages.parts(lists, _LOOKED_AT_ONCE):
            self._part(part)
            longest = max(longest, int(part.lengths.max()))
            missing += int((part.lengths == 0).sum())
        return PagedTiles(lists, pages, longest, self.complete, missing)

    def _counts(self, places: int, lengths: int) -> None:
        count, tile = self.count, self.tile
        if places != count or lengths != count:
            raise Unsupported(f"{places} places and {lengths} lengths of {count} tiles")
        if tile.area > _MOST_PIXELS:
            raise Unsupported(f"tiles of {tile.width} x {tile.height} pixels")

    def _part(self, part: Part) -> None:
        tile, longest = self.tile, int(part.lengths.max())
        if longest > _longest(tile):
            raise Unsupported(f"tiles of {tile.width} x {tile.height} pixels in {longest} bytes")
        there = part.lengths > 0
        if self.complete and not there.all():
            raise Unsupported("an Aperio slide with missing tiles")
        if there.any() and int(part.places[there].astype(np.uint64).max()) + longest > self.blob.size:
            ends = part.places.astype(np.float64) + part.lengths
            if bool((ends[there] > self.blob.size).any()):
                raise Unsupported("tiles that lead out of the file")


def _longest(tile: Size) -> int:
    """Return how many bytes a compressed tile may have."""
    return _MOST_PIXEL_BYTES * tile.area + _MOST_BYTES
