"""How long decoding for a response takes: known before the work starts, so that what is too long is not begun."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sidecar.errors import TooLong
from sidecar.plugin import Level, Rect
from sidecar.render.tiling import Band


@dataclass(frozen=True, slots=True)
class TimeLimits:
    """The time of a request, in seconds."""

    first_byte: float = float("inf")
    total: float = float("inf")

    def check(self, level: Level, bands: Sequence[Band], cores: int) -> None:
        """Raise TooLong if decoding the first band, or all of them, takes longer even with all cores at work."""
        for pieces, limit in (
            (bands[0].pieces, min(self.first_byte, self.total)),
            ([piece for band in bands for piece in band.pieces], self.total),
        ):
            seconds = _seconds(level, pieces, cores)
            if seconds > limit:
                raise TooLong(seconds, limit)


def _seconds(level: Level, pieces: Iterable[Rect], cores: int) -> float:
    """Return how long some pieces take side by side: no less than the longest of them."""
    each = [level.fixed_seconds + level.pixel_seconds * piece.size.area for piece in pieces]
    return max(sum(each) / cores, *each)
