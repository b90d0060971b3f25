"""How long a request may take: until its first byte, and in all.

The deadline is raised in the request's greenlet wherever it waits: for bytes, for memory, for a native call, for a
client that does not read. Before the first byte that is an error like any other, and the request is handed over; after
it the connection breaks. A native call cannot be stopped: the request ends, what the call uses is kept until it returns
(`sidecar.limits.release`), and its thread is counted as lost (`sidecar.limits.threads`).
"""

from __future__ import annotations

import time
from typing import Any, Final

from gevent import Timeout

from sidecar.errors import DeadlinePassed

KEY: Final = "sidecar.deadline"
"""The key of a request's Deadline in the WSGI environment."""


class Deadline:
    """The time of one request. Raises DeadlinePassed in the greenlet that made it."""

    def __init__(self, first_byte: float, total: float) -> None:
        self._ends = time.monotonic() + total
        self._timer = _timer(min(first_byte, total), f"no first byte within {first_byte:g} seconds")

    def begin_response(self) -> None:
        """Stop the time to the first byte, which is about to be sent; from here on the total counts."""
        self._timer.close()
        self._timer = _timer(max(0.0, self._ends - time.monotonic()), "the response took too long")

    def close(self) -> None:
        """Stop the time: the request is over."""
        self._timer.close()


def _timer(seconds: float, text: str) -> Timeout:
    return Timeout.start_new(seconds, DeadlinePassed(text))


def begin_response(environ: dict[str, Any]) -> None:
    """Call `Deadline.begin_response` of a request, if it has a deadline."""
    deadline = environ.get(KEY)
    if isinstance(deadline, Deadline):
        deadline.begin_response()
