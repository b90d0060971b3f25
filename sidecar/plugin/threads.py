"""From greenlets to native threads.

Three kinds of places run code. *Greenlets*: one thread, cooperative; code that runs there must not block and should
take at most a few milliseconds. *Native threads*: code that releases the GIL while it works and never waits for a
remote. `Native` takes a call from the first to the second.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, ParamSpec, Protocol, TypeVar, cast, runtime_checkable

from gevent.monkey import get_original

P = ParamSpec("P")
T = TypeVar("T")


class Native(Protocol):
    """Runs a blocking call in a native thread while the calling greenlet waits and others go on."""

    def __call__(self, call: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Run the call, wait for it and return its value. Raises what the call raises."""
        ...


@runtime_checkable
class NotesImages(Protocol):
    """An optional power of a Native: it records which image a call works on, since native code may crash."""

    def for_image(self, image: str) -> Native:
        """Return the same for calls that work on an image, named by its etag."""
        ...


def working_on(native: Native, image: str) -> Native:
    """Return what runs calls for an image beside its requests, as `native` does.

    If such a call ends the worker, the image is quarantined. The core does this by itself for all that a reader's
    `read` does for a request.
    """
    return native.for_image(image) if isinstance(native, NotesImages) else native


@runtime_checkable
class HasBackground(Protocol):
    """An optional power of a Native: a thread for work that nobody waits for, at a low priority."""

    @property
    def background(self) -> Native:
        """Runs one call at a time, which leaves the processors to the native threads that requests wait for."""
        ...


def in_background(native: Native) -> Native:
    """Return what runs calls that nobody waits for; `native` itself if it makes no difference between calls.

    For calls that work on an image: `working_on(in_background(native), image)`.
    """
    return native.background if isinstance(native, HasBackground) else native


def thread_lock() -> AbstractContextManager[bool]:
    """Return a new lock between native threads.

    In a worker `threading.Lock` makes gevent's locks, which are between greenlets. Hold it for a moment only: a
    greenlet that waits for it stops the event loop.
    """
    return cast("AbstractContextManager[bool]", cast("Any", get_original("_thread", "allocate_lock"))())


def run_inline(call: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """Run the call in the calling thread: the `Native` of tests and of tools without an event loop."""
    return call(*args, **kwargs)
