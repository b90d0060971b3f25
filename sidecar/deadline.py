"""How long a request may take: until its first byte, and in all.

The deadline is thrown into the request's greenlet wherever it waits: for bytes, for memory, for a native call, for a
client that does not read. Before the first byte that is an error like any other, and handed over; after it the
connection breaks. A native call cannot be stopped: who waits for it goes, what it uses is kept until it returns
(`sidecar.holding`), and its thread is counted out (`sidecar.native`).
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import Any, Final

from gevent import Timeout

from sidecar.errors import DeadlinePassed
from sidecar.telemetry import StartResponse, Wsgi

DEADLINE: Final = "sidecar.deadline"
"""The key in the WSGI environment under which a request's Deadline lies."""


class Deadline:
    """The time of one request. Raises DeadlinePassed in the greenlet that made it."""

    def __init__(self, first_byte: float, total: float) -> None:
        self._ends = time.monotonic() + total
        self._timer = _timer(min(first_byte, total), f"no first byte within {first_byte:g} seconds")

    def begun(self) -> None:
        """The first byte is made: from here on the time in all counts."""
        self._timer.close()
        self._timer = _timer(max(0.0, self._ends - time.monotonic()), "the answer took too long")

    def close(self) -> None:
        """The request is over."""
        self._timer.close()


def _timer(seconds: float, text: str) -> Timeout:
    return Timeout.start_new(seconds, DeadlinePassed(text))


def begun(environ: dict[str, Any]) -> None:
    """Tell the deadline of a request, where it has one, that the first byte is about to come."""
    deadline = environ.get(DEADLINE)
    if isinstance(deadline, Deadline):
        deadline.begun()


class Timed:
    """A WSGI application around another that gives each request its time."""

    def __init__(self, app: Wsgi, first_byte: float, total: float) -> None:
        self._app = app
        self._seconds = first_byte, total

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        """Answer as the application within does, which makes the first byte before it returns."""
        deadline = environ[DEADLINE] = Deadline(*self._seconds)
        try:
            chunks = self._app(environ, start_response)
            deadline.begun()
        except BaseException:
            deadline.close()
            raise
        return _Timed(chunks, deadline)


class _Timed:
    """The chunks of an answer; `close` ends its time."""

    def __init__(self, chunks: Iterable[bytes], deadline: Deadline) -> None:
        self._chunks, self._deadline = chunks, deadline
        self._rest = iter(chunks)

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        return next(self._rest)

    def close(self) -> None:
        self._deadline.close()
        close = getattr(self._chunks, "close", None)
        if close is not None:
            close()
