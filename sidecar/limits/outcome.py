"""Results of calls that run elsewhere: kept there, returned or raised where they are awaited."""

from __future__ import annotations

from collections.abc import Callable
from typing import NoReturn, ParamSpec, TypeVar

from sidecar.errors import SidecarError

P = ParamSpec("P")
T = TypeVar("T")
Outcome = Callable[[], T]
"""The result of a call: called, it returns the value or raises. gevent prints a traceback for every task that raises,
so tasks never raise themselves."""


def outcome(call: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Outcome[T]:
    """Run a call in this thread and keep its result."""
    try:
        value = call(*args, **kwargs)
    except BaseException as error:  # noqa: BLE001  # raised again where the value is awaited
        return raiser(error)
    return lambda: value


def raiser(error: BaseException) -> Callable[[], NoReturn]:
    """Return an outcome that raises, once: a kept error and the frames of its traceback would refer to each other."""
    kept = [error]

    def fail() -> NoReturn:
        raise kept.pop()

    return fail


def repeater(error: BaseException) -> Callable[[], NoReturn]:
    """Return an outcome that raises as often as it is called: each time an error of its own, which says the same.

    Only what nobody foresaw keeps its traceback, for the log: frames hold what they worked with.
    """
    kind, known, fields = error.__class__, error.args, dict(vars(error))
    trace = None if isinstance(error, SidecarError) else error.__traceback__

    def fail() -> NoReturn:
        again = kind.__new__(kind, *known)
        again.args = known
        vars(again).update(fields)
        raise again.with_traceback(trace)

    return fail
