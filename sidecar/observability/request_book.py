"""Requests of all workers, for people who look: those under way, the latest, the slowest, and each worker's state.

Each worker writes a book of its own: a file of fixed size in the folder that workers share, mapped into memory. Others
read it whenever they like. A request is written down once, when it is over; those under way, and the state, are
written each second (`refresh`). So another worker's are up to a second old, and each book says when it was written.
What does not fit is counted, and not shown.
"""

from __future__ import annotations

import json
import mmap
import os
import time
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from struct import Struct
from typing import Any, Final, TypeAlias

from sidecar.observability.logging import log

Record: TypeAlias = Mapping[str, Any]
"""What JSON can hold. The text `path` is shortened if a record does not fit."""
SLOT: Final = 1024
"""Bytes of a record."""
RUNNING: Final = 32
"""Requests under way that are shown of a worker: those that have run the longest."""
RECENT: Final = 64
SLOW: Final = 16
SLOW_SECONDS: Final = 900.0
"""For so long a request may be among the slowest."""
SUFFIX: Final = ".requests"
_HEAD: Final = Struct("=IH")
"""A checksum and a length: readers never wait for the writer, and see by the first what is half written."""
_LATEST, _SLOWEST = 1 + RUNNING, 1 + RUNNING + RECENT
_SIZE: Final = (_SLOWEST + SLOW) * SLOT
_ATTEMPTS: Final = 3
_PATH: Final = 400


@dataclass(frozen=True, slots=True)
class Page:
    """What one worker has written down."""

    state: Record
    """`pid`, `written` (seconds since 1970), `running` (how many requests are under way), and what the worker adds."""
    running: Sequence[Record]
    recent: Sequence[Record]
    """The latest, in no order."""
    slow: Sequence[Record]


@dataclass
class RequestBook:
    """The book of this worker, and the way to those of others. Belongs to one event loop."""

    folder: Path | None = None
    """That workers share; None: there are no other workers."""
    state: Callable[[], Record] = dict
    """Returns what is written of the worker itself."""
    _entries: dict[int, Callable[[], Record]] = field(default_factory=dict)
    _number: int = 0
    _ended: int = 0
    _slowest: list[tuple[float, float]] = field(default_factory=lambda: [(0.0, 0.0)] * SLOW)
    """Of each place: how long its request took, and when it ended."""

    def __post_init__(self) -> None:
        self._pages = _mapped(self.folder)

    def begin(self, describe: Callable[[], Record]) -> int:
        """Note a request that begins; returns its number. `describe` is called each second until it is over."""
        self._number += 1
        self._entries[self._number] = describe
        return self._number

    def end(self, number: int, record: Record, seconds: float) -> None:
        """Write down a request that is over, which took some seconds."""
        self._entries.pop(number, None)
        data = _written(record)
        self._put(_LATEST + self._ended % RECENT, data)
        self._ended += 1
        now = time.monotonic()
        place = min(range(SLOW), key=lambda each: self._weight(each, now))
        if seconds > self._weight(place, now):
            self._slowest[place] = seconds, now
            self._put(_SLOWEST + place, data)

    def refresh(self) -> None:
        """Write down what is under way, and the worker's state."""
        shown = [*self._entries.values()][:RUNNING]
        for place in range(RUNNING):
            self._put(1 + place, _written(shown[place]()) if place < len(shown) else b"")
        head = {"pid": os.getpid(), "written": time.time(), "running": len(self._entries)}
        self._put(0, _written({**self.state(), **head}))

    def pages(self) -> Sequence[Page]:
        """Return what each worker has written down, this one's at once."""
        self.refresh()
        found = [_page(self._pages[:])]
        if self.folder is not None:
            own = f"{os.getpid()}{SUFFIX}"
            paths = sorted(path for path in self.folder.glob(f"*{SUFFIX}") if path.name != own)
            found += filter(None, map(_page_of, paths))
        return found

    def _weight(self, place: int, now: float) -> float:
        """Return how long the request in a place took; 0 if its time is over."""
        seconds, ended = self._slowest[place]
        return seconds if now - ended < SLOW_SECONDS else 0.0

    def _put(self, slot: int, data: bytes) -> None:
        at = slot * SLOT
        self._pages[at : at + _HEAD.size + len(data)] = _HEAD.pack(zlib.crc32(data), len(data)) + data


def forget(folder: Path, pid: int) -> None:
    """Remove the book of a worker that has ended. Called in the master."""
    (folder / f"{pid}{SUFFIX}").unlink(missing_ok=True)


def _mapped(folder: Path | None) -> mmap.mmap:
    """Return a new file, mapped; memory of this process if there is no place on the disk."""
    if folder is None:
        return mmap.mmap(-1, _SIZE)
    path = folder / f"{os.getpid()}{SUFFIX}"
    try:
        with path.open("w+b") as file:
            # A page of a mapped file that is not on the disk would end the process if the disk is full (mmap(2)).
            os.posix_fallocate(file.fileno(), 0, _SIZE)
            return mmap.mmap(file.fileno(), _SIZE)
    except OSError as error:
        path.unlink(missing_ok=True)
        log.error("other workers' status pages do not show this worker's requests", problem=str(error))
        return mmap.mmap(-1, _SIZE)


def _written(record: Record) -> bytes:
    """Return a record as JSON that fits into a slot."""
    kept = {**record, "path": _short(str(record["path"]), _PATH)} if "path" in record else record
    data = _encoded(kept)
    if len(data) > SLOT - _HEAD.size and "path" in kept:
        data = _encoded({**kept, "path": _short(kept["path"], _PATH // 8)})
    return data if len(data) <= SLOT - _HEAD.size else b""


def _encoded(record: Record) -> bytes:
    return json.dumps(record, ensure_ascii=True, separators=(",", ":")).encode("ascii")


def _short(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _page_of(path: Path) -> Page | None:
    """Read another worker's page; None if the worker has just ended, or written nothing yet."""
    for _ in range(_ATTEMPTS):
        try:
            content = path.read_bytes()
        except OSError:
            return None
        page = _page(content) if len(content) == _SIZE else None
        if page and page.state:
            return page
    return None


def _page(content: bytes) -> Page:
    state = [*_records(content, 0, 1)]
    return Page(
        state[0] if state else {},
        [*_records(content, 1, RUNNING)],
        [*_records(content, _LATEST, RECENT)],
        [*_records(content, _SLOWEST, SLOW)],
    )


def _records(content: bytes, first: int, count: int) -> Iterator[Record]:
    """Return the records in some slots; those that are empty, or just being written, are left out."""
    for slot in range(first, first + count):
        at = slot * SLOT
        checksum, length = _HEAD.unpack_from(content, at)
        data = content[at + _HEAD.size : at + _HEAD.size + length]
        if data and zlib.crc32(data) == checksum:
            yield json.loads(data)
