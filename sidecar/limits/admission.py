"""Memory as a budget: a response takes a permit of its peak before it begins, and returns it when it is over.

Two lanes share the budget. Large responses may hold only part of it, so that tiles find room while whole images are
made, and no more of them run at once than keep the processors busy: the rest would hold memory and finish no sooner.
Small ones are admitted first, and only what fits is admitted. Within a lane clients take turns, whatever number of
requests each has waiting; those of one client are first come, first served. So a crawler that asks for a thousand
pictures delays another client by one of them. If the queue is full, room for a new request is made by refusing the last
request of the client with most waiting, if that is more than the new one's client has: a crawler cannot fill the queue
either (fair queueing with longest-queue drop, B. Suter et al., "Design considerations for supporting TCP with per-flow
queueing", 1998). Images are not told apart: what matters is who waits.

Large responses of one client hold at most a share of their lane, since memory once granted cannot be taken back. A
response whose client does not read gives place and bytes to another meanwhile (`sidecar.limits.lane`).
If native calls have not returned for a while, those that wait are handed over at once: their patience would not help.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic
from typing import Final

from sidecar.errors import Overloaded, Stalled, TooLarge
from sidecar.limits.lane import Lane, Permit
from sidecar.observability.tracing import span

_RESERVED: Final = 4
"""The part of the budget that large responses leave to small ones: one in so many."""
_CHECK_EVERY: Final = 1.0
"""Seconds between two checks whether the client still waits, and whether anything still moves."""


def _nothing() -> None:
    pass


def _never(_large: bool) -> bool:  # noqa: FBT001  # a lane
    return False


class Place:
    """The permit of a response under way: its place may be lent while the client takes a chunk."""

    def __init__(self, admission: Admission, lane: Lane, permit: Permit, check_alive: Callable[[], None]) -> None:
        self._admission, self._lane, self._permit, self._check_alive = admission, lane, permit, check_alive

    def pausable(self, rest: int, pause: Callable[[], bool]) -> None:
        """Let the response be paused while its place is lent: `pause` drops all but `rest` bytes, if it returns True.

        It is called in the event loop, and must not wait. `resume` gets the bytes back.
        """
        self._permit.rest, self._permit.pause = rest, pause

    def lend(self) -> None:
        """Compute nothing from here on: whoever waits may have the place."""
        if self._permit.placed:
            self._lane.lend(self._permit, monotonic())

    def resume(self) -> None:
        """Go on; waits for a place if another response has it, before those that have not begun."""
        self._lane.lent.pop(self._permit, None)
        if not self._permit.placed:
            self._admission.wait_for_place(self._lane, self._permit, self._check_alive)

    def keep(self, size: int) -> Callable[[], None]:
        """Keep some of the bytes when the permit ends; returns what gives them back, which may be called twice."""
        # Nothing of this object, which leads back to the request that keeps what is returned.
        permit, lane, admission = self._permit, self._lane, self._admission
        kept = Permit(min(size, permit.size), permit.client)
        permit.size -= kept.size

        def give_back() -> None:
            lane.release(kept)
            kept.size = 0
            admission.admit()

        return give_back

    def leave(self) -> None:
        """Give the place back for good; the bytes stay counted until the permit ends."""
        self._lane.displace(self._permit)
        self._admission.admit()


class Admission:
    """The memory budget of a worker, in bytes. Belongs to one event loop."""

    def __init__(
        self,
        budget: int,
        queue: int,
        timeout: float,
        large: int = 1000,
        *,
        share: float = 1.0,
        stalled: Callable[[bool], bool] = _never,
    ) -> None:
        """`queue`: requests that may wait; `timeout`: seconds that each may; `large`: large responses at once.

        `share`: the part of the large lane's bytes that one client may hold; `stalled` returns whether the native calls
        of the large (True) or small responses have not returned for a while.
        """
        self.budget = budget
        self.leaving = False
        """Whether the worker is about to end, so that nobody should wait here."""
        self._timeout = timeout
        self._longest = queue
        self._stalled = stalled
        self._small = Lane(budget, places=budget, share=budget)
        most = budget - budget // _RESERVED
        self._large = Lane(most, places=large, share=int(most * share))

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

    @property
    def stalled(self) -> bool:
        """Whether native calls have not returned for a while."""
        return any(self._stalled(lane is self._large) for lane in (self._small, self._large))

    def largest(self, *, large: bool) -> int:
        """Return the most bytes that one permit can have."""
        return (self._large if large else self._small).limit

    @contextmanager
    def take(
        self, size: int, *, large: bool, client: str = "", check_alive: Callable[[], None] = _nothing
    ) -> Iterator[Place]:
        """Hold a permit of `size` bytes; waits for it until the timeout.

        `check_alive` is called every second meanwhile: it may raise if the client is gone. Raises TooLarge if the
        permit could never be granted, Overloaded if the queue is full or the timeout has passed, Stalled if waiting is
        of no use.
        """
        lane = self._large if large else self._small
        if size > lane.limit:
            raise TooLarge(size, lane.limit)
        permit = Permit(size, client)
        lane.join(permit)
        self.admit()
        try:
            with span("wait"):
                self._queue(lane, permit, check_alive)
        except BaseException:
            self._forget(lane, permit)
            raise
        try:
            yield Place(self, lane, permit, check_alive)
        finally:
            lane.release(permit)
            self.admit()

    def admit(self) -> None:
        """Give free places to responses that go on, then permits to requests that wait."""
        now = monotonic()
        for lane in (self._small, self._large):
            while (permit := self._next_to_return(lane, now)) is not None and lane.has_room(now):
                lane.returning.remove(permit)
                lane.place(permit)
            if lane.returning:
                continue  # what comes free is for those that have begun
            while (permit := lane.next) is not None and self._fits(lane, permit.size, now) and lane.has_room(now):
                lane.admit(permit)

    def wait_for_place(self, lane: Lane, permit: Permit, check_alive: Callable[[], None]) -> None:
        """Wait until a response that is under way has a place again."""
        permit.woken.clear()
        lane.returning.append(permit)
        self.admit()
        while not permit.woken.wait(_CHECK_EVERY):
            check_alive()
            self.admit()

    def _queue(self, lane: Lane, permit: Permit, check_alive: Callable[[], None]) -> None:
        if not permit.woken.is_set():
            self._make_room(permit)
            self._wait(lane, permit, check_alive)

    def _make_room(self, newcomer: Permit) -> None:
        """If more wait than may, refuse the last request of the client with most waiting; at a tie, the new one."""
        if self.waiting <= self._longest:
            return
        queues = [(lane, queue) for lane in (self._small, self._large) for queue in lane.queues.values()]
        lane, queue = max(queues, key=lambda found: (len(found[1]), found[1][-1] is newcomer))
        last = queue[-1]
        lane.leave(last)
        last.refused = True
        last.woken.set()

    def _wait(self, lane: Lane, permit: Permit, check_alive: Callable[[], None]) -> None:
        ends = monotonic() + self._timeout
        self._check_movement(lane, permit)
        while not permit.woken.wait(max(0.0, min(_CHECK_EVERY, ends - monotonic()))):
            if monotonic() >= ends:
                raise Overloaded("no memory came free in time; try again later")
            check_alive()
            self.admit()  # places that have been lent since
            self._check_movement(lane, permit)
        if permit.refused:
            raise Overloaded("too many requests wait already; try again later")

    def _check_movement(self, lane: Lane, permit: Permit) -> None:
        if not permit.woken.is_set() and (self.leaving or self._stalled(lane is self._large)):
            raise Stalled("native calls have not returned for a while; try again later")

    def _forget(self, lane: Lane, permit: Permit) -> None:
        """Leave the queue, or return the permit that was granted in the very moment of leaving."""
        if permit.refused:
            return
        if permit.woken.is_set():
            lane.release(permit)
        else:
            lane.leave(permit)
        self.admit()

    def _next_to_return(self, lane: Lane, now: float) -> Permit | None:
        """Return the first that may go on: one that has its bytes must not wait for one that needs them."""
        return next((each for each in lane.returning if self._fits(lane, lane.missing(each), now)), None)

    def _fits(self, lane: Lane, size: int, now: float) -> bool:
        if lane.held + size > lane.limit:
            lane.make_room(size, now)
        return lane.held + size <= lane.limit and self.held + size <= self.budget
