"""The blob of a remote object: ranges out of shared blocks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from hashlib import sha256
from pathlib import Path
from typing import Protocol

from sidecar.errors import SourceChanged, SourceError
from sidecar.plugin import Buffer, ByteRange
from sidecar.remote.transport import Version


@dataclass(frozen=True, slots=True)
class ObjectVersion:
    """An object at one moment, and its name among all blobs."""

    key: str
    """The transport's name of the object."""
    version: Version
    etag: str
    """As `Blob.etag`."""

    @classmethod
    def of(cls, origin: str, key: str, version: Version) -> ObjectVersion:
        """Name a version of an object of an origin."""
        whole = "\0".join((origin, key, str(version.size), version.validator))
        return cls(key, version, sha256(whole.encode()).hexdigest()[:32])


class Reader(Protocol):
    """What a RemoteBlob reads from."""

    def read(self, identity: ObjectVersion, ranges: Sequence[ByteRange]) -> Sequence[Buffer]:
        """Return the bytes of each range."""
        ...


@dataclass(frozen=True, slots=True)
class RemoteBlob:
    """A Blob whose bytes come over a network."""

    name: str
    identity: ObjectVersion
    reader: Reader = field(repr=False)
    forget: Callable[[], None] = field(repr=False)
    """Called if the object has changed, so that the next request finds the new one."""

    @property
    def size(self) -> int:
        return self.identity.version.size

    @property
    def etag(self) -> str:
        """A text that differs between any two blobs, and whenever the content changes."""
        return self.identity.etag

    @property
    def last_modified(self) -> datetime | None:
        """The time that the origin states; None if it states none that can be read."""
        try:
            modified = parsedate_to_datetime(self.identity.version.modified)
        except (ValueError, OverflowError):  # the latter of years beyond what C counts
            return None
        return modified if modified.tzinfo else modified.replace(tzinfo=UTC)

    @property
    def path(self) -> Path | None:
        """None: the bytes are not on this machine."""
        return None

    def read(self, ranges: Sequence[ByteRange]) -> Sequence[Buffer]:
        """Return the bytes of each range, whole and in order. Raises SourceError, SourceTimeout, SourceChanged."""
        if any(not 0 <= start <= stop <= self.size for start, stop in ranges):
            raise SourceError(f"a range lies outside the object's {self.size} bytes")
        try:
            return self.reader.read(self.identity, ranges)
        except SourceChanged:
            self.forget()
            raise
