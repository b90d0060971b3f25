"""Native threads: where blocking and computing calls run while greenlets go on.

A native call cannot be stopped. The thread of one that takes too long counts as lost until the call returns, and the
pool gets another in its place; nobody waits for that call any more. A pool that has calls under way and has seen none
return for a while is stalled: whoever waits for one of its threads is better off elsewhere.
"""

from __future__ import annotations

import math
import os
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from contextvars import copy_context
from typing import ParamSpec, TypeVar, cast

from gevent import GreenletExit, Timeout
from gevent.event import AsyncResult, Event
from gevent.threadpool import ThreadPool

from sidecar.errors import Stalled
from sidecar.limits.native_calls import LOOK_EVERY, Call, Pending
from sidecar.limits.outcome import Outcome, outcome, raiser

P = ParamSpec("P")
T = TypeVar("T")
Note = Callable[[str], AbstractContextManager[object]]
"""Records an image while native code works on it; see sidecar.server.crash_journal."""


class NativePool:
    """A bounded pool of native threads; an instance is a `Pool`.

    With `nice` above 0 its threads leave the processor to other threads first: on Linux each thread has a priority
    of its own (setpriority(2), "C library/kernel differences"). `share` returns, before each call, how many of the
    threads may be used at the moment. `stall` is the time, in seconds, after which a pool counts as stalled.
    `background` runs the calls that nobody waits for, and is closed with the pool.
    """

    def __init__(
        self,
        threads: int,
        nice: int = 0,
        note: Note = nullcontext,
        share: Callable[[], int] | None = None,
        stall: float = math.inf,
        background: NativePool | None = None,
    ) -> None:
        self.threads = threads
        self.note = note
        self.lost = 0
        """Threads that count as lost."""
        self._background = background
        self._nice = nice
        self._share = share or (lambda: threads)
        self._niced = threading.local()
        self._pool = ThreadPool(threads)
        self._stall = stall
        self._moved = 0.0
        """When a call last returned."""
        # Threads add and remove their calls: single operations of a set, which the GIL keeps whole.
        self._under_way: set[Call] = set()

    def spawn(self, call: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Pending[T]:
        """Begin a call; the calling greenlet waits while every thread is busy."""
        return self.spawn_for("", call, *args, **kwargs)

    def spawn_for(self, image: str, call: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Pending[T]:
        """Begin a call that works on an image (its etag; '' for none)."""
        known = Call(image)
        # The caller's context goes along, so that spans in native code belong to its request.
        context = copy_context()

        def task() -> Outcome[T]:
            if not known.wanted:
                return raiser(GreenletExit())
            self._lower_priority()
            known.began = time.monotonic()
            self._under_way.add(known)
            try:
                with self.note(image):
                    return outcome(lambda: context.run(call, *args, **kwargs))
            finally:
                self._moved = time.monotonic()
                self._under_way.discard(known)

        self._adjust()
        return Pending(self._begin(task), known, self._check)

    def __call__(self, call: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a call and wait for it in this greenlet."""
        return self.spawn(call, *args, **kwargs).get()

    def for_image(self, image: str) -> Calls:
        """Return what runs calls that work on an image, named by its etag; see sidecar.plugin.NotesImages."""
        return Calls(self, image)

    @property
    def background(self) -> NativePool:
        """What runs calls that nobody waits for; see sidecar.plugin.HasBackground."""
        return self._background or self

    @property
    def busy(self) -> int:
        """Threads that are in a call, lost ones included."""
        return len(self._under_way)

    @property
    def stalled(self) -> bool:
        """Whether calls are under way, lost ones aside, and none has begun or returned for a while."""
        last = max((call.began for call in [*self._under_way] if not call.lost), default=math.inf)
        return max(last, self._moved) < time.monotonic() - self._stall

    def count_lost(self, seconds: float) -> list[str]:
        """Count the threads of calls longer than `seconds` as lost, and no longer those that have returned.

        Returns the images of those newly lost.
        """
        before = time.monotonic() - seconds
        under_way = list(self._under_way)
        stuck = [call for call in under_way if not call.lost and call.began < before]
        for call in stuck:
            call.lost = True
        self.lost = sum(call.lost for call in under_way)
        self._adjust()
        return [call.image for call in stuck]

    def close(self) -> None:
        """Wait for what is under way and end the threads."""
        if self._background:
            self._background.close()
        self._pool.join()
        self._pool.kill()

    def _begin(self, task: Callable[[], Outcome[T]]) -> AsyncResult[Outcome[T]]:
        """Hand a task to a thread; raises Stalled, if it has to wait for one and none comes free."""
        while (begun := self._begun(task, LOOK_EVERY if self._stall < math.inf else None)) is None:
            if self.stalled:
                raise Stalled("native calls have not returned for a while; try again later")
        return begun

    def _begun(self, task: Callable[[], Outcome[T]], patience: float | None) -> AsyncResult[Outcome[T]] | None:
        """Hand a task to a thread within so many seconds; return None if none came free."""
        # Not gevent.with_timeout: its frame and the traceback of what it has raised would refer to each other, and keep
        # the task, which holds pixels, until the collector runs.
        timeout = Timeout.start_new(patience)
        try:
            return cast("AsyncResult[Outcome[T]]", self._pool.spawn(task))
        except Timeout as passed:
            if passed is not timeout:
                raise
            passed.__traceback__ = None
            return None
        finally:
            timeout.close()

    def _check(self, call: Call) -> None:
        if call.lost or (not call.began and self.stalled):
            raise Stalled("native calls have not returned for a while; try again later")

    def _adjust(self) -> None:
        size = min(self.threads, self._share()) + self.lost
        if size != self._pool.maxsize:
            self._pool.maxsize = size

    def _lower_priority(self) -> None:
        if self._nice and not getattr(self._niced, "done", False):
            thread = threading.get_native_id()
            # Relative, as nice(1): the whole process may have been given a lower priority already.
            os.setpriority(os.PRIO_PROCESS, thread, os.getpriority(os.PRIO_PROCESS, thread) + self._nice)
            self._niced.done = True


class Calls:
    """The native calls made for one image by one request, as a `Pool`. Closing it waits until the last has returned."""

    def __init__(self, pool: NativePool, image: str) -> None:
        self._pool, self._image = pool, image
        self._under_way = 0
        self._none = Event()
        self._none.set()

    @property
    def idle(self) -> bool:
        """Whether nothing is under way."""
        return not self._under_way

    def spawn(self, call: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Pending[T]:
        """Begin a call; the calling greenlet waits while every thread is busy."""
        pending = self._pool.spawn_for(self._image, call, *args, **kwargs)
        # Counted and not kept: a call's value may be many megabytes of pixels.
        self._under_way += 1
        self._none.clear()
        pending.then(self._returned)
        return pending

    def __call__(self, call: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a call and wait for it in this greenlet."""
        return self.spawn(call, *args, **kwargs).get()

    def close(self) -> None:
        """Wait until nothing is under way."""
        self._none.wait()

    def _returned(self) -> None:
        self._under_way -= 1
        if not self._under_way:
            self._none.set()
