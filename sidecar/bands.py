"""Bands of the source, fetched two ahead and decoded one ahead of the one in hand: no native call waits for bytes."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Final, Generic, ParamSpec, TypeVar

import gevent
import numpy as np

from sidecar.interfaces import Blob, ImageReader
from sidecar.model import Buffer, Pixels, Rect, Window
from sidecar.native import Outcome, Pending, Pool, outcome
from sidecar.plan import Band, Plan

P = ParamSpec("P")
T = TypeVar("T")

_FETCH_AHEAD: Final = 2
# Bands whose bytes are on their way at once: more would share the link, and the first of them come late.
_FETCH_AT_ONCE: Final = 2
_DECODE_AHEAD: Final = 1


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
        """Make it give up where it waits, and wait until it has."""
        self._greenlet.kill()

    def join(self) -> None:
        """Wait until it is over."""
        self._greenlet.join()


Fetched = tuple[Window, Sequence[Buffer]]
"""A piece of a band, and the bytes that decoding it takes."""


class Bands:
    """Iterates over a plan's bands as pixels, in the source's orientation; fetching and decoding run ahead.

    Pulled, never pushed: while nobody asks for the next band, one is decoded and two are fetched, no more.
    """

    def __init__(self, plan: Plan, blob: Blob, reader: ImageReader, pool: Pool) -> None:
        self._plan, self._blob, self._reader, self._pool = plan, blob, reader, pool
        self._waiting = deque(plan.bands)
        self._fetching: deque[tuple[Band, Sequence[Task[Fetched]]]] = deque()
        self._begun: deque[Sequence[Task[Fetched]]] = deque([()] * _FETCH_AT_ONCE, _FETCH_AT_ONCE)
        self._decoding: deque[tuple[Task[Pixels], Sequence[Task[Fetched]]]] = deque()
        self._closed = False
        self._advance()

    def __iter__(self) -> Iterator[Pixels]:
        """Raises what fetching and decoding raise."""
        while self._decoding:
            band = self._decoding[0][0].get()
            self._decoding.popleft()
            self._advance()
            yield band

    def close(self) -> None:
        """Stop what has not begun and wait out what runs in native code, so that the reader may be closed."""
        self._closed = True
        self._waiting.clear()
        for _, pieces in (*self._fetching, *self._decoding):
            for fetching in pieces:
                fetching.stop()
        for decoding, _ in self._decoding:
            decoding.join()
        self._fetching.clear()
        self._decoding.clear()

    def _advance(self) -> None:
        ahead = _DECODE_AHEAD if self._reader.info.parallel else 0
        while self._waiting and len(self._fetching) + len(self._decoding) <= ahead + _FETCH_AHEAD:
            band = self._waiting.popleft()
            before = self._begun[0]
            self._begun.append([Task(self._fetch, piece, before) for piece in band.pieces])
            self._fetching.append((band, self._begun[-1]))
        while self._fetching and len(self._decoding) <= ahead:
            band, pieces = self._fetching.popleft()
            self._decoding.append((Task(self._decode, band, pieces), pieces))

    def _fetch(self, piece: Rect, before: Sequence[Task[Fetched]]) -> Fetched:
        """Read a piece's bytes, once those of the pieces before are here."""
        for earlier in before:
            earlier.join()
        window = self._reader.window(self._plan.level, piece)
        return window, self._blob.read(window.ranges) if window.ranges else ()

    def _decode(self, band: Band, pieces: Sequence[Task[Fetched]]) -> Pixels:
        """A band, each piece of it decoded as soon as its bytes are here."""
        if len(pieces) == 1:
            return self._pool(self._read, *pieces[0].get())
        pixels = np.empty((band.region.height, band.region.width, self._reader.info.channels), np.uint8)
        pending: list[Pending[None]] = []
        try:
            for piece in pieces:
                if self._closed:
                    break
                pending.append(self._pool.spawn(self._place, pixels, band.region, *piece.get()))
                if not self._reader.info.parallel:
                    pending[-1].get()
        finally:
            for begun in pending:
                begun.wait()
            for piece in pieces:
                piece.stop()
        for begun in pending:
            begun.get()
        return pixels

    def _read(self, window: Window, data: Sequence[Buffer]) -> Pixels:
        """Decode a window. Runs in a native thread, which may have been long in coming free."""
        if self._closed:
            raise gevent.GreenletExit
        return self._reader.read(window, data)

    def _place(self, pixels: Pixels, band: Rect, window: Window, data: Sequence[Buffer]) -> None:
        """Decode a piece into its place in the band. Runs in a native thread."""
        x, y = window.region.x - band.x, window.region.y - band.y
        pixels[y : y + window.region.height, x : x + window.region.width] = self._read(window, data)
