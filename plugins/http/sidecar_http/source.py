"""From identifiers to files of the server that is set."""

from __future__ import annotations

from typing import Final

from sidecar.plugin import Blob
from sidecar.plugin.remote import RemoteObjects, is_plain
from sidecar_http.settings import HttpSettings

_PROBE: Final = "sidecar-ready"
_LONGEST: Final = 2048
"""Bytes; encoded they may be three times as many, and servers take request lines of 8000 (RFC 9112 §3)."""


class HttpSource:
    """A Source of a server's files."""

    name = "http"

    def __init__(self, objects: RemoteObjects, settings: HttpSettings) -> None:
        self._objects = objects
        self._suffix = settings.url_suffix.partition("?")[0]
        self.close = objects.close
        self.kept_bytes = objects.kept_bytes

    @property
    def is_remote(self) -> bool:
        """True: asking for the storage goes over a network."""
        return True

    def check(self) -> None:
        """Ask the server for a file that need not be there. Raises SourceError if it fails or refuses."""
        self._objects.check(_PROBE)

    def find(self, identifier: str) -> Blob | None:
        """Return the file that an identifier leads to. Raises SourceError, SourceTimeout."""
        if not is_plain(identifier, _LONGEST):
            return None
        return self._objects.find(identifier, identifier + self._suffix)
