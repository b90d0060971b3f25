"""Bytes kept on disk between restarts and between workers, within a budget.

`sqlite3` of the standard library: transactions, and locks between processes, are its trade. `diskcache`, the usual
choice, has had no release since 2023 and unpickles what it finds (CVE-2025-69872, in every version).
"""

from __future__ import annotations

import logging
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

log = logging.getLogger(__name__)

PATIENCE = 0.5
"""Seconds to wait while another worker writes."""

_SCHEMA = "CREATE TABLE IF NOT EXISTS entry (key TEXT PRIMARY KEY, used REAL NOT NULL, data BLOB NOT NULL)"
_OVER_BUDGET = """
DELETE FROM entry WHERE key IN (
    SELECT key FROM (SELECT key, SUM(LENGTH(data)) OVER (ORDER BY used DESC, key) AS total FROM entry) WHERE total > ?
)
"""


class Disk:
    """A table of keys and bytes in a folder. What cannot be read or written is as if it were not there."""

    def __init__(self, folder: Path, limit: int) -> None:
        """Keep up to `limit` bytes in `folder`, which is made where it is missing."""
        self._path = folder / "jp2-index.sqlite"
        self._limit = limit

    def get(self, key: str) -> bytes | None:
        """The bytes of a key."""
        return self._do(lambda table: _read(table, key))

    def put(self, key: str, data: bytes) -> None:
        """Keep the bytes of a key, unless they alone are too many; those not used for longest make room."""
        if len(data) <= self._limit:
            self._do(lambda table: _write(table, key, data, self._limit))

    def drop(self, key: str) -> None:
        """Forget a key."""
        self._do(lambda table: table.execute("DELETE FROM entry WHERE key = ?", (key,)))

    def _do(self, action: Callable[[sqlite3.Connection], T]) -> T | None:
        """One transaction on one connection: calls may come from any thread. None where it cannot be."""
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with closing(sqlite3.connect(self._path, timeout=PATIENCE)) as table, table:
                table.execute("PRAGMA journal_mode = WAL")
                table.execute("PRAGMA synchronous = NORMAL")
                table.execute(_SCHEMA)
                return action(table)
        except (sqlite3.OperationalError, OSError) as error:
            log.warning("packet indexes are not kept in %s: %s", self._path, error)
        except (sqlite3.DatabaseError, UnicodeDecodeError) as error:  # the latter of damaged messages and keys
            log.warning("packet indexes in %s are damaged and begin anew: %s", self._path, error)
            for suffix in ("", "-wal", "-shm"):
                self._path.with_name(self._path.name + suffix).unlink(missing_ok=True)
        return None


def _read(table: sqlite3.Connection, key: str) -> bytes | None:
    row = table.execute("SELECT data FROM entry WHERE key = ? AND typeof(data) = 'blob'", (key,)).fetchone()
    if row is None:
        return None
    table.execute("UPDATE entry SET used = ? WHERE key = ?", (time.time(), key))
    return bytes(row[0])


def _write(table: sqlite3.Connection, key: str, data: bytes, limit: int) -> None:
    table.execute("INSERT OR REPLACE INTO entry VALUES (?, ?, ?)", (key, time.time(), data))
    table.execute(_OVER_BUDGET, (limit,))
