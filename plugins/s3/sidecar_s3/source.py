"""From identifiers to objects in the buckets that are set."""

from __future__ import annotations

from typing import Final

from sidecar.plugin import Blob
from sidecar.plugin.remote import RemoteObjects, is_plain
from sidecar_s3.settings import S3Settings

_LONGEST_KEY: Final = 1024
"""Bytes of UTF-8; "Naming Amazon S3 objects" in the S3 User Guide."""
_PROBE: Final = "sidecar-ready"
_SCHEME: Final = "s3://"


class S3Source:
    """A Source of S3 objects."""

    name = "s3"

    def __init__(self, objects: RemoteObjects, settings: S3Settings) -> None:
        self._objects = objects
        self._settings = settings
        self.close = objects.close
        self.kept_bytes = objects.kept_bytes

    @property
    def is_remote(self) -> bool:
        """True: asking for the storage goes over a network."""
        return True

    def check(self) -> None:
        """Ask for an object of each bucket that need not be there. Raises SourceError if one fails or refuses."""
        settings = self._settings
        for bucket in filter(None, dict.fromkeys((settings.bucket, *settings.buckets))):
            self._objects.check(f"{bucket}/{settings.path_prefix}{_PROBE}")

    def find(self, identifier: str) -> Blob | None:
        """Return the object that an identifier leads to. Raises SourceError, SourceTimeout."""
        place = self._place(identifier) if is_plain(identifier, _LONGEST_KEY) else None
        if place is None:
            return None
        bucket, key = place
        return self._objects.find(f"{bucket}/{key}", key) if len(key.encode()) <= _LONGEST_KEY else None

    def _place(self, identifier: str) -> tuple[str, str] | None:
        if identifier.startswith(_SCHEME):
            bucket, _, key = identifier.removeprefix(_SCHEME).partition("/")
            return (bucket, key) if key and bucket in self._settings.buckets else None
        if not self._settings.bucket:
            return None
        return self._settings.bucket, f"{self._settings.path_prefix}{identifier}{self._settings.path_suffix}"
