"""Where an image is, as rules, a service or a function say: what takes the place of lookups in a delegate script."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from time import monotonic
from typing import Final, Protocol, TypeAlias, TypeVar
from urllib.parse import quote

from cachetools import LRUCache

from sidecar.errors import SourceError
from sidecar.observability.counted import CountedCache
from sidecar.plugin.location_rules import LocationRule, fill
from sidecar.plugin.lookup import LookupSettings
from sidecar.remote.http_client import Client
from sidecar.remote.identifiers import is_plain
from sidecar.remote.lookup_function import load
from sidecar.remote.lookup_service import LookupService
from sidecar.remote.retry import RetryPolicy
from sidecar.remote.single_flight import Publish, SingleFlight

B = TypeVar("B")

Place: TypeAlias = tuple[str, ...]
"""A URL, or a key, or a bucket and a key: as the source reads it."""
Ask: TypeAlias = Callable[[str], Place | None]

_PLACES: Final = CountedCache(
    "places", "places that were looked up a moment ago (`SIDECAR_HTTP_LOOKUP_FRESHNESS` and the like)"
)
_ABSENT: Final = 5.0
"""Seconds for which it is kept that there is no image, and after which a place without an image is looked up again."""
_CAPACITY: Final = 4 * 2**20
"""Bytes of identifiers and places that are kept, about."""
_ENTRY: Final = 500
"""Bytes of an entry beside its texts, and of each of their characters at most four."""
_LONGEST: Final = 4096
"""Bytes of a place."""
URL: Final = re.compile("[A-Za-z][A-Za-z0-9+.-]*://")
"""How a place begins that names its host or its bucket."""


class Places(Protocol):
    """Where images are. Used in greenlets."""

    @property
    def kept_bytes(self) -> int:
        """The most bytes that are kept."""
        ...

    def find(self, identifier: str) -> Place | None:
        """Return the place of an image; None if there is none. Raises SourceError, SourceTimeout."""
        ...

    def renew(self, identifier: str) -> Place | None:
        """Return the place if it may be another than `find` has returned: there is no image any more where it was."""
        ...

    def check(self, identifier: str) -> None:
        """Ask once, if anybody is asked, for an image that need not exist. Raises SourceError."""
        ...

    def close(self) -> None:
        """Cancel what is under way."""
        ...


@dataclass(frozen=True, slots=True)
class RuledPlaces:
    """Places that follow from the identifier alone."""

    rules: tuple[LocationRule, ...]
    encode: Callable[[str, bool], str]
    kept_bytes: int = 0

    def find(self, identifier: str) -> Place | None:
        """Return the place that the first matching rule makes.

        None if parts make `.` or `..` between slashes, or a key to the URL of another bucket.
        """
        for rule in self.rules:
            parts = rule.match(identifier)
            if parts is not None:
                place = fill(rule.template, parts, _as_it_is)
                safe = is_plain(place, _LONGEST) and bool(URL.match(place)) == bool(URL.match(rule.template))
                return (fill(rule.template, parts, self.encode),) if safe else None
        return None

    def renew(self, identifier: str) -> Place | None:
        """Return None: it would be the same."""
        del identifier
        return None

    def check(self, identifier: str) -> None:
        """Nobody is asked."""

    def close(self) -> None:
        """Nothing is under way."""


@dataclass(frozen=True, slots=True)
class _Kept:
    place: Place | None
    size: int
    asked: float

    @property
    def age(self) -> float:
        return monotonic() - self.asked


class AskedPlaces:
    """Places that somebody is asked for: once for all who wait, and kept for a time."""

    kept_bytes = _CAPACITY

    def __init__(self, name: str, ask: Ask, settings: LookupSettings) -> None:
        self._ask = ask
        self._check = RetryPolicy(name, concurrency=1, timeout=settings.timeout, attempts=1)
        self._retry = RetryPolicy(
            name, concurrency=settings.concurrency, timeout=settings.timeout, attempts=settings.attempts
        )
        self._freshness = settings.lookup_freshness
        self._kept: LRUCache[str, _Kept] = LRUCache(_CAPACITY, getsizeof=lambda kept: kept.size)
        self._flights: SingleFlight[str, Place | None] = SingleFlight()

    def find(self, identifier: str) -> Place | None:
        """Return the kept place, or ask for it. Raises SourceError, SourceTimeout."""
        kept = self._kept.get(identifier)
        fresh = kept is not None and kept.age < (self._freshness if kept.place else min(_ABSENT, self._freshness))
        _PLACES.looked_up(hits=fresh, misses=not fresh)
        return kept.place if kept is not None and fresh else self._wait(identifier)

    def renew(self, identifier: str) -> Place | None:
        """Ask again, unless that was done a moment ago, and return the place if it is another."""
        kept = self._kept.get(identifier)
        if kept is None or kept.age < _ABSENT:
            return None
        place = self._wait(identifier)
        return None if place == kept.place else place

    def check(self, identifier: str) -> None:
        """Ask once; whatever the answer is. Raises SourceError."""
        self._check.run(lambda: self._ask(identifier))

    def close(self) -> None:
        """Cancel what is under way."""
        self._flights.close()

    def _wait(self, identifier: str) -> Place | None:
        under_way = self._flights.find(identifier)
        if under_way is None:
            under_way = self._flights.start([identifier], partial(self._look_up, identifier))[identifier]
        return under_way.get()

    def _look_up(self, identifier: str, publish: Publish[str, Place | None]) -> None:
        place = self._retry.run(lambda: self._ask(identifier))
        if place is not None and not all(is_plain(text, _LONGEST) for text in place):
            raise SourceError(f"{self._retry.name}: the place of {identifier!r} is too long, or no plain text")
        texts = (identifier, *(place or ()))
        self._kept[identifier] = _Kept(place, _ENTRY + sum(4 * len(text) for text in texts), monotonic())
        publish(identifier, place)


def places_of(name: str, settings: LookupSettings, client: Client) -> Places | None:
    """Return what looks images up, None if nothing is set. Parts are percent-encoded in rules that make URLs.

    Raises StartError if the function that is set is not installed.
    """
    if settings.lookup:
        return RuledPlaces(tuple(LocationRule.parse(rule) for rule in settings.lookup), _in_url_if_any(settings))
    if settings.lookup_url:
        return AskedPlaces(f"{name}-lookup", LookupService(name, client, settings).ask, settings)
    if settings.lookup_function:
        return AskedPlaces(f"{name}-lookup", load(settings), settings)
    return None


def blob_at(places: Places, identifier: str, find: Callable[[Place], B | None]) -> B | None:
    """Return what lies at the place of an identifier; if nothing does any more, at the place where it is by now."""
    place = places.find(identifier)
    if place is None:
        return None
    blob = find(place)
    if blob is None and (moved := places.renew(identifier)) is not None:
        return find(moved)
    return blob


def _in_url_if_any(settings: LookupSettings) -> Callable[[str, bool], str]:
    return _in_url if settings.place_is_url else _as_it_is


def _as_it_is(part: str, _slashes: bool) -> str:  # noqa: FBT001  # the encoder of a template's part
    return part


def _in_url(part: str, _slashes: bool) -> str:  # noqa: FBT001  # the encoder of a template's part
    return quote(part, safe="/")
