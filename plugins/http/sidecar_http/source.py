"""From identifiers to files of the server that is set."""

from __future__ import annotations

from typing import Final
from urllib.parse import unquote, urlsplit

from sidecar.plugin import Blob
from sidecar.plugin.remote import Place, Places, RemoteObjects, blob_at, is_plain
from sidecar_http.allowed_hosts import AllowedHosts
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


class LookedUpFiles:
    """A Source of files whose URLs are looked up."""

    name = "http"

    def __init__(self, objects: RemoteObjects, places: Places, hosts: AllowedHosts) -> None:
        self._objects = objects
        self._places = places
        self._hosts = hosts
        self.kept_bytes = objects.kept_bytes + places.kept_bytes

    @property
    def is_remote(self) -> bool:
        """See SupportsCheck."""
        return True

    def check(self) -> None:
        """Ask who is asked where images are, for one that need not be there. Raises SourceError."""
        self._places.check(_PROBE)

    def find(self, identifier: str) -> Blob | None:
        """Return the file at the URL that an identifier leads to. Raises SourceError, SourceTimeout."""
        return blob_at(self._places, identifier, self._file) if is_plain(identifier, _LONGEST) else None

    def close(self) -> None:
        """Cancel what is under way and close the connections."""
        self._places.close()
        self._objects.close()

    def _file(self, place: Place) -> Blob | None:
        url = self._hosts.admit(place[0])
        return self._objects.find(url, unquote(urlsplit(url).path.rpartition("/")[2]))
