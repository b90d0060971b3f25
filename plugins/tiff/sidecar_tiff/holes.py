"""Aperio slides of any size that are mostly holes, for tests: directories are whole, of their tiles few are there.

Needs what `sidecar_tiff.testing` needs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np

from sidecar.plugin import Size
from sidecar_tiff import samples, tags
from sidecar_tiff.testing import Making, Picture, Writer, encoded

UNTILED: Final = Size(0, 0)
"""Stands for a picture in one strip, as a thumbnail or a label."""
_SMALL: Final = 3000
"""Tiles of a level all of which are there."""
_FIRST: Final = 16
"""Where the header of a BigTIFF ends."""


@dataclass(frozen=True, slots=True)
class Holes:
    """A file: its length, and what is in it, by place."""

    size: int
    pieces: Sequence[tuple[int, bytes]] = field(repr=False)

    def write(self, path: Path) -> None:
        """Write it as a sparse file, which takes on the disk what is in it."""
        with path.open("wb") as file:
            for place, data in self.pieces:
                file.seek(place)
                file.write(data)
            file.truncate(self.size)


def slide(sizes: Sequence[Size], *, side: int = 240, tile_bytes: int = 20_000) -> Holes:
    """Return a BigTIFF as Aperio writes it, each directory behind its tiles, which begin `tile_bytes` apart.

    All tiles are alike. Those of small levels are there, of large ones the first, the middle and the last.
    """
    tile = encoded(samples.picture(Size(side, side)), Making())
    writer = Writer(big=True)
    pieces, link, at = [(0, writer.file(()))], _FIRST // 2, _FIRST
    for size in sizes:
        count = -(-size.width // side) * -(-size.height // side) or 1
        places = at + tile_bytes * np.arange(count, dtype=np.uint64)
        lengths = np.full(count, len(tile), np.uint32)
        pieces += [(int(places[index]), tile) for index in _there(count)]
        start = at + max(count * tile_bytes, len(tile))
        data = writer.placed(_picture(size, side), start, places, lengths)
        pieces += [(link, start.to_bytes(8, "little")), (start, data)]
        link = start + writer.link(data)
        at = start + len(data)
    return Holes(at, pieces)


def _there(count: int) -> Iterator[int]:
    yield from range(count) if count <= _SMALL else (0, count // 2, count - 1)


def _picture(size: Size, side: int) -> Picture:
    tiled = size != UNTILED
    fields: dict[int, tuple[int, object]] = {
        tags.WIDTH: (4, size.width or 1000),
        tags.LENGTH: (4, size.height or 800),
        tags.BITS_PER_SAMPLE: (3, [8, 8, 8]),
        tags.COMPRESSION: (3, tags.JPEG if tiled else tags.PLAIN),
        tags.PHOTOMETRIC: (3, tags.YCBCR),
        tags.SAMPLES_PER_PIXEL: (3, 3),
        tags.DESCRIPTION: (2, b"Aperio Image Library|MPP = 0.25\0"),
        530: (3, [2, 2]),
    }
    if not tiled:
        return Picture(fields, (), (tags.STRIP_OFFSETS, tags.STRIP_BYTES))
    return Picture({**fields, tags.TILE_WIDTH: (4, side), tags.TILE_LENGTH: (4, side)}, ())
