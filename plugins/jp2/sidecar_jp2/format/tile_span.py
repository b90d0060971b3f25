"""A run of neighbouring tile columns or tile rows: the tiles that a window touches in one direction."""

from __future__ import annotations

from dataclasses import dataclass

from sidecar_jp2.format.rounding import ceil_div
from sidecar_jp2.format.siz import Geometry


@dataclass(frozen=True, slots=True)
class TileSpan:
    """The tile columns (or rows) `begin` to `end`, and where they lie on the reference grid in that direction."""

    begin: int
    end: int
    image: tuple[int, int]
    """The part of the image area in them."""
    origin: int
    """Where the first tile begins, even outside the image area."""
    size: int
    """The width (or height) of a tile."""

    @classmethod
    def of(cls, geometry: Geometry, axis: int, level: int, start: int, stop: int) -> TileSpan:
        """Return the tiles that hold the samples `start` to `stop` of a level; axis 0 is across, 1 is down."""
        low, high = ((geometry.x0, geometry.x1), (geometry.y0, geometry.y1))[axis]
        origin, size = ((geometry.tile_x, geometry.tile_width), (geometry.tile_y, geometry.tile_height))[axis]
        # Sample u of a level stands at u * 2^level on the reference grid (T.800 B.5).
        begin, end = ((start << level) - origin) // size, (((stop - 1) << level) - origin) // size + 1
        first = origin + begin * size
        return cls(begin, end, (max(low, first), min(high, origin + end * size)), first, size)

    @property
    def extents(self) -> list[tuple[int, int]]:
        """The part of the image area in each of the tiles."""
        starts = [self.origin + k * self.size for k in range(self.end - self.begin)]
        return [(max(self.image[0], start), min(self.image[1], start + self.size)) for start in starts]

    def reduced(self, level: int) -> TileSpan | None:
        """Return the same tiles after `level` halvings, or None if no tile size cuts the smaller image likewise."""
        scale = 1 << level
        low, high = (ceil_div(edge, scale) for edge in self.image)
        if self.end - self.begin == 1:
            return TileSpan(self.begin, self.end, (low, high), low, high - low)
        origin, size = ceil_div(self.origin, scale), ceil_div(self.size, scale)
        exact = self.size % scale == 0
        cuts = range(1, self.end - self.begin)
        if not exact and any(ceil_div(self.origin + k * self.size, scale) != origin + k * size for k in cuts):
            return None
        return TileSpan(self.begin, self.end, (low, high), origin, size)
