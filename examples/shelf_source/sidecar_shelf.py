"""Source of the sidecar: images in a table of a SQLite database."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime
from hashlib import blake2b
from pathlib import Path
from typing import ClassVar

from sidecar.plugin import (
    Blob,
    Buffer,
    ByteRange,
    Config,
    Folder,
    Native,
    Section,
    Source,
    SourceChanged,
    SourceError,
    StartError,
    hookimpl,
)

SIDECAR_API = 1


class ShelfSettings(Section):
    """Where the database is."""

    table: ClassVar[str] = "shelf"

    file: Path | None = None
    """The SQLite database; empty: no source."""


@dataclass(frozen=True)
class ShelfBlob:
    """A row of the table, at one version."""

    source: ShelfSource
    name: str
    row: int
    version: int
    size: int
    last_modified: datetime | None = None
    path: Path | None = None

    @property
    def etag(self) -> str:
        """A digest of where the row is and of its version."""
        identity = f"{self.source.file}\0{self.name}\0{self.version}"
        return blake2b(identity.encode(), digest_size=16).hexdigest()

    def read(self, ranges: Sequence[ByteRange]) -> Sequence[Buffer]:
        """Return the bytes of each range."""
        for start, stop in ranges:
            if not 0 <= start <= stop <= self.size:
                raise SourceError(f"{self.name}: no bytes {start} to {stop} in {self.size}")
        return self.source.native(self._read, ranges)

    def _read(self, ranges: Sequence[ByteRange]) -> Sequence[Buffer]:
        with self.source.connected() as database:
            current = "SELECT 1 FROM images WHERE rowid = ? AND version = ?"
            if database.execute(current, (self.row, self.version)).fetchone() is None:
                raise SourceChanged(f"{self.name}: version {self.version} is gone")
            with database.blobopen("images", "content", self.row, readonly=True) as content:
                return [_range(content, start, stop) for start, stop in ranges]


def _range(content: sqlite3.Blob, start: int, stop: int) -> bytes:
    content.seek(start)
    return content.read(stop - start)


@dataclass(frozen=True)
class ShelfSource:
    """A Source of the rows of one database."""

    file: Path
    native: Native
    name: str = "shelf"

    def find(self, identifier: str) -> Blob | None:
        """Return the row whose name is the identifier, or None."""
        return self.native(self._find, identifier)

    def _find(self, identifier: str) -> Blob | None:
        query = "SELECT rowid, version, length(content) FROM images WHERE name = ?"
        try:
            with self.connected() as database:
                row = database.execute(query, (identifier,)).fetchone()
        except UnicodeEncodeError:  # half a surrogate pair: no name has that
            return None
        return None if row is None else ShelfBlob(self, identifier, *row)

    @contextmanager
    def connected(self) -> Iterator[sqlite3.Connection]:
        """Connect for one transaction. The one place where SQLite's errors become the sidecar's."""
        try:
            with closing(sqlite3.connect(f"{self.file.as_uri()}?mode=ro", uri=True)) as database:
                database.execute("BEGIN")
                yield database
        except sqlite3.Error as error:
            raise SourceError(f"shelf: {error}") from error


@hookimpl
def register_settings() -> Iterable[type[Section]]:
    """Register the table `shelf`."""
    return [ShelfSettings]


@hookimpl
def register_sources(config: Config, native: Native) -> Iterable[Source]:
    """Register the database, if one is set."""
    file = config.section(ShelfSettings).file
    if file is None:
        return []
    if not file.is_file():
        raise StartError(f"SIDECAR_SHELF_FILE: {file} is not a file")
    return [ShelfSource(file.absolute(), native)]


@hookimpl
def register_folders(config: Config) -> Iterable[Folder]:
    """Register the folder of the database: SQLite may keep a journal beside it."""
    file = config.section(ShelfSettings).file
    return [] if file is None else [Folder(path=file.parent)]
