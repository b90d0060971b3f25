"""Results of calls that run elsewhere: kept there, returned or raised where they are awaited."""

from __future__ import annotations

from collections.abc import Callable
from typing import NoReturn, ParamSpec, TypeVar

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
