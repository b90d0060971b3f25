"""Bands of the source, fetched two ahead and decoded one ahead of the one in hand: no native call waits for bytes."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Final, Generic, ParamSpec, TypeAlias, TypeVar

import gevent
import numpy as np
from gevent.event import Event
from gevent.lock import Semaphore
from gevent.queue import Queue

from sidecar.interfaces import Blob, ImageReader
from sidecar.model import Buffer, Pixels, Rect, Window
from sidecar.native import Outcome, Pending, Pool, outcome
from sidecar.partition import FETCH_AHEAD, UNDER_WAY, Band
from sidecar.plan import Plan

P = ParamSpec("P")
T = TypeVar("T")

# Bytes on their way at once: at first, so that the first of them come soon, and soon after, for 1 Gbit/s at 30 ms.
# More would share the link, and decoding would wait for all of them and then be busy for long with the last.
_FIRST_AT_ONCE: Final = 1 << 20
_AT_ONCE: Final = 4 << 20


class Task(Generic[T]):
    """A call in a greenlet of its own. What it raises is kept for the one who asks, and printed nowhere."""

    def __init__(self, call: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> None:
        # The greenlet refers to nothing of this object: an error kept here, whose frames led back, were a cycle.
        self._greenlet = gevent.spawn(outcome, call, *args, **kwargs)

    def get(self) -> T:
        """Wait for the value, or raise what the call raised; asked once."""
        result: Outcome[T] | gevent.GreenletExit = self._greenlet.get()
        if isinstance(result, gevent.GreenletExit):  # stopped before it had begun
            raise result
        return result()

    def stop(self) -> None:
        """Make it give up where it waits, and wait until it has. It is not to be asked for anything after that."""
        self._greenlet.kill()
        # The frames of what it was stopped with may lead back here.
        del self._greenlet


class Link:
    """Lets the pieces of an answer be fetched one after the other, in the order in which they ask.

    As many are under way at once as keep a connection busy in spite of the time that each request takes.
    """

    def __init__(self) -> None:
        self._under_way = 0
        self._most = _FIRST_AT_ONCE
        self._waiting: deque[tuple[int, Event]] = deque()

    @contextmanager
    def turn(self, size: int) -> Iterator[None]:
        """Wait for one's turn to fetch `size` bytes; it ends with the context."""
        place = size, Event()
        self._waiting.append(place)
        self._let()
        try:
            place[1].wait()
            yield
        finally:
            if place[1].is_set():
                self._under_way -= size
                self._most = min(2 * self._most, _AT_ONCE)
            else:
                self._waiting.remove(place)
            self._let()

    def _let(self) -> None:
        while self._waiting and (not self._under_way or self._under_way + self._waiting[0][0] <= self._most):
            size, turn = self._waiting.popleft()
            self._under_way += size
            turn.set()


Fetched: TypeAlias = tuple[Window, Sequence[Buffer]]
"""A piece of a band, and the bytes that decoding it takes."""
Decoding: TypeAlias = Callable[[], Pixels]
"""A band under way in native threads: called, it waits for the pixels, or raises what decoding raised."""


class Bands:
    """Iterates over a plan's bands as pixels, in the source's orientation; fetching and decoding run ahead.

    Pulled, never pushed: while nobody asks for the next band, one is decoded and two are fetched, no more. Pieces
    are decoded strictly in order, so that no thread works for a later band while an earlier one waits for a thread.
    """

    def __init__(self, plan: Plan, blob: Blob, reader: ImageReader, pool: Pool) -> None:
        self._plan, self._blob, self._reader, self._pool = plan, blob, reader, pool
        self._waiting = deque(plan.bands)
        self._fetching: deque[tuple[Band, Sequence[Task[Fetched]]]] = deque()
        self._link = Link()
        self._turns = Semaphore(UNDER_WAY if reader.info.parallel else 1)
        self._decoding: Queue[Decoding | None] = Queue()
        self._closed = False
        self._feeder = Task(self._feed)

    def __iter__(self) -> Iterator[Pixels]:
        """Raises what fetching and decoding raise."""
        while (decoding := self._decoding.get()) is not None:
            pixels = decoding()
            self._turns.release()
            yield pixels
        self._feeder.get()

    def close(self) -> None:
        """Begin nothing more, neither here nor in native threads; what has begun there goes on to its end."""
        if self._closed:
            return
        self._closed = True
        self._waiting.clear()
        self._feeder.stop()
        # Those that wait for others first: the others' end must not be their turn.
        for _, pieces in reversed(self._fetching):
            for fetching in pieces:
                fetching.stop()
        self._fetching.clear()
        # What is still to fail in native threads would lead back here.
        while not self._decoding.empty():
            self._decoding.get()

    def _feed(self) -> None:
        """Hand bands to the native threads whenever it is their turn."""
        try:
            while self._waiting or self._fetching:
                self._turns.acquire()
                self._fetch_ahead()
                self._decoding.put(self._decode(*self._fetching[0]))
                self._fetching.popleft()
        finally:
            self._decoding.put(None)

    def _fetch_ahead(self) -> None:
        while self._waiting and len(self._fetching) <= FETCH_AHEAD:
            band = self._waiting.popleft()
            self._fetching.append((band, [Task(self._fetch, piece) for piece in band.pieces]))

    def _fetch(self, piece: Rect) -> Fetched:
        """Find out which bytes a piece takes, and read them when it is their turn."""
        window = self._reader.window(self._plan.level, piece)
        if not window.ranges:
            return window, ()
        with self._link.turn(sum(stop - start for start, stop in window.ranges)):
            return window, self._blob.read(window.ranges)

    def _decode(self, band: Band, pieces: Sequence[Task[Fetched]]) -> Decoding:
        """Begin a band, each piece of it as soon as its bytes are here and a thread is free."""
        pixels = np.empty((band.region.height, band.region.width, self._reader.info.channels), np.uint8)
        pending: list[Pending[None]] = []
        for piece in pieces:
            pending.append(self._pool.spawn(self._read, pixels, band.region, *piece.get()))
            if not self._reader.info.parallel:
                pending[-1].wait()
        return partial(_whole, pixels, pending)

    def _read(self, pixels: Pixels, band: Rect, window: Window, data: Sequence[Buffer]) -> None:
        """Decode a piece into its place in a band. Runs in a native thread, which may have been long in coming free."""
        if self._closed:
            raise gevent.GreenletExit
        x, y = window.region.x - band.x, window.region.y - band.y
        self._reader.read(window, data, pixels[y : y + window.region.height, x : x + window.region.width])


def _whole(pixels: Pixels, pending: Iterable[Pending[None]]) -> Pixels:
    for piece in pending:
        piece.get()
    return pixels
