"""The SIZ segment: the image, its tiles and its components on the reference grid (ITU-T T.800 A.5.1)."""
# ruff: noqa: PLR2004  # limits and lengths are those of the standard's tables, named beside them

from __future__ import annotations

import struct
from dataclasses import dataclass

from sidecar.plugin import Rect, Unsupported
from sidecar_jp2.format.broken import Broken
from sidecar_jp2.format.rounding import ceil_div

MOST_COMPONENTS = 1024
"""More are left to others: decoders and our own tables have parameters for each component of each tile, and no image
of that many is shown as colours."""


@dataclass(frozen=True, slots=True)
class Component:
    """Ssiz, XRsiz and YRsiz: one sample for dx x dy points of the reference grid."""

    precision: int
    signed: bool
    dx: int
    dy: int


@dataclass(frozen=True, slots=True)
class Geometry:
    """Image area and tiles on the reference grid; x1 and y1 are exclusive."""

    x0: int
    y0: int
    x1: int
    y1: int
    tile_x: int
    tile_y: int
    """XTOsiz, YTOsiz."""
    tile_width: int
    tile_height: int
    components: tuple[Component, ...]

    @property
    def columns(self) -> int:
        """The number of tiles across."""
        return ceil_div(self.x1 - self.tile_x, self.tile_width)

    @property
    def rows(self) -> int:
        """The number of tiles down."""
        return ceil_div(self.y1 - self.tile_y, self.tile_height)

    def level(self, level: int) -> Rect:
        """The image area halved `level` times (T.800 B.5, applied to the reference grid)."""
        x0, y0, x1, y1 = (ceil_div(edge, 1 << level) for edge in (self.x0, self.y0, self.x1, self.y1))
        return Rect(x0, y0, x1 - x0, y1 - y0)

    def tile(self, index: int) -> Rect:
        """The part of the image area in a tile, on the reference grid (T.800 B.3)."""
        row, column = divmod(index, self.columns)
        left, top = self.tile_x + column * self.tile_width, self.tile_y + row * self.tile_height
        x0, y0 = max(left, self.x0), max(top, self.y0)
        return Rect(x0, y0, min(left + self.tile_width, self.x1) - x0, min(top + self.tile_height, self.y1) - y0)


def parse_siz(data: bytes) -> Geometry:
    """Parse the contents of a SIZ segment.

    Raises Broken if they break T.800 A.5.1 or B.3, and Unsupported if there are too many components.
    """
    if len(data) < 36 or len(data) != 36 + 3 * int.from_bytes(data[34:36]):
        raise Broken("SIZ: its length does not match its number of components")
    x1, y1, x0, y0, tile_width, tile_height, tile_x, tile_y, count = struct.unpack_from(">8IH", data, 2)
    if not (x0 < x1 and y0 < y1 and 1 <= count <= 16384):
        raise Broken(f"SIZ: image area {x0},{y0} to {x1},{y1} with {count} components")
    if count > MOST_COMPONENTS:
        raise Unsupported(f"SIZ: {count} components")
    # T.800 B.3: the first tile holds the first point of the image.
    if not (tile_x <= x0 < tile_x + tile_width and tile_y <= y0 < tile_y + tile_height):
        raise Broken(f"SIZ: tiles of {tile_width}x{tile_height} from {tile_x},{tile_y}")
    components = tuple(
        Component((depth & 0x7F) + 1, bool(depth & 0x80), dx, dy)
        for depth, dx, dy in struct.iter_unpack(">BBB", data[36:])
    )
    geometry = Geometry(x0, y0, x1, y1, tile_x, tile_y, tile_width, tile_height, components)
    if geometry.columns * geometry.rows > 65535:
        raise Broken(f"SIZ: {geometry.columns}x{geometry.rows} tiles")
    for index, component in enumerate(components):
        _check_component(geometry, index, component)
    return geometry


def _check_component(geometry: Geometry, index: int, component: Component) -> None:
    dx, dy = component.dx, component.dy
    if component.precision > 38 or not dx or not dy:
        raise Broken(f"SIZ: component {index} with {component.precision} bits, one sample for {dx}x{dy}")
    if ceil_div(geometry.x1, dx) == ceil_div(geometry.x0, dx) or ceil_div(geometry.y1, dy) == ceil_div(geometry.y0, dy):
        raise Broken(f"SIZ: component {index} has no samples")
