"""Native threads for tests of plugins: gevent's own pool, without the limits and the book-keeping of the core's."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NoReturn, ParamSpec, TypeVar, cast

import gevent
from gevent.threadpool import ThreadPool

from sidecar.plugin import Native

P = ParamSpec("P")
T = TypeVar("T")


class NativeThreads:
    """A `Native` of a few threads."""

    def __init__(self, pool: ThreadPool, pause: float) -> None:
        self._pool = pool
        self._pause = pause

    def __call__(self, call: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a call in a thread while other greenlets go on, and return its value. Raises what the call raises."""

        def task() -> Callable[[], T]:
            # gevent prints the traceback of a task that raises, so none does.
            try:
                value = call(*args, **kwargs)
            except BaseException as error:  # noqa: BLE001  # raised again in the greenlet that waits
                return _raiser(error)
            return lambda: value

        outcome = cast("Callable[[], T]", self._pool.spawn(task).get())
        if self._pause:
            gevent.sleep(self._pause)
        return outcome()


@contextmanager
def native_threads(threads: int = 4, pause: float = 0.0) -> Iterator[Native]:
    """Run native threads for a block. Each call makes its greenlet wait `pause` seconds longer than the call takes."""
    pool = ThreadPool(threads)
    try:
        yield NativeThreads(pool, pause)
    finally:
        pool.join()
        pool.kill()


def _raiser(error: BaseException) -> Callable[[], NoReturn]:
    kept = [error]

    def fail() -> NoReturn:
        raise kept.pop()  # not kept any longer: error and traceback would hold each other

    return fail
