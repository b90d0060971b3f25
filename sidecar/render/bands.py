"""Bands of the source, fetched and decoded ahead of the one in hand: no native call waits for bytes."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import NamedTuple, TypeAlias

import gevent
import numpy as np
from gevent.lock import Semaphore
from gevent.queue import Queue

from sidecar.limits.native_calls import Pending, Pool
from sidecar.observability.tracing import span
from sidecar.plugin import Blob, Buffer, Pixels, Rect, Window
from sidecar.render.fetch import Fetched, Fetcher, Link
from sidecar.render.plan import Plan
from sidecar.render.plugin_calls import plugin_call
from sidecar.render.reader_cache import OpenImage
from sidecar.render.shared_decode import noted
from sidecar.render.task import Task
from sidecar.render.tiling import Band
from sidecar.render.windows import window_of


class Piece(NamedTuple):
    """A piece of a band, and the bytes that decoding it takes."""

    window: Window
    data: Sequence[Buffer] = ()
    fetched: Fetched | None = None
    """Keeps the bytes shared with other windows that want the same."""


Decoding: TypeAlias = Callable[[], Pixels]
"""A band under way in native threads: called, it waits for the pixels, or raises what decoding raised."""


class Bands:
    """Iterates over a plan's bands as pixels, in the source's orientation; fetching and decoding run ahead.

    Pulled, never pushed: while nobody asks for the next band, only those of the plan's look-ahead are fetched and
    decoded. Pieces are decoded strictly in order, so that no thread works for a later band while an earlier one waits.
    """

    def __init__(self, plan: Plan, blob: Blob, image: OpenImage, pool: Pool, fetcher: Fetcher, first: int = 0) -> None:
        """`first`: the number of the band to begin with."""
        self._plan, self._blob, self._image, self._pool, self._fetcher = plan, blob, image, pool, fetcher
        self._waiting = deque(plan.bands[first:])
        self._fetching: deque[tuple[Band, Sequence[Task[Piece]]]] = deque()
        self._link = Link()
        self._turns = Semaphore(plan.lookahead.under_way)
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

    def stop(self) -> None:
        """Decode nothing more; `close` has to follow."""
        self._closed = True
        self._waiting.clear()

    def close(self) -> None:
        """Begin nothing more, neither here nor in native threads; calls that have begun there go on to their end.

        Called once.
        """
        self.stop()
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
        while self._waiting and len(self._fetching) < self._plan.lookahead.fetched:
            band = self._waiting.popleft()
            self._fetching.append((band, [Task(self._fetch, piece) for piece in band.pieces]))

    def _fetch(self, region: Rect) -> Piece:
        """Find out which bytes a piece takes, and read them when it is their turn."""
        with span("index", self._image.decoder), plugin_call(self._image.decoder, self._blob.name):
            window = window_of(self._image, self._plan.level, region, self._plan.tolerance)
        if not window.ranges:
            return Piece(window)
        fetched, data = self._fetcher.read(self._blob, window.ranges, self._link)
        return Piece(window, data, fetched)

    def _decode(self, band: Band, pieces: Sequence[Task[Piece]]) -> Decoding:
        """Begin a band, each piece of it as soon as its bytes are here and a thread is free."""
        pixels = np.empty((band.region.height, band.region.width, self._image.reader.info.channels), np.uint8)
        return partial(
            _whole, pixels, [self._pool.spawn(self._read, pixels, band.region, piece.get()) for piece in pieces]
        )

    def _read(self, pixels: Pixels, band: Rect, piece: Piece) -> None:
        """Decode a piece into its place in a band. Runs in a native thread, possibly long after it was begun."""
        if self._closed:
            raise gevent.GreenletExit
        region = piece.window.region
        x, y = region.x - band.x, region.y - band.y
        with span("decode", self._image.decoder, noted(region)), plugin_call(self._image.decoder, self._blob.name):
            self._image.reader.read(piece.window, piece.data, pixels[y : y + region.height, x : x + region.width])


def _whole(pixels: Pixels, pending: Iterable[Pending[None]]) -> Pixels:
    for piece in pending:
        piece.get()
    return pixels
