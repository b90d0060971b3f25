"""Small responses, made whole before they are sent; identical ones that are asked for at the same time are made once.

Each client waits for memory in its own turn, since nobody's turn may depend on how many requests another client has.
Whoever gets a permit first makes the response for all of them; the others leave the queue, and get the same bytes. A
client that leaves withdraws its own turn. Work under way goes on as long as anybody waits for it.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from contextvars import copy_context
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Final, TypeAlias, cast

import gevent
from gevent.event import AsyncResult

from sidecar.limits.outcome import Outcome, repeater
from sidecar.observability.metrics import SHARED
from sidecar.observability.tracing import anchor, link
from sidecar.observability.work import CURRENT
from sidecar.render.body import Body
from sidecar.render.client import Client

Start: TypeAlias = Callable[[Client], Body]
"""Begins a response: see `Renderer.start`."""
_LOOK_EVERY: Final = 1.0
"""Seconds between two looks whether the client still waits."""


@dataclass(frozen=True, slots=True)
class Whole:
    """A response, as one of those that wait for it gets it."""

    data: bytes
    over: Callable[[], None]
    """To be called when it has been sent, or never will be."""
    details: dict[str, str | int]
    """For the log."""


@dataclass(frozen=True, slots=True)
class _Made:
    """A response and its memory, which is given back when the last of those that got it have sent it."""

    data: bytes
    give_back: Callable[[], None]
    details: dict[str, str | int]
    anchor: object = None
    """Where it is in the trace of the request that it was made for."""
    users: set[object] = field(default_factory=set)

    def use(self) -> Callable[[], None]:
        user = object()
        self.users.add(user)
        return partial(self._leave, user)

    def _leave(self, user: object) -> None:
        if user in self.users:
            self.users.discard(user)
            if not self.users:
                self.give_back()


@dataclass(eq=False, slots=True)
class _Turn:
    """What one client has: a turn for memory, the requests that wait for it, and what they get."""

    waiting: int = 0
    result: AsyncResult[Outcome[_Made]] = field(default_factory=AsyncResult)
    greenlet: gevent.Greenlet[..., Any] | None = None

    def cancel(self) -> None:
        """Do not work any more, if this is what works. Does not wait."""
        greenlet, self.greenlet = self.greenlet, None
        if greenlet is not None:
            greenlet.kill(block=False)


class _Response:
    """A response under way, and the turns of those that wait for it."""

    def __init__(self, start: Start, ended: Callable[[], None]) -> None:
        """`ended` is called when nobody may join any more."""
        self._start, self._ended = start, ended
        self._turns: dict[str, _Turn] = {}
        self._maker: _Turn | None = None

    def wait(self, client: Client) -> Whole:
        """Wait for the response. Raises what making it raises, and what `client.check_alive` raises."""
        joined = bool(self._turns)
        turn = self._turns.setdefault(client.name, _Turn())
        if turn.greenlet is None and self._maker is None:
            # Not the caller's check: others may wait for the same turn, and each looks after itself.
            maker = replace(client, check_alive=_nothing, granted=partial(self._begin, turn))
            turn.greenlet = gevent.spawn(copy_context().run, self._make, turn, maker)
        turn.waiting += 1
        try:
            while not turn.result.wait(_LOOK_EVERY) and not turn.result.ready():
                client.check_alive()
            made = cast("Outcome[_Made]", turn.result.get())()
        finally:
            turn.waiting -= 1
            self._withdraw(client.name, turn)
        if joined:
            SHARED.inc()
            link(CURRENT.get(), made.anchor)
        return Whole(made.data, made.use(), made.details | {"shared": joined})

    def _begin(self, turn: _Turn) -> None:
        """Make the response in this turn: the others' turns are not needed any more."""
        self._maker = turn
        for other in self._turns.values():
            if other is not turn:
                other.cancel()

    def _make(self, turn: _Turn, client: Client) -> None:
        made: Outcome[_Made]
        try:
            with closing(self._start(client)) as body:
                data = b"".join(body)
                made = partial(_same, _Made(data, body.keep(len(data)), body.details, anchor()))
        except gevent.GreenletExit:
            return
        except BaseException as error:  # noqa: BLE001  # raised again where it is awaited
            made = repeater(error)
        if self._maker is turn:
            self._end([*self._turns.values()], made)
        else:
            # No memory came free: that is the end of this client's turn, and of nobody else's.
            self._end([turn], made)

    def _end(self, turns: list[_Turn], made: Outcome[_Made]) -> None:
        self._turns = {name: turn for name, turn in self._turns.items() if turn not in turns}
        self._close_if_empty()
        for turn in turns:
            turn.greenlet = None
            turn.result.set(made)

    def _withdraw(self, name: str, turn: _Turn) -> None:
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
            ended, self._ended = self._ended, _nothing
            ended()


class WholeResponses:
    """The small responses under way in a worker, by ETag. Belongs to one event loop."""

    def __init__(self) -> None:
        self._under_way: dict[str, _Response] = {}

    def get(self, etag: str, start: Start, client: Client) -> Whole:
        """Return the response with an ETag; `start` begins it if it is not under way.

        Raises what making it raises, each waiting request an error of its own, and what `client.check_alive` raises.
        """
        response = self._under_way.get(etag)
        if response is None:
            response = self._under_way[etag] = _Response(start, partial(self._forget, etag))
        return response.wait(client)

    def _forget(self, etag: str) -> None:
        del self._under_way[etag]


def _same(made: _Made) -> _Made:
    return made


def _nothing() -> None:
    pass
