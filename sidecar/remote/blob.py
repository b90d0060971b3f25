"""The blob of a far object: ranges out of shared blocks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from hashlib import sha256
from pathlib import Path
from typing import Protocol

from sidecar.errors import SourceChanged, SourceError
from sidecar.model import Buffer, ByteRange
from sidecar.remote.transport import Version


@dataclass(frozen=True, slots=True)
class Identity:
    """An object at one moment, and the name it has among all blobs."""

    key: str
    """As the transport knows the object."""
    version: Version
    etag: str
    """As `Blob.etag`."""

    @classmethod
    def of(cls, origin: str, key: str, version: Version) -> Identity:
        """Name a version of an object of an origin."""
        whole = "\0".join((origin, key, str(version.size), version.validator))
        return cls(key, version, sha256(whole.encode()).hexdigest()[:32])


class Reader(Protocol):
    """Where a RemoteBlob has its bytes from."""

    def read(self, identity: Identity, ranges: Sequence[ByteRange]) -> Sequence[Buffer]:
        """The bytes of each range."""
        ...


@dataclass(frozen=True, slots=True)
class RemoteBlob:
    """A Blob whose bytes are far away."""

    name: str
    identity: Identity
    reader: Reader = field(repr=False)
    forget: Callable[[], None] = field(repr=False)
    """Called when the object turns out to be another one by now, so that the next request finds the new one."""

    @property
    def size(self) -> int:
        """In bytes."""
        return self.identity.version.size

    @property
    def etag(self) -> str:
        """Differs between any two blobs, and whenever the content changes."""
        return self.identity.etag

    @property
    def last_modified(self) -> datetime | None:
        """As the far place says; None where it says nothing that can be read."""
        try:
            modified = parsedate_to_datetime(self.identity.version.modified)
        except ValueError:
            return None
        return modified if modified.tzinfo else modified.replace(tzinfo=UTC)

    @property
    def path(self) -> Path | None:
        """None: the bytes are not on this machine."""
        return None

    def read(self, ranges: Sequence[ByteRange]) -> Sequence[Buffer]:
        """The bytes of each range, whole and in order. Raises SourceError, SourceTimeout, SourceChanged."""
        if any(not 0 <= start <= stop <= self.size for start, stop in ranges):
            raise SourceError(f"a range lies outside of the object's {self.size} bytes")
        try:
            return self.reader.read(self.identity, ranges)
        except SourceChanged:
            self.forget()
            raise
