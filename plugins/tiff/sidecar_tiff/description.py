"""What a slide is, for people: its levels, how its tiles are stored, and how it would better be stored."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Final

from sidecar.plugin import Advice, Fact
from sidecar_tiff.levels import ShownLevel
from sidecar_tiff.slide import StoredLevel

FARTHEST: Final = 16.0
"""From a stored level to the next: what lies between is decoded at up to 1:8, of ever more tiles."""
LARGEST_TILE: Final = 1024
"""The side of tiles that are not wasteful: they are decoded whole."""
THUMBNAIL: Final = 2048
"""The longer side of the smallest stored level, about."""
COMMAND: Final = (
    "vips tiffsave IN OUT.tif --tile --tile-width 512 --tile-height 512 --pyramid --compression jpeg --Q 85 --bigtiff"
)


def facts(levels: Sequence[ShownLevel]) -> Iterator[Fact]:
    """Yield what the slide is: its stored levels, and what is made of them."""
    stored = _stored(levels)
    yield Fact("tiles", ", ".join(dict.fromkeys(each.coding.value for each in stored)))
    yield Fact("tiles passed on as they are", any(each.coding.jpeg for each in stored))
    for index, shown in enumerate(levels):
        size, tile, level = shown.size, shown.tile, shown.level
        made = f", decoded at 1:{shown.ratio} of the stored one before" if shown.ratio > 1 else ""
        yield Fact(
            f"level {index}",
            f"{size.width} x {size.height}, 1:{level.downsample:.6g}, tiles of {tile.width} x {tile.height}{made}",
        )
    counted = [missing for each in stored if (missing := each.tiles.missing) is not None]
    longest = max(each.longest for each in stored)
    if len(counted) == len(stored):
        yield Fact("tiles that were not scanned", sum(counted))
        yield Fact("longest tile in bytes", longest)
    else:
        yield Fact("tiles that were not scanned", "not counted: their list stays in the file")
        yield Fact("longest tile in bytes", f"at most {longest}")


def advice(levels: Sequence[ShownLevel]) -> Sequence[Advice]:
    """Return how the slide would better be stored; nothing if it is well made."""
    reasons = [*_reasons(_stored(levels))]
    return [Advice("; ".join(reasons), "store it as a pyramid of tiles", (COMMAND,))] if reasons else []


def _reasons(stored: Sequence[StoredLevel]) -> Iterator[str]:
    if not all(each.coding.jpeg for each in stored):
        yield "tiles are JPEG 2000, which takes several times as long to decode as JPEG"
    steps = [coarse.downsample / fine.downsample for fine, coarse in pairwise(stored)]
    if max(steps, default=1) > FARTHEST:
        yield f"two levels are {max(steps):.3g} times apart, and what lies between is made of the larger one"
    smallest = stored[-1].size
    if max(smallest.width, smallest.height) > THUMBNAIL:
        yield f"the smallest level is {smallest.width} x {smallest.height}, and every overview is made of it"
    largest = max((each.tile for each in stored), key=lambda tile: tile.area)
    if max(largest.width, largest.height) > LARGEST_TILE:
        yield f"tiles have {largest.width} x {largest.height} pixels, and are decoded whole"


def _stored(levels: Sequence[ShownLevel]) -> Sequence[StoredLevel]:
    return [each.stored for each in levels if each.ratio == 1]
