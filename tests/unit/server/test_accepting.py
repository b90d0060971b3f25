"""From which sockets a worker accepts connections."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import gevent
import pytest
from gevent import socket as cooperative

from sidecar.server import slot_owners
from sidecar.server.accepting import Accepting, BusyTime
from sidecar.server.slot_owners import SlotOwners

US, OTHER = os.getpid(), 1
COMMON, OURS, THEIRS = None, 0, 1


@dataclass
class Working:
    """What a worker has to do, as a test says."""

    crowded: bool = False
    waits: bool = False
    draining: bool = False


def listening() -> cooperative.socket:
    """Return a socket as workers have them."""
    made = cooperative.socket()
    made.bind(("127.0.0.1", 0))
    made.listen(5)
    return made


class Door:
    """A worker of which a test sees at which sockets it accepts."""

    def __init__(self, stack: ExitStack) -> None:
        self.work, self.owners = Working(), SlotOwners()
        self.owners.assign(2, 2, [US, OTHER])
        self.report()
        self.listeners = {slot: stack.enter_context(listening()) for slot in (COMMON, OURS, THEIRS)}
        self.accepted: list[int | None] = []
        self.accepting = Accepting(self.owners, lambda: self.work)
        by_listener = {listener: slot for slot, listener in self.listeners.items()}

        def handle(listener: object, client: socket.socket, _: object) -> None:
            self.accepted.append(by_listener[listener])  # type: ignore[index]  # one of them
            client.close()

        self.accepting.begin(by_listener, handle, 10, alone=False)
        stack.callback(self.accepting.close)

    def report(self, *, crowded: bool = False) -> None:
        """Let the other worker show a sign of life."""
        self.owners.report(THEIRS, crowded=crowded)

    def open(self) -> set[int | None]:
        """Return the slots at which a connection is taken now."""
        self.accepting.look()
        self.accepted.clear()
        with ExitStack() as clients:
            for listener in self.listeners.values():
                clients.enter_context(cooperative.create_connection(listener.getsockname()))
            # Not one sleep: if the process is held up, it is over in the very turn in which the loop sees connections.
            for _ in range(5):
                gevent.sleep(0.002)
        return {*self.accepted}


@pytest.fixture
def door(monkeypatch: pytest.MonkeyPatch) -> Iterator[Door]:
    """Yield a worker that owns one of two slots, at a moment that does not pass."""
    monkeypatch.setattr(slot_owners, "monotonic", lambda: 100.0)
    with ExitStack() as stack:
        yield Door(stack)


def test_a_slot_is_left_to_its_owner(door: Door) -> None:
    """A worker accepts from the common socket and from its own slot, and shows that it does."""
    assert door.open() == {COMMON, OURS}
    assert door.owners.is_answered(OURS)


def test_a_slot_without_an_owner_is_everybodys(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    """What waits at the slot of a worker that is gone, or stands still, is taken, until there is an owner again."""
    monkeypatch.setattr(slot_owners, "monotonic", lambda: 101.0)
    assert door.open() == {COMMON, OURS, THEIRS}
    door.report()
    assert door.open() == {COMMON, OURS}


def test_who_has_time_helps_who_has_none(door: Door) -> None:
    """Connections to a crowded worker's slot are taken too, but not by a worker that is crowded itself."""
    door.report(crowded=True)
    assert door.open() == {COMMON, OURS, THEIRS}
    door.work.waits = True
    assert door.open() == {COMMON, OURS}
    assert door.owners.is_crowded(OURS)


def test_a_worker_that_ends_helps_everywhere(door: Door) -> None:
    """It takes what waits, and shows no sign of life, so that others take over."""
    door.work.draining = True
    assert door.open() == {COMMON, OURS, THEIRS}
    assert door.accepting.should_close(THEIRS)


def test_who_waits_at_the_end_is_served(door: Door) -> None:
    """Connections that the kernel has made are taken before the sockets are closed, at every door."""
    with ExitStack() as clients:
        for listener in [*door.listeners.values()] * 3:
            clients.enter_context(socket.create_connection(listener.getsockname()))
        door.accepting.close()
        assert door.accepted == []
        gevent.sleep(0.01)
    assert sorted(door.accepted, key=str) == sorted([*door.listeners] * 3, key=str)


def test_connections_end_that_another_should_have(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those to another's slot, when the owner is there; one's own if one is crowded and another is not."""
    assert [door.accepting.should_close(slot) for slot in (COMMON, OURS, THEIRS)] == [False, False, True]
    door.work.crowded = True
    assert [door.accepting.should_close(slot) for slot in (COMMON, OURS, THEIRS)] == [True, True, True]
    door.report(crowded=True)
    assert not door.accepting.should_close(OURS)
    monkeypatch.setattr(slot_owners, "monotonic", lambda: 101.0)
    assert not door.accepting.should_close(THEIRS)


def test_busy_is_what_runs_in_the_event_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """Computing counts, waiting does not; some tenths of a second are remembered."""
    clock, used = [0.0], [0.0]
    monkeypatch.setattr("sidecar.server.accepting.monotonic", lambda: clock[0])
    monkeypatch.setattr("sidecar.server.accepting.thread_time", lambda: used[0])
    busy = BusyTime()
    for _ in range(40):
        clock[0] += 0.05
        used[0] += 0.05
        busy.look()
    assert busy.part > 0.9
    for _ in range(40):
        clock[0] += 0.05
        busy.look()
    assert busy.part < 0.1
