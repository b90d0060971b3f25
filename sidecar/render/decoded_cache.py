"""Decoded pixels, kept for a moment within a bound in bytes.

A browser asks for the tiles of a viewport over a few connections, so some ask for what was decoded for others.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any, Final, NamedTuple, TypeAlias

import gevent

from sidecar.plugin import Pixels, Rect, Tolerance

Key: TypeAlias = tuple[str, int, Tolerance]
"""An image by its etag, a level, and what hides errors of the pixels."""
_SECONDS: Final = 5.0
"""For so long: the tiles of one step of a viewer come sooner."""


class Kept(NamedTuple):
    """Pixels, and the trace of what they were decoded for."""

    pixels: Pixels
    anchor: object = None
    """See `sidecar.observability.tracing.anchor`."""


class _Place(NamedTuple):
    key: Key
    region: Rect


class DecodedCache:
    """The pixels that a worker keeps, the least recently used dropped first. Belongs to one event loop."""

    def __init__(self, limit: int, seconds: float = _SECONDS) -> None:
        """`limit`: bytes; `seconds`: how long pixels that nobody uses are kept."""
        self.nbytes = 0
        self._limit, self._seconds = limit, seconds
        self._kept: OrderedDict[_Place, Kept] = OrderedDict()
        self._timers: dict[_Place, gevent.Greenlet[..., Any]] = {}

    def find(self, key: Key, region: Rect) -> Kept | None:
        """Return a view of a region's pixels, or None."""
        for place in reversed(self._kept):
            if place.key == key and place.region.holds(region):
                self._kept.move_to_end(place)
                kept = self._kept[place]
                return kept._replace(pixels=cut(kept.pixels, place.region, region))
        return None

    def put(self, key: Key, region: Rect, pixels: Pixels, anchor: object = None) -> None:
        """Keep the pixels of a region, which nobody may change any more; `anchor` as in Kept."""
        if pixels.nbytes > self._limit:
            return
        place = _Place(key, region)
        self._drop(place)
        self._kept[place] = Kept(pixels, anchor)
        self.nbytes += pixels.nbytes
        self._timers[place] = gevent.spawn_later(self._seconds, self._expire, place)
        while self.nbytes > self._limit:
            self._drop(next(iter(self._kept)))

    def clear(self) -> None:
        """Drop everything."""
        for place in [*self._kept]:
            self._drop(place)

    def _expire(self, place: _Place) -> None:
        self._timers.pop(place, None)
        self._drop(place)

    def _drop(self, place: _Place) -> None:
        kept = self._kept.pop(place, None)
        if kept is not None:
            self.nbytes -= kept.pixels.nbytes
        timer = self._timers.pop(place, None)
        if timer is not None:
            timer.kill(block=False)


def cut(pixels: Pixels, place: Rect, region: Rect) -> Pixels:
    """Return the view of a region in the pixels of a rectangle that holds it."""
    x, y = region.x - place.x, region.y - place.y
    return pixels[y : y + region.height, x : x + region.width]
