"""A call in a greenlet of its own."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import copy_context
from typing import Generic, ParamSpec, TypeVar

import gevent

from sidecar.limits.outcome import Outcome, outcome

P = ParamSpec("P")
T = TypeVar("T")


class Task(Generic[T]):
    """A call in a greenlet of its own, for the same request. What it raises is kept for `get`, and printed nowhere."""

    def __init__(self, call: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> None:
        # The greenlet refers to nothing of this object: an error kept here, whose frames led back, would be a cycle.
        context = copy_context()
        self._greenlet = gevent.spawn(lambda: context.run(outcome, call, *args, **kwargs))

    def get(self) -> T:
        """Wait for the value, or raise what the call raised. Called once."""
        result: Outcome[T] | gevent.GreenletExit = self._greenlet.get()
        if isinstance(result, gevent.GreenletExit):  # stopped before it had begun
            raise result
        return result()

    def stop(self) -> None:
        """Cancel it and wait until it has ended. `get` must not be called after that."""
        self._greenlet.kill()
        # The frames of what it was stopped with may lead back here.
        del self._greenlet
