"""Which of the windows that wait for a processor are decoded together: neighbours that share work, within bounds."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from sidecar.plugin import Level, Rect, SupportsGathering

_WASTE: Final = 1.5
"""Pixels decoded for each pixel asked for, at most: what lies between neighbours is often asked for next."""


class HasRegion(Protocol):
    """A window that waits."""

    @property
    def region(self) -> Rect: ...


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much is decoded at once of a level."""

    level: Level
    channels: int
    pixels: int
    """At most."""
    regions: int = 1 << 30
    """At most."""

    def hold(self, regions: Sequence[Rect], hull: Rect) -> bool:
        """Report whether decoding a rectangle takes no more than what was granted for regions in it.

        While it is decoded that is what they have together. After that each of them may hold all of its pixels, as long
        as it lives: those must fit into what it has alone.
        """
        level = self.level
        each = level.pixel_bytes + level.coded_bytes + self.channels
        granted = [level.fixed_bytes + each * region.size.area for region in regions]
        together = level.fixed_bytes + each * hull.size.area
        return (
            hull.size.area <= self.pixels
            and together <= sum(granted)
            and hull.size.area * self.channels <= min(granted)
        )


@dataclass(frozen=True, slots=True)
class Neighbours:
    """Windows to decode together, and the rectangle that holds them."""

    regions: tuple[Rect, ...]
    hull: Rect

    def with_one(self, region: Rect) -> Neighbours:
        """Return these and one more."""
        return Neighbours((*self.regions, region), self.hull.hull(region))

    @property
    def spare(self) -> int:
        """Pixels of the hull that none of them asked for; of regions that overlap, less than that."""
        return max(0, self.hull.size.area - self.asked)

    @property
    def asked(self) -> int:
        """Pixels asked for; those that several ask for count once if they ask for the same region."""
        return sum(region.size.area for region in {*self.regions})


def gather(first: Rect, level: int, others: Iterable[Rect], reader: SupportsGathering, bounds: Bounds) -> Neighbours:
    """Return the first window and those of the others that are decoded with it, the nearest taken first."""
    found, left = Neighbours((first,), first), [*others]
    while left and len(found.regions) < bounds.regions:
        fitting = [
            (grown.spare, index, grown)
            for index, other in enumerate(left)
            if (grown := found.with_one(other)).hull.size.area <= bounds.pixels
            and reader.gathers(level, found.hull, other)
            and grown.hull.size.area <= _WASTE * grown.asked
            and bounds.hold(grown.regions, grown.hull)
        ]
        if not fitting:
            break
        _, index, found = min(fitting, key=lambda each: each[:2])
        del left[index]
    return found
