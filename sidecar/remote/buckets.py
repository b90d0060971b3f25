"""From identifiers to objects in the buckets that are set: the source of every object store."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, Protocol, Self

from sidecar.errors import SourceError
from sidecar.plugin.buckets import BucketSettings
from sidecar.plugin.source import Blob
from sidecar.remote.http_client import Client
from sidecar.remote.http_ranges import HttpOrigin, RangedTransport
from sidecar.remote.identifiers import is_plain
from sidecar.remote.lookup import URL, Place, Places, blob_at, places_of
from sidecar.remote.objects import RemoteObjects
from sidecar.remote.transport import Version

_LONGEST: Final = 4096
"""Bytes of an identifier, which may be longer than a key by the name of a bucket."""
_PROBE: Final = "sidecar-ready"


class Listing(Protocol):
    """Lists the objects of a store."""

    def below(self, bucket: str, prefix: str) -> Iterator[tuple[str, Version]]:
        """Yield key and version of the objects whose keys begin with a prefix. Raises SourceError."""
        ...


class BucketSource:
    """A Source of objects in buckets. The keys of its `RemoteObjects` are `bucket/key`."""

    def __init__(
        self,
        name: str,
        objects: RemoteObjects,
        settings: BucketSettings,
        places: Places | None = None,
        listing: Listing | None = None,
    ) -> None:
        self.name = name
        self._objects = objects
        self._settings = settings
        self._places = places
        self._listing = listing
        self.kept_bytes = objects.kept_bytes + (places.kept_bytes if places else 0)

    @classmethod
    def over(
        cls,
        name: str,
        origin: HttpOrigin,
        client: Client,
        settings: BucketSettings,
        listing: Listing | None = None,
    ) -> Self:
        """Return the source of a store that speaks HTTP; `client` asks the service of a lookup, if one is set.

        Raises StartError if the function of a lookup is not installed.
        """
        objects = RemoteObjects(name, RangedTransport(name, origin), settings)
        return cls(name, objects, settings, places_of(name, settings, client), listing)

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
        for bucket in self._settings.known_buckets:
            self._objects.check(f"{bucket}/{self._settings.path_prefix}{_PROBE}")
        if self._places:
            self._places.check(_PROBE)

    def find(self, identifier: str) -> Blob | None:
        """Return the object that an identifier leads to. Raises SourceError, SourceTimeout."""
        if not is_plain(identifier, _LONGEST):
            return None
        if self._places:
            return blob_at(self._places, identifier, self._looked_up)
        place = self._place(identifier)
        return self._object(*place, place[1]) if place else None

    def below(self, place: str) -> Iterator[Blob] | None:
        """Yield the objects below `s3://bucket/prefix` as `find` would; see VisitsImages. Raises SourceError."""
        if self._listing is None or not place.startswith(self._settings.scheme):
            return None
        bucket, prefix = self._named(place)
        if bucket not in self._settings.known_buckets:
            return None
        listed = self._listing.below(bucket, prefix)
        return (self._objects.known(f"{bucket}/{key}", key, version) for key, version in listed)

    def _place(self, identifier: str) -> tuple[str, str] | None:
        settings = self._settings
        if identifier.startswith(settings.scheme):
            bucket, key = self._named(identifier)
            return (bucket, key) if bucket in settings.named_buckets else None
        if not settings.own_bucket:
            return None
        return settings.own_bucket, f"{settings.path_prefix}{identifier}{settings.path_suffix}"

    def _looked_up(self, place: Place) -> Blob | None:
        """Return the object at a bucket and a key, at both in one text, or at a key of the bucket that is set."""
        own, scheme = self._settings.own_bucket, self._settings.scheme
        named = place[0].startswith(scheme)
        bucket, key = place if len(place) > 1 else self._named(place[0]) if named else (own, place[0])
        if len(place) == 1 and not named and URL.match(place[0]):
            raise SourceError(f"{self.name}: looked up a URL that does not begin with {scheme}")
        if bucket not in self._settings.known_buckets:
            raise SourceError(f"{self.name}: looked up an object in {bucket!r}, which no setting names")
        return self._object(bucket, key.removeprefix("/"), key.rpartition("/")[2])

    def _named(self, place: str) -> tuple[str, str]:
        """Return bucket and key of `s3://bucket/key`."""
        bucket, _, key = place.removeprefix(self._settings.scheme).partition("/")
        return bucket, key

    def _object(self, bucket: str, key: str, name: str) -> Blob | None:
        return self._objects.find(f"{bucket}/{key}", name) if self._settings.fits(key) else None
