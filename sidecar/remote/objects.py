"""Finds remote objects: remembers for a short time what was found, and asks once for many that look for the same."""

from __future__ import annotations

import time
from functools import partial
from typing import Final

from cachetools import LRUCache

from sidecar.observability.counted import CountedCache
from sidecar.observability.metrics import FETCHED
from sidecar.plugin import RemoteSettings
from sidecar.remote.blob import ObjectVersion, RemoteBlob
from sidecar.remote.block_reader import BlockReader
from sidecar.remote.retry import RetryPolicy
from sidecar.remote.single_flight import Publish, SingleFlight
from sidecar.remote.transport import Transient, Transport, Version

_OBJECTS: Final = CountedCache(
    "objects", "remote objects that were found a moment ago (`SIDECAR_S3_FRESHNESS` and the like)"
)
_REMEMBERED: Final = 4096
"""Objects."""


class RemoteObjects:
    """The objects of one origin. `name` distinguishes origins in logs and in the etags of blobs."""

    def __init__(self, name: str, transport: Transport, settings: RemoteSettings) -> None:
        self._name = name
        self._transport = transport
        self._retry = RetryPolicy(
            name, concurrency=settings.concurrency, timeout=settings.timeout, attempts=settings.attempts
        )
        self._reader = BlockReader(transport, self._retry, settings)
        self._head = settings.block_bytes
        self._freshness = settings.freshness
        self.kept_bytes = settings.cache_bytes
        """The most bytes of objects that are kept between requests."""
        self._found: LRUCache[str, tuple[float, Version]] = LRUCache(_REMEMBERED)
        self._flights: SingleFlight[str, Version | None] = SingleFlight()

    def find(self, key: str, name: str) -> RemoteBlob | None:
        """Return the object of a key, named `name` for decoders; None if there is surely none.

        Raises SourceError, SourceTimeout.
        """
        asked, version = self._found.get(key, (float("-inf"), None))
        fresh = version is not None and time.monotonic() - asked < self._freshness
        _OBJECTS.looked_up(hits=fresh, misses=not fresh)
        if not fresh:
            version = self._ask(key, version)
        if version is None:
            return None
        return RemoteBlob(name, self._identity(key, version), self._reader, partial(self._forget, key))

    def known(self, key: str, name: str, version: Version) -> RemoteBlob:
        """Return the object of a key in a version that a listing states: the origin is not asked."""
        return RemoteBlob(name, self._identity(key, version), self._reader, partial(self._forget, key))

    def check(self, key: str) -> None:
        """Ask the origin once for an object that need not exist. Raises SourceError if that fails, or is refused."""
        try:
            self._transport.open(key, 1, None)
        except Transient as failure:
            raise failure.error from failure

    def close(self) -> None:
        """Cancel what is under way and close the connections."""
        self._flights.close()
        self._reader.close()
        self._transport.close()

    def _ask(self, key: str, known: Version | None) -> Version | None:
        under_way = self._flights.find(key) or self._flights.start([key], partial(self._open, key, known))[key]
        return under_way.get()

    def _open(self, key: str, known: Version | None, publish: Publish[str, Version | None]) -> None:
        opening = self._retry.run(lambda: self._transport.open(key, self._head, known))
        if opening is None:
            self._forget(key)
            publish(key, None)
        else:
            FETCHED.labels(self._name).inc(len(opening.head))
            self._reader.keep(self._identity(key, opening.version), opening.head)
            self._remember(key, opening.version)
            publish(key, opening.version)

    def _identity(self, key: str, version: Version) -> ObjectVersion:
        return ObjectVersion.of(self._name, key, version)

    def _remember(self, key: str, version: Version) -> None:
        self._found[key] = (time.monotonic(), version)

    def _forget(self, key: str) -> None:
        self._found.pop(key, None)
