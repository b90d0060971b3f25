"""From which sockets a worker accepts connections: the common one, its own slots, and those that need help.

gunicorn's worker accepts from all sockets that it has, all the time. A slot is left to its owner as long as that one
answers there, and has not more to do than others (`slot_owners`).
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from time import monotonic, thread_time
from typing import Any, Final, Protocol

import gevent
from gevent.pool import Pool
from gevent.server import StreamServer

from sidecar.server.slot_owners import SlotOwners

_TURN: Final = 0.05
"""Seconds between two looks at the slots."""
_TAKEN: Final = 8
"""Connections taken in one turn of the event loop. gevent takes 100, before whose answers no other request goes on."""
_BUSY: Final = 0.85
"""The part of the time for which Python code may run in the event loop. Beyond it a worker cannot answer as fast as
processors decode, since only one thread at a time runs Python code (the GIL)."""
_MEMORY: Final = 0.9
"""How much of the last value counts in the next one: half a second at `_TURN`."""
Handle = Callable[[Any, socket.socket, Any], None]


class Door(StreamServer):
    """A listening socket, from which this worker may accept connections or not."""

    def __init__(self, listener: Any, slot: int | None, handle: Handle, pool: Pool) -> None:
        """`slot`: None for a socket that all workers accept from."""
        self.slot = slot
        self.is_open = slot is None
        super().__init__(listener, handle=partial(handle, listener), spawn=pool)

    def start_accepting(self) -> None:
        """Accept connections, if it is open; gevent calls this whenever a connection has ended."""
        if self.is_open:
            super().start_accepting()

    def set_open(self, *, wanted: bool) -> None:
        """Begin to accept connections, or leave them to others."""
        if wanted is self.is_open:
            return
        self.is_open = wanted
        if wanted:
            self.start_accepting()
        else:
            self.stop_accepting()

    def close(self) -> None:
        """Close the socket, after taking the connections that wait there.

        The kernel would reset them, and nginx would not ask again, since their requests might have been read.
        """
        with suppress(OSError):
            while not (self.closed or self.full()) and (waiting := self.do_read()):
                self.do_handle(*waiting)
        super().close()


class BusyTime:
    """Which part of the time the calling thread, that of the event loop, has run: of the last half second or so."""

    def __init__(self) -> None:
        self.part = 0.0
        self._since, self._used = monotonic(), thread_time()

    def look(self) -> None:
        """Take one measure."""
        now, used = monotonic(), thread_time()
        if now > self._since:
            part = (used - self._used) / (now - self._since)
            self.part = _MEMORY * self.part + (1 - _MEMORY) * part
        self._since, self._used = now, used


class Work(Protocol):
    """What the worker has to do."""

    @property
    def crowded(self) -> bool:
        """Whether another worker has less of it, whoever owns which slot."""
        ...

    @property
    def waits(self) -> bool:
        """Whether some of it waits for this worker's memory."""
        ...

    @property
    def draining(self) -> bool:
        """Whether it is about to end: it has no slots of its own any more, and helps at all of them."""
        ...


class Accepting:
    """The sockets of a worker. Belongs to one event loop."""

    def __init__(self, owners: SlotOwners, work: Callable[[], Work]) -> None:
        self._owners, self._work, self._process = owners, work, os.getpid()
        self._busy = BusyTime()
        self._doors: list[Door] = []
        self.connections = Pool(1)

    def begin(self, sockets: Mapping[Any, int | None], handle: Handle, most: int, *, alone: bool) -> None:
        """Accept connections, so many at once at most.

        `sockets`: with the slot of each, None for those that all workers accept from; `alone`: there is one worker.
        """
        self.connections = Pool(most)
        for listener, slot in sockets.items():
            listener.setblocking(1)
            door = Door(listener, slot, handle, self.connections)
            # Where all workers wait, none should take more than its part.
            door.max_accept = 1 if slot is None and not alone else _TAKEN
            door.start()
            self._doors.append(door)
        self.look()
        gevent.spawn(self._run)

    def close(self) -> None:
        """Accept no more."""
        for door in self._doors:
            door.close()
        self._doors = []

    def should_close(self, slot: int | None) -> bool:
        """Return whether a connection should end with this answer: on a new one another worker may take requests."""
        if slot is None:
            return self._work().crowded
        if self._owns(slot):
            return self._is_crowded() and self._others_are_idle()
        return self._owners.is_answered(slot)

    def look(self) -> None:
        """Report how this worker does, and open or close the doors to slots."""
        self._busy.look()
        crowded, draining = self._is_crowded(), self._work().draining
        for door in self._doors:
            if door.slot is None:
                continue
            own = self._owns(door.slot) and not draining
            if own:
                self._owners.report(door.slot, crowded=crowded)
            door.set_open(wanted=own or draining or self._helps(door.slot, crowded=crowded))

    def _is_crowded(self) -> bool:
        work = self._work()
        return work.crowded or work.waits or self._busy.part > _BUSY

    def _helps(self, slot: int, *, crowded: bool) -> bool:
        return not self._owners.is_answered(slot) or (self._owners.is_crowded(slot) and not crowded)

    def _others_are_idle(self) -> bool:
        others = [door.slot for door in self._doors if door.slot is not None and not self._owns(door.slot)]
        return any(self._owners.is_answered(slot) and not self._owners.is_crowded(slot) for slot in others)

    def _owns(self, slot: int) -> bool:
        return self._owners.owner(slot) == self._process

    def _run(self) -> None:
        while self._doors:
            self.look()
            gevent.sleep(_TURN)
