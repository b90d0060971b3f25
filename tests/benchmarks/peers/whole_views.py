"""The whole picture at some width: thumbnails, previews, large ones, and at full size."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Final

from tests.benchmarks.peers.peer import Server, asking
from tests.benchmarks.peers.picture import Picture
from tests.benchmarks.peers.workload import Played, all_at_once

FULL_SIZE: Final = "full/full/0/default.jpg"
SPREAD: Final = 0.95
"""Widths are drawn from here up: no response was ever made before."""


@dataclass(frozen=True, slots=True)
class WholeViews:
    """All of a picture, some responses at a time."""

    name: str
    title: str
    width: int
    """0 for the full size."""
    responses: int
    at_once: int
    share: float = 1.0

    def play(self, server: Server, picture: Picture, turn: int) -> Played:
        """Ask for widths that no other turn has, but by chance."""
        draw = random.Random(f"{self.name} {turn}")  # noqa: S311  # the same for all
        widths = [draw.randint(round(self.width * SPREAD), self.width) for _ in range(self.responses)]
        words = [f"full/{width},/0/default.jpg" if width else FULL_SIZE for width in widths]
        with asking(server, picture.name, self.at_once) as asker:
            return all_at_once(asker, words, self.at_once)


THUMBNAILS: Final = WholeViews("thumbnails", "thumbnails, 200 px, 4 at a time", 200, 12, 4)
PREVIEWS: Final = WholeViews("preview", "1024 px wide, 2 at a time", 1024, 4, 2)
LARGE: Final = WholeViews("large", "3000 px wide", 3000, 1, 1)
WHOLE: Final = WholeViews("whole", "full size", 0, 1, 1, share=0.34)
CROWD: Final = WholeViews("crowd", "24 of 3000 px wide, 12 at once", 3000, 24, 12, share=0.01)
