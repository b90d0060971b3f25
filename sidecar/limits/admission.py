"""Memory as a budget: a response takes a permit of its peak before it begins, and returns it when it is over.

Two lanes share the budget. Large responses may hold only part of it, so that tiles find room while whole images are
made, and no more of them run at once than keep the processors busy: the rest would hold memory and finish no sooner.
Small ones are admitted first, and only what fits is admitted. Within a lane clients take turns, whatever number of
requests each has waiting; those of one client are first come, first served. So a crawler that asks for a thousand
pictures delays another client by one of them. If the queue is full, room for a new request is made by refusing the last
request of the client with most waiting, if that is more than the new one's client has: a crawler cannot fill the queue
either (fair queueing with longest-queue drop, B. Suter et al., "Design considerations for supporting TCP with per-flow
queueing", 1998). Images are not told apart: what matters is who waits.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import monotonic
from typing import Final

from gevent.event import Event

from sidecar.errors import Overloaded, TooLarge
from sidecar.observability.tracing import span

_RESERVED: Final = 4
"""The part of the budget that large responses leave to small ones: one in so many."""
_CHECK_EVERY: Final = 1.0
"""Seconds between two checks whether the client still waits."""


def _nothing() -> None:
    pass


@dataclass(eq=False, slots=True)
class _Waiter:
    """A request in a lane's queue. It is woken when its permit is granted, or when it is refused."""

    size: int
    client: str
    woken: Event = field(default_factory=Event)
    refused: bool = False


@dataclass(eq=False, slots=True)
class _Lane:
    """One lane: what it may hold, what it holds, and the requests that wait, by client in the order of their turns."""

    limit: int
    places: int
    """Permits at once."""
    held: int = 0
    holders: int = 0
    queues: OrderedDict[str, deque[_Waiter]] = field(default_factory=OrderedDict)
    waiting: int = 0

    def join(self, waiter: _Waiter) -> None:
        """Add a request behind all others of the same client."""
        self.queues.setdefault(waiter.client, deque()).append(waiter)
        self.waiting += 1

    def leave(self, waiter: _Waiter) -> None:
        """Remove a request from the queue."""
        queue = self.queues[waiter.client]
        queue.remove(waiter)
        if not queue:
            del self.queues[waiter.client]
        self.waiting -= 1

    @property
    def next(self) -> _Waiter:
        """The request whose turn it is."""
        return next(iter(self.queues.values()))[0]

    def admit(self, waiter: _Waiter) -> None:
        """Grant a permit; the client's next turn comes after those of all others."""
        self.leave(waiter)
        if waiter.client in self.queues:
            self.queues.move_to_end(waiter.client)
        self.hold(waiter.size, 1)
        waiter.woken.set()

    def hold(self, size: int, permits: int) -> None:
        """Count bytes and permits that are granted, or returned if negative."""
        self.held += size
        self.holders += permits


class Admission:
    """The memory budget of a worker, in bytes. Belongs to one event loop."""

    def __init__(self, budget: int, queue: int, timeout: float, large: int = 1000) -> None:
        """`queue`: requests that may wait; `timeout`: seconds that each may; `large`: large responses at once."""
        self.budget = budget
        self._timeout = timeout
        self._longest = queue
        self._small = _Lane(budget, places=budget)
        self._large = _Lane(budget - budget // _RESERVED, places=large)

    @property
    def held(self) -> int:
        """Bytes promised to responses under way."""
        return self._small.held + self._large.held

    @property
    def waiting(self) -> int:
        """Requests that wait for a permit."""
        return self._small.waiting + self._large.waiting

    @property
    def full(self) -> bool:
        """Whether as many requests wait as may."""
        return self.waiting >= max(1, self._longest)

    def largest(self, *, large: bool) -> int:
        """Return the most bytes that one permit can have."""
        return (self._large if large else self._small).limit

    @contextmanager
    def take(
        self, size: int, *, large: bool, client: str = "", check_alive: Callable[[], None] = _nothing
    ) -> Iterator[None]:
        """Hold a permit of `size` bytes; waits for it until the timeout.

        `check_alive` is called every second meanwhile: it may raise if the client is gone. Raises TooLarge if the
        permit could never be granted, Overloaded if the queue is full or the timeout has passed.
        """
        lane = self._large if large else self._small
        if size > lane.limit:
            raise TooLarge(size, lane.limit)
        waiter = _Waiter(size, client)
        lane.join(waiter)
        self._admit()
        try:
            with span("queue"):
                self._queue(waiter, check_alive)
        except BaseException:
            self._forget(lane, waiter)
            raise
        try:
            yield
        finally:
            lane.hold(-size, -1)
            self._admit()

    def _queue(self, waiter: _Waiter, check_alive: Callable[[], None]) -> None:
        if not waiter.woken.is_set():
            self._make_room(waiter)
            self._wait(waiter, check_alive)

    def _make_room(self, newcomer: _Waiter) -> None:
        """If more wait than may, refuse the last request of the client with most waiting; at a tie, the new one."""
        if self.waiting <= self._longest:
            return
        queues = [(lane, queue) for lane in (self._small, self._large) for queue in lane.queues.values()]
        lane, queue = max(queues, key=lambda found: (len(found[1]), found[1][-1] is newcomer))
        last = queue[-1]
        lane.leave(last)
        last.refused = True
        last.woken.set()

    def _wait(self, waiter: _Waiter, check_alive: Callable[[], None]) -> None:
        ends = monotonic() + self._timeout
        while not waiter.woken.wait(max(0.0, min(_CHECK_EVERY, ends - monotonic()))):
            if monotonic() >= ends:
                raise Overloaded("no memory came free in time; try again later")
            check_alive()
        if waiter.refused:
            raise Overloaded("too many requests wait already; try again later")

    def _forget(self, lane: _Lane, waiter: _Waiter) -> None:
        """Leave the queue, or return the permit that was granted in the very moment of leaving."""
        if waiter.refused:
            return
        if waiter.woken.is_set():
            lane.hold(-waiter.size, -1)
        else:
            lane.leave(waiter)
        self._admit()

    def _admit(self) -> None:
        for lane in (self._small, self._large):
            while lane.waiting and self._fits(lane, lane.next.size):
                lane.admit(lane.next)

    def _fits(self, lane: _Lane, size: int) -> bool:
        return lane.holders < lane.places and lane.held + size <= lane.limit and self.held + size <= self.budget
