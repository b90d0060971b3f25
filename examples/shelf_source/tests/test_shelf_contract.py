"""The database keeps the contract of sources."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from itertools import count
from pathlib import Path

import pytest
import sidecar_shelf
from sidecar_shelf import ShelfSettings

from sidecar.plugin import Config, Native
from sidecar.testing.contracts.source import SourceContract, Store


class TestShelf(SourceContract):
    """Rows of a table, found by name."""

    @pytest.fixture
    def store(self, tmp_path: Path, native: Native) -> Iterator[Store]:
        """Make an empty table, and the source over it."""
        file = tmp_path / "images.sqlite"
        with closing(sqlite3.connect(file, isolation_level=None)) as own:
            own.execute("CREATE TABLE images (name TEXT PRIMARY KEY, version INTEGER, content BLOB)")
            versions = count()
            (source,) = sidecar_shelf.register_sources(Config.of(ShelfSettings(file=file)), native)

            def put(identifier: str, content: bytes) -> None:
                row = (identifier, next(versions), content)
                own.execute("INSERT OR REPLACE INTO images VALUES (?, ?, ?)", row)

            yield Store(source, put)
