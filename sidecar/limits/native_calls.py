"""A call in a native thread, as those see it who have it made."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Generic, ParamSpec, Protocol, TypeVar, cast

from gevent.event import AsyncResult

from sidecar.limits.outcome import Outcome

P = ParamSpec("P")
T = TypeVar("T")
LOOK_EVERY: Final = 1.0
"""Seconds between two looks whether a call that is waited for can still be expected to return."""


@dataclass(eq=False, slots=True)
class Call:
    """What event loop and thread know of a call."""

    image: str
    wanted: bool = True
    began: float = 0.0
    lost: bool = False


class Pending(Generic[T]):
    """A call under way in a native thread."""

    def __init__(self, result: AsyncResult[Outcome[T]], call: Call, check: Callable[[Call], None]) -> None:
        """`check` raises if the call is not worth waiting for."""
        self._result, self._call, self._check = result, call, check

    def then(self, call: Callable[[], None]) -> None:
        """Call something in the event loop when this call is over."""
        self._result.rawlink(lambda _: call())

    def get(self) -> T:
        """Wait in this greenlet for the call, and return its value or raise what it raised.

        If the waiting greenlet is cancelled, a call that has not started yet is skipped. Raises Stalled if the call is
        stuck, or has not started in a pool that is stalled.
        """
        try:
            while not self._result.wait(LOOK_EVERY) and not self._result.ready():
                self._check(self._call)
            result = cast("Outcome[T]", self._result.get())
        except BaseException:
            self._call.wanted = False
            raise
        return result()

    def wait(self) -> None:
        """Wait until the call is over, whatever its result."""
        self._result.wait()


class Pool(Protocol):
    """Runs calls in native threads; also a `Native`."""

    def spawn(self, call: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Pending[T]:
        """Begin a call; the calling greenlet waits while every thread is busy."""
        ...

    def __call__(self, call: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a call and wait for it in this greenlet."""
        ...
