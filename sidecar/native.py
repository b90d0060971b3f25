"""Native threads: where blocking and computing calls run while greenlets go on."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Generic, NoReturn, ParamSpec, TypeVar, cast

from gevent.event import AsyncResult
from gevent.threadpool import ThreadPool

P = ParamSpec("P")
T = TypeVar("T")
Outcome = Callable[[], T]
"""What a call came to: called, it gives the value or raises. gevent prints a traceback for every task that raises,
so tasks never raise themselves."""


class Pending(Generic[T]):
    """A call under way in a native thread."""

    def __init__(self, result: AsyncResult[Outcome[T]]) -> None:
        self._result = result

    def get(self) -> T:
        """Wait in this greenlet for the call's value, or raise what it raised."""
        return cast("Outcome[T]", self._result.get())()

    def wait(self) -> None:
        """Wait until the call is over, whatever it came to."""
        self._result.wait()


class NativePool:
    """A bounded pool of native threads; an instance is a `Native`.

    With `nice` above 0 its threads leave the processor to other threads first: on Linux each thread has a priority
    of its own (setpriority(2), "C library/kernel differences").
    """

    def __init__(self, threads: int, nice: int = 0) -> None:
        self.threads = threads
        self._nice = nice
        self._polite = threading.local()
        self._pool = ThreadPool(threads)

    def spawn(self, call: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Pending[T]:
        """Begin a call; a greenlet waits here while every thread is busy."""

        def task() -> Outcome[T]:
            self._yield_to_others()
            try:
                value = call(*args, **kwargs)
            except BaseException as error:  # noqa: BLE001  # raised again where the value is awaited
                return _raiser(error)
            return lambda: value

        return Pending(self._pool.spawn(task))

    def __call__(self, call: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a call and wait for it in this greenlet."""
        return self.spawn(call, *args, **kwargs).get()

    def close(self) -> None:
        """Wait for what is under way and end the threads."""
        self._pool.join()
        self._pool.kill()

    def _yield_to_others(self) -> None:
        if self._nice and not getattr(self._polite, "done", False):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), self._nice)
            self._polite.done = True


def _raiser(error: BaseException) -> Callable[[], NoReturn]:
    def outcome() -> NoReturn:
        raise error

    return outcome


def direct(call: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """The `Native` that runs calls on the spot: for tests and tools without an event loop."""
    return call(*args, **kwargs)
