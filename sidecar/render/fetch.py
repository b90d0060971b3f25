"""Reading the bytes of windows: in order within a response, and once for all that want the same."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final, TypeAlias
from weakref import WeakValueDictionary

from gevent.event import Event
from gevent.lock import BoundedSemaphore

from sidecar.observability.counted import CountedCache
from sidecar.observability.metrics import READ
from sidecar.observability.tracing import span
from sidecar.observability.work import CURRENT, source_of
from sidecar.plugin import Blob, Buffer, ByteRange
from sidecar.render.plugin_calls import plugin_call

_WINDOWS: Final = CountedCache("windows", "bytes that another response is just reading or using")
# Bytes on their way at once: at first, so that the first of them come soon, and soon after, for 1 Gbit/s at 30 ms.
# More would share the link, and decoding would wait for all of them and then be busy for long with the last.
_FIRST_AT_ONCE: Final = 1 << 20
_AT_ONCE: Final = 4 << 20

Ranges: TypeAlias = tuple[ByteRange, ...]


class Link:
    """Lets the pieces of a response be fetched one after the other, in the order in which they ask.

    As many are under way at once as keep a connection busy in spite of the time that each request takes.
    """

    def __init__(self) -> None:
        self._under_way = 0
        self._most = _FIRST_AT_ONCE
        self._waiting: deque[tuple[int, Event]] = deque()

    @contextmanager
    def turn(self, size: int) -> Iterator[None]:
        """Wait for the turn to fetch `size` bytes; it ends with the context."""
        place = size, Event()
        self._waiting.append(place)
        self._admit()
        try:
            place[1].wait()
            yield
        finally:
            if place[1].is_set():
                self._under_way -= size
                self._most = min(2 * self._most, _AT_ONCE)
            else:
                self._waiting.remove(place)
            self._admit()

    def _admit(self) -> None:
        while self._waiting and (not self._under_way or self._under_way + self._waiting[0][0] <= self._most):
            size, turn = self._waiting.popleft()
            self._under_way += size
            turn.set()


class Fetched:
    """The bytes of some ranges of a blob; shared as long as anybody holds it."""

    def __init__(self) -> None:
        self.turn = BoundedSemaphore(1)
        self.data: Sequence[Buffer] | None = None


class Fetcher:
    """Reads ranges of blobs. Identical ranges that are being read, or are still in use, are read once.

    So a codestream that can only be decoded whole is in memory once, however many windows of it are under way.
    """

    def __init__(self) -> None:
        self._shared: WeakValueDictionary[tuple[str, Ranges], Fetched] = WeakValueDictionary()

    def read(self, blob: Blob, ranges: Ranges, link: Link) -> tuple[Fetched, Sequence[Buffer]]:
        """Return the bytes of the ranges, and what keeps them shared. Called in a greenlet. Raises SourceError."""
        key = (blob.etag, ranges)
        fetched = self._shared.get(key) or self._shared.setdefault(key, Fetched())
        # If the first reader fails or is cancelled, the next one tries.
        with fetched.turn:
            _WINDOWS.looked_up(hits=fetched.data is not None, misses=fetched.data is None)
            if fetched.data is None:
                size, source = sum(each.length for each in ranges), source_of("source")
                with link.turn(size), span("fetch", source), plugin_call(source, blob.name):
                    fetched.data = blob.read(ranges)
                READ.labels(source).inc(size)
                if work := CURRENT.get():
                    work.read += size
            if work := CURRENT.get():
                work.size = blob.size
            return fetched, fetched.data
