"""Files as blobs. All that touches the filesystem runs in native threads: on network mounts even a look-up is slow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from pathlib import Path

from sidecar.plugin import Buffer, ByteRange, LocalFile, Native
from sidecar_filesystem.listing import listed
from sidecar_filesystem.place import Place


@dataclass(frozen=True)
class FileBlob:
    """A regular file, in the state it was found in."""

    file: LocalFile
    native: Native = field(repr=False)

    @property
    def name(self) -> str:
        """The file's own name, links resolved."""
        return self.file.name

    @property
    def size(self) -> int:
        """In bytes."""
        return self.file.identity.size

    @cached_property
    def etag(self) -> str:
        """See LocalFile."""
        return self.file.etag

    @property
    def last_modified(self) -> datetime | None:
        """See LocalFile."""
        return self.file.last_modified

    @cached_property
    def path(self) -> Path:
        """The file, links resolved."""
        return self.file.path

    def read(self, ranges: Sequence[ByteRange]) -> Sequence[Buffer]:
        """Return the bytes of each range, of the file as it was found.

        Raises SourceError if a range lies outside the file or cannot be read, SourceChanged if the file has changed
        since.
        """
        # One descriptor for each call, not one for each blob: nothing to close later, nothing to leak.
        return self.native(self.file.read, ranges)


class FilesystemSource:
    """Files of one place."""

    def __init__(self, place: Place, native: Native) -> None:
        self._place = place
        self._native = native

    @property
    def name(self) -> str:
        """For logs and metrics."""
        return "filesystem"

    @property
    def is_remote(self) -> bool:
        """See SupportsCheck: a mount over a network is asked, too."""
        return False

    def check(self) -> None:
        """Look into the folder. Raises SourceError if that fails."""
        self._native(self._place.check)

    def find(self, identifier: str) -> FileBlob | None:
        """Return the regular file of an identifier, or None. Raises SourceError if the filesystem fails."""
        file = self._native(self._place.file, identifier)
        return None if file is None else FileBlob(file, self._native)

    def listed(self, suffixes: frozenset[str], most: int) -> Sequence[str]:
        """Return the identifiers of files with some suffixes, sorted. Raises SourceError if it cannot be read."""
        return self._native(listed, self._place, suffixes, most)
