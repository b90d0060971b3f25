"""What a source plugin implements: from an identifier to bytes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Protocol, runtime_checkable

from sidecar.errors import SourceChanged
from sidecar.plugin.files import LocalFile
from sidecar.plugin.geometry import Buffer, ByteRange


class Blob(Protocol):
    """The bytes behind an identifier, at one moment. Any number of greenlets may read it at once."""

    @property
    def name(self) -> str:
        """File name or object key; its suffix says which decoders to ask first."""
        ...

    @property
    def size(self) -> int:
        """The length in bytes."""
        ...

    @property
    def etag(self) -> str:
        """A text that differs between any two blobs and whenever the content changes; without quotes."""
        ...

    @property
    def last_modified(self) -> datetime | None:
        """The time of the last change, aware and in whole seconds; None if unknown."""
        ...

    @property
    def path(self) -> Path | None:
        """The file on this machine, for libraries that insist on one; None if there is none."""
        ...

    def read(self, ranges: Sequence[ByteRange]) -> Sequence[Buffer]:
        """Return the bytes of each range, whole and in order. Called in a greenlet.

        Raises SourceError if they cannot be read, SourceChanged if the content is no longer that of `etag`.
        """
        ...


class Source(Protocol):
    """Finds blobs by identifier."""

    @property
    def name(self) -> str:
        """A short name for logs, metrics and SIDECAR_SOURCES."""
        ...

    def find(self, identifier: str) -> Blob | None:
        """Return the blob of a decoded identifier (any text, NUL and `../` included), or None. Called in a greenlet.

        Never returns a blob outside what the source is set to serve. Raises SourceError if the storage does not answer.
        """
        ...


@runtime_checkable
class KeepsBytes(Protocol):
    """An optional power of a source or decoder: it keeps bytes between requests, in caches of its own.

    They are taken off the memory that a worker has for responses.
    """

    @property
    def kept_bytes(self) -> int:
        """The most bytes that they may become; the same value whenever it is asked."""
        ...


@runtime_checkable
class Closing(Protocol):
    """An optional power of a source or decoder: it has connections or caches to close when the worker stops."""

    def close(self) -> None:
        """Release everything. Called once, in a greenlet."""
        ...


@runtime_checkable
class ListsImages(Protocol):
    """An optional power of a source: it can name images, for people who look around."""

    def listed(self, suffixes: frozenset[str], most: int) -> Sequence[str]:
        """Return identifiers of images, `most` at most, in the order in which people look for them.

        `suffixes`: of the names of files that are images, lower case, without the dot. A source that holds more than it
        can look through in a moment returns some of it. Called in a greenlet. Raises SourceError.
        """
        ...


@runtime_checkable
class VisitsImages(Protocol):
    """An optional power of a source: it finds all that lies below a place, for tools that visit every image."""

    def below(self, place: str) -> Iterator[Blob] | None:
        """Yield the blobs below a place as operators write it, as `s3://bucket/prefix`; None if another source's.

        Blobs are those that `find` returns, in any number: no more than a page of them is held. Called in a greenlet.
        Iterating raises SourceError.
        """
        ...


@runtime_checkable
class SupportsCheck(Protocol):
    """An optional power of a source: it says whether images can be read at the moment, for `/sidecar/ready`."""

    @property
    def is_remote(self) -> bool:
        """Whether that asks over a network: then it is asked only for those who want to know."""
        ...

    def check(self) -> None:
        """Ask the storage once, and return if it answers as it should. Called in a greenlet.

        Raises SourceError, SourceTimeout. After some seconds nobody waits any more.
        """
        ...


@runtime_checkable
class SupportsLocalFile(Protocol):
    """An optional power of a blob with a path: it states the root that it must not leave, and the file's state."""

    @property
    def file(self) -> LocalFile:
        """The file that holds the blob's bytes."""
        ...


def local_file(blob: Blob) -> LocalFile | None:
    """Return the file behind a blob, None if it has none; of a source that states only a path, as it is at the moment.

    Raises SourceChanged if nothing is there any more, SourceError.
    """
    if isinstance(blob, SupportsLocalFile):
        return blob.file
    if blob.path is None:
        return None
    found = LocalFile.find(str(blob.path.parent), str(blob.path))
    if found is None:
        raise SourceChanged(f"{blob.name!r} is gone")
    return found
