"""Memory as a budget: work takes a permit of its peak before it begins, and gives it back when all is over.

Two lanes share the budget. Large work may hold only part of it, so that tiles find room while whole images are made,
and no more of it runs at once than keeps the processors busy: the rest would hold memory and end no sooner.
Small work is let in first, and only work that fits is let in. Within a lane clients take turns, whatever number of
requests each has waiting; a client's own are first come, first served. So a crawler that asks for a thousand pictures
delays another client by one of them. Where the queue is full, room for a newcomer is made by refusing the last request
of whoever has most waiting, if that is more than the newcomer has: a crawler cannot fill the queue either (the idea of
fair queueing with longest-queue drop, B. Suter et al., "Design considerations for supporting TCP with per-flow
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

_RESERVED: Final = 4
"""The part of the budget that large work leaves to small work: one in so many."""
_LOOK: Final = 1.0
"""Seconds between two looks whether somebody still waits for the answer."""


def _nothing() -> None:
    pass


@dataclass(eq=False, slots=True)
class _Waiter:
    """A request in a lane's queue. It is woken when it is granted its permit, or refused."""

    size: int
    client: str
    woken: Event = field(default_factory=Event)
    refused: bool = False


@dataclass(eq=False, slots=True)
class _Lane:
    """One lane: what it may hold, what it holds, who waits: by client, whose turn it is first."""

    limit: int
    places: int
    """How many permits at once."""
    held: int = 0
    holders: int = 0
    queues: OrderedDict[str, deque[_Waiter]] = field(default_factory=OrderedDict)
    waiting: int = 0

    def join(self, waiter: _Waiter) -> None:
        """Wait behind all others of the same client."""
        self.queues.setdefault(waiter.client, deque()).append(waiter)
        self.waiting += 1

    def leave(self, waiter: _Waiter) -> None:
        """Wait no longer."""
        queue = self.queues[waiter.client]
        queue.remove(waiter)
        if not queue:
            del self.queues[waiter.client]
        self.waiting -= 1

    @property
    def next(self) -> _Waiter:
        """Whose turn it is."""
        return next(iter(self.queues.values()))[0]

    def admit(self, waiter: _Waiter) -> None:
        """Grant a permit; the client's next turn comes after all others'."""
        self.leave(waiter)
        if waiter.client in self.queues:
            self.queues.move_to_end(waiter.client)
        self.hold(waiter.size, 1)
        waiter.woken.set()

    def hold(self, size: int, permits: int) -> None:
        """Hold so much more, or less."""
        self.held += size
        self.holders += permits


class Permits:
    """The memory budget of a worker, in bytes. Belongs to one event loop."""

    def __init__(self, budget: int, queue: int, patience: float, large: int = 1000) -> None:
        """`large`: how many large works at once; more than keep the processors busy only hold memory."""
        self.budget = budget
        self._patience = patience
        self._longest = queue
        self._small = _Lane(budget, places=budget)
        self._large = _Lane(budget - budget // _RESERVED, places=large)

    @property
    def held(self) -> int:
        """Bytes promised to work under way."""
        return self._small.held + self._large.held

    @property
    def waiting(self) -> int:
        """How many wait for a permit."""
        return self._small.waiting + self._large.waiting

    @property
    def full(self) -> bool:
        """Whether as many wait as may."""
        return self.waiting >= max(1, self._longest)

    def largest(self, *, large: bool) -> int:
        """The most bytes one permit can have."""
        return (self._large if large else self._small).limit

    @contextmanager
    def take(
        self, size: int, *, large: bool, client: str = "", proceed: Callable[[], None] = _nothing
    ) -> Iterator[None]:
        """Hold a permit of `size` bytes; waits for it as long as patience lasts.

        While it waits, `proceed` is called every second: it may raise, where nobody waits for the answer any more.
        Raises TooLarge where it could never be had, Overloaded where the queue is full or patience has run out.
        """
        lane = self._large if large else self._small
        if size > lane.limit:
            raise TooLarge(size, lane.limit)
        waiter = _Waiter(size, client)
        lane.join(waiter)
        self._admit()
        try:
            if not waiter.woken.is_set():
                self._make_room(waiter)
                self._wait(waiter, proceed)
        except BaseException:
            self._forget(lane, waiter)
            raise
        try:
            yield
        finally:
            lane.hold(-size, -1)
            self._admit()

    def _make_room(self, newcomer: _Waiter) -> None:
        """Where more wait than may, refuse the last of the client that has most waiting; at a tie, the newcomer."""
        if self.waiting <= self._longest:
            return
        queues = [(lane, queue) for lane in (self._small, self._large) for queue in lane.queues.values()]
        lane, queue = max(queues, key=lambda found: (len(found[1]), found[1][-1] is newcomer))
        last = queue[-1]
        lane.leave(last)
        last.refused = True
        last.woken.set()

    def _wait(self, waiter: _Waiter, proceed: Callable[[], None]) -> None:
        ends = monotonic() + self._patience
        while not waiter.woken.wait(max(0.0, min(_LOOK, ends - monotonic()))):
            if monotonic() >= ends:
                raise Overloaded("no memory came free in time; try again later")
            proceed()
        if waiter.refused:
            raise Overloaded("too many requests wait already; try again later")

    def _forget(self, lane: _Lane, waiter: _Waiter) -> None:
        """Leave the queue; or give back what was granted in the very moment of leaving."""
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
