"""A lane of the memory budget: what it may hold, who holds it, and who waits, client by client.

A permit is two things: bytes, promised until the response is over and nothing of it is in memory any more, and a place
among those that compute. The place is given back as soon as the response computes nothing: while its client takes what
was made, if somebody else wants the place, and when its request is over, whatever native calls still run for it.

If somebody else wants the bytes, a response whose client does not read is paused: it drops what can be made again, and
asks for the bytes when it goes on. All that are paused hold so little together that any one of them can go on when
nobody else holds anything: so they never wait for each other (E. W. Dijkstra's banker's algorithm, EWD 623).
"""

from __future__ import annotations

from collections import Counter, OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from gevent.event import Event

_LENT: Final = 0.5
"""Seconds that a client may take for a chunk before the response's place is given to another."""


@dataclass(eq=False, slots=True)
class Permit:
    """What a response has of a lane, or waits for."""

    size: int
    """Bytes, until the response is over."""
    client: str
    woken: Event = field(default_factory=Event)
    """Set when the permit or the place is granted, or when the request is refused."""
    refused: bool = False
    placed: bool = False
    """Whether it has a place."""
    lent_since: float = 0.0
    peak: int = 0
    """Bytes with which it computes."""
    rest: int = 0
    """Bytes that it holds while it is paused."""
    pause: Callable[[], bool] | None = None
    """Drops the others, and returns True; False if that is not possible now. None: never is."""


@dataclass(eq=False, slots=True)
class Lane:
    """One lane: what it may hold, what it holds, and the requests that wait, by client in the order of their turns."""

    limit: int
    """Bytes."""
    places: int
    """Responses that compute at once."""
    share: int
    """Bytes that one client may hold by several responses."""
    held: int = 0
    placed: int = 0
    held_by: Counter[str] = field(default_factory=Counter)
    queues: OrderedDict[str, deque[Permit]] = field(default_factory=OrderedDict)
    waiting: int = 0
    lent: OrderedDict[Permit, None] = field(default_factory=OrderedDict)
    """Those whose client takes a chunk, the longest first; they keep their places while nobody else wants them."""
    returning: deque[Permit] = field(default_factory=deque)
    """Those without a place that have to go on."""
    paused: set[Permit] = field(default_factory=set)
    """Those that have dropped what can be made again."""

    def join(self, permit: Permit) -> None:
        """Add a request behind all others of the same client."""
        self.queues.setdefault(permit.client, deque()).append(permit)
        self.waiting += 1

    def leave(self, permit: Permit) -> None:
        """Remove a request from the queue."""
        queue = self.queues[permit.client]
        queue.remove(permit)
        if not queue:
            del self.queues[permit.client]
        self.waiting -= 1

    @property
    def next(self) -> Permit | None:
        """The request whose turn it is: those of clients that hold their share already are passed over."""
        return next((queue[0] for queue in self.queues.values() if self._within_share(queue[0])), None)

    def admit(self, permit: Permit) -> None:
        """Grant a permit; the client's next turn comes after those of all others."""
        self.leave(permit)
        if permit.client in self.queues:
            self.queues.move_to_end(permit.client)
        permit.peak = permit.size
        self._hold(permit, permit.size)
        self.place(permit)

    def release(self, permit: Permit) -> None:
        """Take back the bytes, and the place if it is still there."""
        self.displace(permit)
        self.paused.discard(permit)
        self._hold(permit, -permit.size)

    def place(self, permit: Permit) -> None:
        """Grant a place, and the bytes that a paused response needs to go on."""
        if permit in self.paused:
            self.paused.discard(permit)
            self._hold(permit, permit.peak - permit.size)
            permit.size = permit.peak
        self.placed += 1
        permit.placed = True
        permit.woken.set()

    def displace(self, permit: Permit) -> None:
        """Take back the place, or end the wait for one."""
        self.lent.pop(permit, None)
        if permit in self.returning:
            self.returning.remove(permit)
        self._free_place(permit)

    def lend(self, permit: Permit, now: float) -> None:
        """Note that a response computes nothing from now on: others may have its place."""
        permit.lent_since = now
        self.lent[permit] = None

    def has_room(self, now: float) -> bool:
        """Report whether there is a place; takes one back that has been lent for long enough."""
        if self.placed < self.places:
            return True
        longest = next((permit for permit in self.lent if permit.placed), None)
        if longest is None or now - longest.lent_since < _LENT:
            return False
        self._free_place(longest)
        return True

    def missing(self, permit: Permit) -> int:
        """Return the bytes that a response needs to go on."""
        return permit.peak - permit.size if permit in self.paused else 0

    def make_room(self, size: int, now: float) -> None:
        """Pause responses whose clients have not read for long enough, until so many bytes are free; or none."""
        found = [permit for permit in self.lent if now - permit.lent_since >= _LENT and self._may_pause(permit)]
        if self.held + size - sum(permit.size - permit.rest for permit in found) > self.limit:
            return
        for permit in found:
            if self.held + size > self.limit and self._may_pause(permit) and permit.pause and permit.pause():
                self._free_place(permit)
                self._hold(permit, permit.rest - permit.size)
                permit.size = permit.rest
                self.paused.add(permit)

    def _free_place(self, permit: Permit) -> None:
        self.placed -= permit.placed
        permit.placed = False

    def _may_pause(self, permit: Permit) -> bool:
        if permit.pause is None or permit.rest >= permit.size:
            return False
        every = [*self.paused, permit]
        rest = sum(each.rest for each in every)
        return all(rest - each.rest + each.peak <= self.limit for each in every)

    def _hold(self, permit: Permit, change: int) -> None:
        self.held += change
        self.held_by[permit.client] += change
        if not self.held_by[permit.client]:
            del self.held_by[permit.client]

    def _within_share(self, permit: Permit) -> bool:
        held = self.held_by.get(permit.client, 0)
        return not held or held + permit.size <= self.share
