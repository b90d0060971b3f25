"""A response that several requests wait for, made once.

Each client waits for memory in its own turn, since nobody's turn may depend on how many requests another client has.
Whoever gets a permit first makes the response for all of them; the others leave the queue, and get the same. A client
that leaves withdraws its own turn. Work under way goes on as long as anybody waits for it.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import copy_context
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Final, Generic, NamedTuple, NoReturn, Protocol, TypeVar, cast

import gevent
from gevent.event import AsyncResult

from sidecar.limits.outcome import Outcome, repeater
from sidecar.observability.metrics import SHARED
from sidecar.observability.tracing import anchor, link
from sidecar.observability.work import CURRENT
from sidecar.render.client import Client

_LOOK_EVERY: Final = 1.0
"""Seconds between two looks whether the client still waits."""


class Shared(Protocol):
    """What is made: it lasts as long as anybody uses it."""

    def use(self) -> Callable[[], None]:
        """Begin to use it; returns what ends that, which may be called twice."""
        ...


S = TypeVar("S", bound=Shared)


class Got(NamedTuple, Generic[S]):
    """What one of those that waited gets."""

    made: S
    over: Callable[[], None]
    """To be called when it does not use it any more."""
    joined: bool
    """Whether others waited before it did."""


@dataclass(eq=False, slots=True)
class Users:
    """Those that use something, which ends with the last of them."""

    ended: Callable[[], None]
    using: set[object] = field(default_factory=set)

    def use(self) -> Callable[[], None]:
        """Add one; returns what removes it."""
        user = object()
        self.using.add(user)
        return partial(self._leave, user)

    def _leave(self, user: object) -> None:
        if user in self.using:
            self.using.discard(user)
            if not self.using:
                # It may lead back here.
                ended, self.ended = self.ended, _nothing
                ended()


@dataclass(eq=False, slots=True)
class _Turn(Generic[S]):
    """What one client has: a turn for memory, the requests that wait for it, and what they get."""

    waiting: int = 0
    result: AsyncResult[Outcome[S]] = field(default_factory=AsyncResult)
    greenlet: gevent.Greenlet[..., Any] | None = None
    let_go: Callable[[], None] = lambda: None
    """Ends the use of what was made for those that have not got it yet."""

    def cancel(self) -> None:
        """Do not work any more, if this is what works. Does not wait."""
        greenlet, self.greenlet = self.greenlet, None
        if greenlet is not None:
            greenlet.kill(block=False)


class JointResponse(Generic[S]):
    """A response under way, and the turns of those that wait for it. Belongs to one event loop."""

    def __init__(self, make: Callable[[Client], S], ended: Callable[[], None]) -> None:
        """`make` makes it for a client, and calls `granted` of that; `ended` is called when nobody may join again."""
        self._make, self._ended = make, ended
        self._turns: dict[str, _Turn[S]] = {}
        self._maker: _Turn[S] | None = None
        self._anchor: object = None
        """Where it is in the trace of the request that it was made for."""
        self._decoder = ""
        """Who opened the image for that request."""

    def wait(self, client: Client) -> Got[S]:
        """Wait for the response. Raises what making it raises, and what `client.check_alive` raises."""
        joined = bool(self._turns)
        turn = self._turns.setdefault(client.name, _Turn())
        if turn.greenlet is None and self._maker is None:
            # Not the caller's check: others may wait for the same turn, and each looks after itself.
            maker = replace(client, check_alive=_nothing, granted=partial(self._begin, turn))
            turn.greenlet = gevent.spawn(copy_context().run, self._work, turn, maker)
        turn.waiting += 1
        try:
            while not turn.result.wait(_LOOK_EVERY) and not turn.result.ready():
                client.check_alive()
            made = cast("Outcome[S]", turn.result.get())()
            over = made.use()
        finally:
            turn.waiting -= 1
            if not turn.waiting:
                turn.let_go()
            self._withdraw(client.name, turn)
        if joined:
            self.note_joined()
        return Got(made, over, joined)

    def note_joined(self) -> None:
        """Count and trace that the request that runs got what was made for another."""
        SHARED.inc()
        work = CURRENT.get()
        link(work, self._anchor)
        if work is not None:
            # What is known of the image may have been enough to get here without opening it.
            work.decoder = work.decoder or self._decoder

    def _begin(self, turn: _Turn[S]) -> None:
        """Make the response in this turn: the others' turns are not needed any more."""
        self._maker = turn
        for other in self._turns.values():
            if other is not turn:
                other.cancel()

    def _work(self, turn: _Turn[S], client: Client) -> None:
        try:
            made = self._make(client)
            self._anchor = anchor()
            work = CURRENT.get()
            self._decoder = work.decoder if work else ""
        except gevent.GreenletExit:
            return
        except BaseException as error:  # noqa: BLE001  # raised again where it is awaited
            # If no memory came free, that is the end of this client's turn, and of nobody else's.
            self._end([*self._turns.values()] if self._maker is turn else [turn], repeater(error))
        else:
            # Until those that wait have got it, even if one of them is already over, or all have left by now.
            self._end([*self._turns.values()], partial(_same, made), made.use)

    def _end(
        self, turns: list[_Turn[S]], made: Outcome[S], use: Callable[[], Callable[[], None]] | None = None
    ) -> None:
        holding = [use() for _ in (*turns, None)] if use else []
        self._turns = {name: turn for name, turn in self._turns.items() if turn not in turns}
        self._close_if_empty()
        for turn, let_go in zip(turns, holding or [_nothing] * len(turns), strict=False):
            turn.greenlet = None
            turn.let_go = let_go
            turn.result.set(made)
            if not turn.waiting:
                let_go()
        for let_go in holding[len(turns) :]:
            let_go()

    def _withdraw(self, name: str, turn: _Turn[S]) -> None:
        """Give up the turn of a client that has left; the work too, if nobody else waits for it."""
        if turn.waiting or self._turns.get(name) is not turn:
            return
        if turn is not self._maker:
            del self._turns[name]
            turn.cancel()
        if not any(each.waiting for each in self._turns.values()):
            self._turns = {}
            self._close_if_empty()
            if self._maker is not None:
                self._maker.cancel()

    def _close_if_empty(self) -> None:
        if not self._turns:
            # Both may lead back here.
            ended, self._ended, self._make = self._ended, _nothing, _over
            ended()


def _over(_client: Client) -> NoReturn:
    raise AssertionError("nobody waits for this response")


def _same(made: S) -> S:
    return made


def _nothing() -> None:
    pass
