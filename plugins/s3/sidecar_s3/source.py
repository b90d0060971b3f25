"""From identifiers to objects in the buckets that are set."""

from __future__ import annotations

import re
from typing import Final

from sidecar.plugin import Blob, SourceError
from sidecar.plugin.remote import Place, Places, RemoteObjects, blob_at, is_plain
from sidecar_s3.settings import SCHEME, S3Settings

_LONGEST_KEY: Final = 1024
"""Bytes of UTF-8; "Naming Amazon S3 objects" in the S3 User Guide."""
_URL: Final = re.compile("[A-Za-z][A-Za-z0-9+.-]*://")
_PROBE: Final = "sidecar-ready"


class S3Source:
    """A Source of S3 objects."""

    name = "s3"

    def __init__(self, objects: RemoteObjects, settings: S3Settings, places: Places | None = None) -> None:
        self._objects = objects
        self._settings = settings
        self._places = places
        self.kept_bytes = objects.kept_bytes + (places.kept_bytes if places else 0)

    def close(self) -> None:
        """Cancel what is under way and close the connections."""
        if self._places:
            self._places.close()
        self._objects.close()

    @property
    def is_remote(self) -> bool:
        """True: asking for the storage goes over a network."""
        return True

    def check(self) -> None:
        """Ask for an object of each bucket that need not be there. Raises SourceError if one fails or refuses."""
        settings = self._settings
        for bucket in filter(None, dict.fromkeys((settings.bucket, *settings.buckets))):
            self._objects.check(f"{bucket}/{settings.path_prefix}{_PROBE}")
        if self._places:
            self._places.check(_PROBE)

    def find(self, identifier: str) -> Blob | None:
        """Return the object that an identifier leads to. Raises SourceError, SourceTimeout."""
        if not is_plain(identifier, _LONGEST_KEY):
            return None
        if self._places:
            return blob_at(self._places, identifier, self._looked_up)
        place = self._place(identifier)
        return self._object(*place, place[1]) if place else None

    def _place(self, identifier: str) -> tuple[str, str] | None:
        if identifier.startswith(SCHEME):
            bucket, key = _named(identifier)
            return (bucket, key) if bucket in self._settings.buckets else None
        if not self._settings.bucket:
            return None
        return self._settings.bucket, f"{self._settings.path_prefix}{identifier}{self._settings.path_suffix}"

    def _looked_up(self, place: Place) -> Blob | None:
        """Return the object at a bucket and a key, at `s3://bucket/key`, or at a key of the bucket that is set."""
        named = place[0].startswith(SCHEME)
        bucket, key = place if len(place) > 1 else _named(place[0]) if named else (self._settings.bucket, place[0])
        if len(place) == 1 and not named and _URL.match(place[0]):
            raise SourceError("s3: looked up a URL that is not s3://bucket/key")
        if not bucket or bucket not in (self._settings.bucket, *self._settings.buckets):
            raise SourceError(f"s3: looked up an object of the bucket {bucket!r}, which no setting names")
        return self._object(bucket, key.removeprefix("/"), key.rpartition("/")[2])

    def _object(self, bucket: str, key: str, name: str) -> Blob | None:
        if not 0 < len(key.encode()) <= _LONGEST_KEY:
            return None
        return self._objects.find(f"{bucket}/{key}", name)


def _named(place: str) -> tuple[str, str]:
    """Return bucket and key of `s3://bucket/key`."""
    bucket, _, key = place.removeprefix(SCHEME).partition("/")
    return bucket, key
