"""Tiles that have nothing to do with each other: of any scale and place, or of one scale."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final

from sidecar.plugin import Size
from tests.benchmarks.peers.peer import Server, asking
from tests.benchmarks.peers.picture import Picture
from tests.benchmarks.peers.workload import Played, all_at_once

SIDE: Final = 512
SCALES: Final = (1, 2, 4, 8)


@dataclass(frozen=True, slots=True)
class SingleTiles:
    """Random tiles of a viewer's grid, some at a time."""

    name: str
    title: str
    scales: tuple[int, ...] = SCALES
    tiles: int = 24
    at_once: int = 4
    side: int = SIDE
    share: float = 1.0

    def play(self, server: Server, picture: Picture, turn: int) -> Played:
        """Ask for tiles, none of them twice in a turn; for fewer of them if the picture has no more."""
        draw = random.Random(f"{self.name} {turn}")  # noqa: S311  # the same for all
        words = [*islice(places(picture.size, self.scales, self.side, draw), self.tiles)]
        with asking(server, picture.name, self.at_once) as asker:
            return all_at_once(asker, words, self.at_once)


def places(size: Size, scales: Sequence[int], side: int, draw: random.Random) -> Iterator[str]:
    """Yield the whole tiles of a viewer's grid in any order, of one scale after the other, each of them once."""
    waiting = [shuffled(size, scale, side, draw) for scale in scales]
    while any(waiting):
        yield from (tiles.pop() for tiles in waiting if tiles)


def shuffled(size: Size, scale: int, side: int, draw: random.Random) -> list[str]:
    """Return all whole tiles of a scale in any order."""
    step = side * scale
    corners = [
        (left, top) for top in range(0, size.height - step + 1, step) for left in range(0, size.width - step + 1, step)
    ]
    draw.shuffle(corners)
    return [f"{left},{top},{step},{step}/{side},/0/default.jpg" for left, top in corners]


RANDOM: Final = SingleTiles("tiles", "random tiles, 4 at a time")
FULL: Final = SingleTiles("tiles-full", "random tiles at 1:1, 4 at a time", (1,))
HALF: Final = SingleTiles("tiles-half", "random tiles at 1:2, 4 at a time", (2,))
ALONE: Final = SingleTiles("one-tile", "one tile at a time", (1, 2, 4), tiles=12, at_once=1)
WARM: Final = SingleTiles("warm", "tiles that do not count", tiles=20)
STORED: Final = SingleTiles("stored", "stored tiles, one at a time", (1,), tiles=60, at_once=1, side=240)
"""Tiles of the file, as they lie in it."""
