"""Memory as a budget: work takes a permit of its peak before it begins, and gives it back when all is over.

Two lanes share the budget. Large work may hold only part of it, so that tiles find room while whole images are made.
Within a lane the order is first come, first served; small work is let in first, and only work that fits is let in.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from gevent import Timeout
from gevent.event import Event

from sidecar.errors import Overloaded, TooLarge

# The part of the budget that large work leaves to small work.
_RESERVED = 4


@dataclass(eq=False, slots=True)
class _Waiter:
    """Someone in a lane's queue."""

    size: int
    granted: Event = field(default_factory=Event)


@dataclass(slots=True)
class _Lane:
    """One lane: what it may hold, what it holds, who waits."""

    limit: int
    held: int = 0
    queue: deque[_Waiter] = field(default_factory=deque)


class Permits:
    """The memory budget of a worker, in bytes. Belongs to one event loop."""

    def __init__(self, budget: int, queue: int, patience: float) -> None:
        self.budget = budget
        self._patience = patience
        self._longest = queue
        self._small = _Lane(budget)
        self._large = _Lane(budget - budget // _RESERVED)

    @property
    def held(self) -> int:
        """Bytes promised to work under way."""
        return self._small.held + self._large.held

    @property
    def waiting(self) -> int:
        """How many wait for a permit."""
        return len(self._small.queue) + len(self._large.queue)

    def largest(self, *, large: bool) -> int:
        """The most bytes one permit can have."""
        return (self._large if large else self._small).limit

    @contextmanager
    def take(self, size: int, *, large: bool) -> Iterator[None]:
        """Hold a permit of `size` bytes; waits for it as long as patience lasts.

        Raises TooLarge where it could never be had, Overloaded where the queue is full or patience has run out.
        """
        lane = self._large if large else self._small
        if size > lane.limit:
            raise TooLarge(f"this answer takes about {size >> 20} MiB of memory; the limit is {lane.limit >> 20} MiB")
        self._enter(lane, size)
        try:
            yield
        finally:
            lane.held -= size
            self._admit()

    def _enter(self, lane: _Lane, size: int) -> None:
        waiter = _Waiter(size)
        lane.queue.append(waiter)
        self._admit()
        if waiter.granted.is_set():
            return
        if self.waiting > self._longest:
            lane.queue.remove(waiter)
            raise Overloaded("too many requests wait already; try again later")
        try:
            with Timeout(self._patience, Overloaded("no memory came free in time; try again later")):
                waiter.granted.wait()
        except BaseException:
            self._forget(lane, waiter)
            raise

    def _forget(self, lane: _Lane, waiter: _Waiter) -> None:
        """Leave the queue; or give back what was granted in the very moment of leaving."""
        if waiter.granted.is_set():
            lane.held -= waiter.size
        else:
            lane.queue.remove(waiter)
        self._admit()

    def _admit(self) -> None:
        for lane in (self._small, self._large):
            while lane.queue and self._fits(lane, lane.queue[0].size):
                waiter = lane.queue.popleft()
                lane.held += waiter.size
                waiter.granted.set()

    def _fits(self, lane: _Lane, size: int) -> bool:
        return lane.held + size <= lane.limit and self.held + size <= self.budget
