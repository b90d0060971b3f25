"""A store that a fleet shares, with its time and its failures bounded: one that is ill is left alone for a while."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from functools import partial
from typing import Final, TypeVar

import gevent
from gevent.lock import BoundedSemaphore

from sidecar.plugin import CountedCache, StoreState, Tally
from sidecar_jp2.store.back_end import BackEnd, ReadOnly, StoreError
from sidecar_jp2.store.breaker import Breaker

T = TypeVar("T")

log = logging.getLogger(__name__)

SHARED: Final = CountedCache(
    "jp2_shared", "packet indexes shared with other machines (`SIDECAR_JP2_INDEX_URL`); looked up if not on disk"
)
FAILURES: Final = Tally("jp2_shared_failures", "calls of the shared store of packet indexes that failed")
SKIPPED: Final = Tally("jp2_shared_skipped", "calls of that store that were not made, since it had just failed")
WRITTEN: Final = Tally("jp2_shared_written", "packet indexes written to that store")
READ_SECONDS: Final = 0.5
"""A request waits so long for the store, once; without an index it waits for some rounds at the source instead."""
WRITE_SECONDS: Final = 3.0
"""Nobody waits for writes."""
ATTEMPTS: Final = 3
"""Of those who fill a store ahead."""
AT_ONCE: Final = 16
"""Calls under way."""
PROBE: Final = "probe"
"""The key of an entry that is there for examinations."""


class SharedStore:
    """A back end behind two circuit breakers, for reads and for writes. Its methods are called in greenlets."""

    def __init__(self, back_end: BackEnd) -> None:
        self._back_end = back_end
        self._reads, self._writes = Breaker(READ_SECONDS), Breaker(WRITE_SECONDS)
        self._turns = BoundedSemaphore(AT_ONCE)
        self.name = back_end.name
        self.place = back_end.place

    def get(self, key: str, most: int) -> bytes | None:
        """Return the first `most` bytes of an entry; None if there is none, or if the store does not answer."""
        try:
            data = self._tried(self._reads, READ_SECONDS, lambda: self._back_end.get(key, most))
        except StoreError:
            return None
        return data

    def put(self, key: str, data: bytes) -> bool:
        """Store an entry; returns whether that worked."""
        try:
            self._tried(self._writes, WRITE_SECONDS, partial(self._back_end.put, key, data))
        except StoreError:
            return False
        WRITTEN.add()
        return True

    def put_surely(self, key: str, data: bytes) -> bool:
        """Store an entry, whatever has failed before, in several attempts; returns whether that worked."""
        for _ in range(ATTEMPTS):
            try:
                _within(WRITE_SECONDS, partial(self._back_end.put, key, data))
            except ReadOnly:
                break
            except StoreError as error:
                log.warning("%s: a packet index could not be written: %s", self.place, error)
            else:
                WRITTEN.add()
                return True
        return False

    def examine(self) -> StoreState:
        """Ask for an entry and write it, whatever has failed before."""
        began = time.monotonic()
        problem, writable = "", True
        try:
            _within(WRITE_SECONDS, lambda: self._back_end.get(PROBE, 1))
            _within(WRITE_SECONDS, lambda: self._back_end.put(PROBE, b"sidecar"))
        except ReadOnly:
            writable = False
        except StoreError as error:
            problem, writable = str(error), False
        return StoreState(self.place, (time.monotonic() - began) * 1000, problem, writable)

    def close(self) -> None:
        """Close the connections."""
        self._back_end.close()

    def _tried(self, breaker: Breaker, seconds: float, call: Callable[[], T]) -> T:
        """Call, unless that has just failed. Raises StoreError."""
        if not breaker.allows():
            SKIPPED.add()
            raise StoreError("it has just failed")
        try:
            found = _within(seconds, partial(self._in_turn, call))
        except StoreError as error:
            FAILURES.add()
            if not breaker.broken:
                log.warning("%s does not keep packet indexes at the moment: %s", self.place, error)
            breaker.failed()
            raise
        breaker.succeeded()
        return found

    def _in_turn(self, call: Callable[[], T]) -> T:
        with self._turns:
            return call()


def _within(seconds: float, call: Callable[[], T]) -> T:
    """Call, and give up after some seconds, whatever the call does meanwhile. Raises StoreError."""
    timer = gevent.Timeout(seconds)
    try:
        with timer:
            return call()
    except gevent.Timeout as expired:
        if expired is not timer:
            raise
        expired.__traceback__ = None  # it leads back to this frame
        raise StoreError(f"no answer within {seconds:g} s") from None
