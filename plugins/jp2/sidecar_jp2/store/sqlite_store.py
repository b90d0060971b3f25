"""A size-limited cache on disk that survives restarts and is shared between workers.

It uses `sqlite3` of the standard library for its transactions and its locks between processes. `diskcache`, the usual
choice, has had no release since 2023 and unpickles what it reads (CVE-2025-69872, in every version).
"""

from __future__ import annotations

import logging
import os
import sqlite3
import tempfile
import time
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import Final, TypeVar

from sidecar.plugin import StoreState, Tally

T = TypeVar("T")

log = logging.getLogger(__name__)

FAILURES: Final = Tally("jp2_disk_failures", "uses of the packet indexes on disk that failed")
LOCK_TIMEOUT = 0.5
"""Seconds to wait while another worker writes."""

_SCHEMA = "CREATE TABLE IF NOT EXISTS entry (key TEXT PRIMARY KEY, used REAL NOT NULL, data BLOB NOT NULL)"
_OVER_BUDGET = """
DELETE FROM entry WHERE key IN (
    SELECT key FROM (SELECT key, SUM(LENGTH(data)) OVER (ORDER BY used DESC, key) AS total FROM entry) WHERE total > ?
)
"""


class SqliteStore:
    """A table of keys and bytes in a folder. An entry that cannot be read or written counts as missing.

    Its methods may be called from any thread.
    """

    def __init__(self, folder: Path, limit: int) -> None:
        """Keep up to `limit` bytes in `folder`, which is created if it is missing."""
        self._path = folder / "jp2-index.sqlite"
        self._limit = limit

    def get(self, key: str) -> bytes | None:
        """Return the bytes stored under a key, or None."""
        return self._do(lambda table: _read(table, key))

    def head(self, key: str, size: int) -> bytes | None:
        """Return the first `size` bytes stored under a key, or None."""
        return self._do(lambda table: _read_head(table, key, size))

    def put(self, key: str, data: bytes) -> bool:
        """Store bytes under a key, unless they alone exceed the limit; the least recently used entries are dropped.

        Returns whether it worked.
        """
        return len(data) > self._limit or self._do(lambda table: _write(table, key, data, self._limit)) is not None

    def examine(self) -> StoreState:
        """Count the entries."""
        began = time.monotonic()
        count = self._do(_count)
        problem = "" if count is not None else "it cannot be used; the log says why"
        return StoreState(str(self._path), (time.monotonic() - began) * 1000, problem, writable=count is not None)

    def drop(self, key: str) -> None:
        self._do(lambda table: table.execute("DELETE FROM entry WHERE key = ?", (key,)))

    def _do(self, action: Callable[[sqlite3.Connection], T]) -> T | None:
        """Run an action in a transaction on a connection of its own; return None if that fails."""
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            if not self._path.exists():
                _create(self._path)
            with closing(sqlite3.connect(self._path, timeout=LOCK_TIMEOUT)) as table, table:
                table.execute("PRAGMA synchronous = NORMAL")
                table.execute(_SCHEMA)
                return action(table)
        except (sqlite3.OperationalError, OSError) as error:
            FAILURES.add()
            log.warning("cannot use the packet index cache in %s: %s", self._path, error)
        except (sqlite3.DatabaseError, UnicodeDecodeError) as error:  # raised for damaged error messages and keys
            FAILURES.add()
            log.warning("the packet index cache in %s is damaged and will be replaced: %s", self._path, error)
            for suffix in ("", "-wal", "-shm"):
                self._path.with_name(self._path.name + suffix).unlink(missing_ok=True)
        return None


def _create(path: Path) -> None:
    """Make an empty database in WAL mode, which its file keeps, unless another worker was faster.

    It is made aside and linked into place. A change to WAL mode needs the database for itself, and when several workers
    start at once SQLite reports "database is locked" to all but one, however long their timeout (sqlite.org/wal.html).
    """
    with tempfile.TemporaryDirectory(prefix="new-", dir=path.parent) as folder:
        new = Path(folder) / path.name
        with closing(sqlite3.connect(new)) as table, table:
            table.execute("PRAGMA journal_mode = WAL")
            table.execute(_SCHEMA)
        with suppress(FileExistsError):
            os.link(new, path)


def _read(table: sqlite3.Connection, key: str) -> bytes | None:
    row = table.execute("SELECT data FROM entry WHERE key = ? AND typeof(data) = 'blob'", (key,)).fetchone()
    if row is None:
        return None
    table.execute("UPDATE entry SET used = ? WHERE key = ?", (time.time(), key))
    return bytes(row[0])


def _read_head(table: sqlite3.Connection, key: str, size: int) -> bytes | None:
    query = "SELECT substr(data, 1, ?) FROM entry WHERE key = ? AND typeof(data) = 'blob'"
    row = table.execute(query, (size, key)).fetchone()
    return None if row is None else bytes(row[0])


def _count(table: sqlite3.Connection) -> int:
    return int(table.execute("SELECT COUNT(*) FROM entry").fetchone()[0])


def _write(table: sqlite3.Connection, key: str, data: bytes, limit: int) -> bool:
    table.execute("INSERT OR REPLACE INTO entry VALUES (?, ?, ?)", (key, time.time(), data))
    table.execute(_OVER_BUDGET, (limit,))
    return True
