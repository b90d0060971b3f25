"""Who waits for a processor: clients take turns, whatever number of requests each has waiting."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterator
from typing import Generic, Protocol, TypeVar


class Waits(Protocol):
    """What waits."""

    @property
    def client(self) -> str:
        """The name of the client that it is for."""
        ...


W = TypeVar("W", bound=Waits)


class Waiting(Generic[W]):
    """Those that wait, by client in the order of their turns; those of one client first come, first served."""

    def __init__(self) -> None:
        self._queues: OrderedDict[str, deque[W]] = OrderedDict()

    def __len__(self) -> int:
        """Return how many wait."""
        return sum(map(len, self._queues.values()))

    def __iter__(self) -> Iterator[W]:
        """Return all, in the order of the turns of their clients."""
        for queue in self._queues.values():
            yield from queue

    def join(self, one: W) -> None:
        """Add one behind all others of the same client."""
        self._queues.setdefault(one.client, deque()).append(one)

    def next(self) -> W:
        """Remove and return the one whose turn it is; the client's next turn comes after those of all others."""
        client, queue = next(iter(self._queues.items()))
        self._queues.move_to_end(client)
        first = queue[0]
        self.leave(first)
        return first

    def leave(self, one: W) -> None:
        """Remove one; does nothing if it does not wait."""
        queue = self._queues.get(one.client, deque())
        if one in queue:
            queue.remove(one)
            if not queue:
                del self._queues[one.client]
