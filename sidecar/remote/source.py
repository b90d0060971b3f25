"""Finds far objects: remembers for a short time what was found, and asks once for many that look for the same."""

from __future__ import annotations

import time
from collections import OrderedDict
from functools import partial
from typing import Final

from sidecar.remote.blob import Identity, RemoteBlob
from sidecar.remote.flights import Flights, Land
from sidecar.remote.origin import Origin
from sidecar.remote.reader import BlockReader
from sidecar.remote.settings import RemoteSettings
from sidecar.remote.transport import Transport, Version

_REMEMBERED: Final = 4096
"""Objects."""


class RemoteObjects:
    """The objects of one origin. `name` tells origins apart in logs and blobs' etags."""

    def __init__(self, name: str, transport: Transport, settings: RemoteSettings) -> None:
        self._name = name
        self._transport = transport
        self._origin = Origin(
            name, concurrency=settings.concurrency, timeout=settings.timeout, attempts=settings.attempts
        )
        self._reader = BlockReader(transport, self._origin, settings)
        self._head = settings.block
        self._freshness = settings.freshness
        self._found: OrderedDict[str, tuple[float, Version]] = OrderedDict()
        self._flights: Flights[str, Version | None] = Flights()

    def find(self, key: str, name: str) -> RemoteBlob | None:
        """The object of a key, named `name` for decoders; None: surely not there.

        Raises SourceError, SourceTimeout.
        """
        asked, version = self._found.get(key, (float("-inf"), None))
        if version is None or time.monotonic() - asked >= self._freshness:
            version = self._ask(key, version)
        if version is None:
            return None
        return RemoteBlob(name, self._identity(key, version), self._reader, partial(self._forget, key))

    def close(self) -> None:
        """Break off what is under way and close the connections."""
        self._flights.close()
        self._reader.close()
        self._transport.close()

    def _ask(self, key: str, known: Version | None) -> Version | None:
        under_way = self._flights.find(key) or self._flights.launch([key], partial(self._open, key, known))[key]
        return under_way.get()

    def _open(self, key: str, known: Version | None, land: Land[str, Version | None]) -> None:
        opening = self._origin.ask(lambda: self._transport.open(key, self._head, known))
        if opening is None:
            self._forget(key)
            land(key, None)
        else:
            self._reader.keep(self._identity(key, opening.version), opening.head)
            self._remember(key, opening.version)
            land(key, opening.version)

    def _identity(self, key: str, version: Version) -> Identity:
        return Identity.of(self._name, key, version)

    def _remember(self, key: str, version: Version) -> None:
        self._found[key] = (time.monotonic(), version)
        self._found.move_to_end(key)
        if len(self._found) > _REMEMBERED:
            self._found.popitem(last=False)

    def _forget(self, key: str) -> None:
        self._found.pop(key, None)
