"""From greenlets to native threads.

Three kinds of places run code. *Greenlets*: one thread, cooperative; code that runs there must not block and should
take at most a few milliseconds. *Native threads*: code that releases the GIL while it works and never waits for a
remote. `Native` takes a call from the first to the second.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, ParamSpec, Protocol, TypeVar, cast

from gevent.monkey import get_original

P = ParamSpec("P")
T = TypeVar("T")


class Native(Protocol):
    """Runs a blocking call in a native thread while the calling greenlet waits and others go on."""

    def __call__(self, call: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Run the call, wait for it and return its value. Raises what the call raises."""
        ...


def thread_lock() -> AbstractContextManager[bool]:
    """Return a new lock between native threads.

    In a worker `threading.Lock` makes gevent's locks, which are between greenlets. Hold it for a moment only: a
    greenlet that waits for it stops the event loop.
    """
    return cast("AbstractContextManager[bool]", cast("Any", get_original("_thread", "allocate_lock"))())


def run_inline(call: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """Run the call in the calling thread: the `Native` of tests and of tools without an event loop."""
    return call(*args, **kwargs)
