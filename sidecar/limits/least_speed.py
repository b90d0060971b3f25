"""How slowly a client may take its response: what is not taken holds memory, and often more than was sent."""

from __future__ import annotations

import errno
from collections.abc import Callable
from time import monotonic
from typing import Any

import gevent

from sidecar.errors import ClientTooSlow


def _nobody() -> bool:
    return False


class LeastSpeed:
    """The time that a client has left for one response. Raises ClientTooSlow in the greenlet that sends.

    Only time in which the client is waited for counts. Each byte that it takes gives it time, up to the window again: a
    client may pause for as long as the window, and must be as fast as the least speed over any longer time.
    """

    def __init__(self, bytes_per_second: float, window: float, excused: Callable[[], bool] = _nobody) -> None:
        """`window`: seconds. A speed of 0 is no limit. `excused` returns, when time is up, whether there is more."""
        self.passed = False
        """Whether the client was too slow."""
        self._speed, self._window = bytes_per_second, window
        self._excused = excused
        self._left = window
        self._began = 0.0
        # As gevent.Timeout does it, which cannot be excused.
        self._timer = gevent.get_hub().loop.timer(0.0)

    def begin(self, size: int) -> None:
        """Begin to wait until the client has taken some bytes."""
        if self._speed:
            self._began = monotonic()
            self._left += size / self._speed
            self._start(self._left, gevent.getcurrent())

    def end(self) -> None:
        """Stop the time: the client has taken them, or the response is over."""
        if self._began:
            self._left = min(self._window, self._left - (monotonic() - self._began))
            self._began = 0.0
        self._timer.close()

    def _start(self, seconds: float, sender: Any) -> None:
        self._timer.close()
        self._timer = gevent.get_hub().loop.timer(max(0.0, seconds))
        self._timer.start(self._expire, sender)

    def _expire(self, sender: Any) -> None:
        """Break the connection, or look again after another window. Runs in the event loop."""
        if self._excused():
            self._left += self._window
            self._start(self._window, sender)
        else:
            self.passed = True
            sender.throw(ClientTooSlow(errno.ECONNRESET, "the client reads too slowly"))
