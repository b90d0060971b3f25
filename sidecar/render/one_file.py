"""A single file as a source: for tools that are given a path, and not an identifier."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from sidecar.errors import NotFound
from sidecar.plugin import Blob, Buffer, ByteRange, LocalFile


@dataclass(frozen=True, slots=True)
class FileBlob:
    """A file on this machine, in the state in which it was found. Reading it blocks."""

    file: LocalFile

    @classmethod
    def at(cls, path: Path) -> FileBlob:
        """Find a file; links are followed, and lead wherever they do. Raises NotFound, SourceError, SourceChanged."""
        real = path.resolve()
        found = LocalFile.find(str(real.parent), str(real))
        if found is None:
            raise NotFound(f"{path} is not a file")
        return cls(found)

    @property
    def name(self) -> str:
        """The file's own name, links resolved."""
        return self.file.name

    @property
    def size(self) -> int:
        """In bytes."""
        return self.file.identity.size

    @property
    def etag(self) -> str:
        """See LocalFile."""
        return self.file.etag

    @property
    def last_modified(self) -> datetime | None:
        """See LocalFile."""
        return self.file.last_modified

    @property
    def path(self) -> Path:
        """Where it is."""
        return self.file.path

    def read(self, ranges: Sequence[ByteRange]) -> Sequence[Buffer]:
        """Return the bytes of each range. Raises SourceError, SourceChanged."""
        return self.file.read(ranges)


@dataclass(frozen=True, slots=True)
class OneBlob:
    """A source that finds the same blob whatever it is asked for."""

    blob: Blob
    name: Final[str] = "file"

    def find(self, identifier: str) -> Blob | None:
        """Return the blob."""
        del identifier
        return self.blob
