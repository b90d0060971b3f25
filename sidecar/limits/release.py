"""What a request holds while native code may use it, released when that is over and not before."""

from __future__ import annotations

from contextlib import ExitStack
from types import TracebackType
from typing import Final, Literal

import gevent

_TIMEOUT: Final = 2.0
"""Seconds that a request waits for the end of its native calls before it ends without them."""


class UninterruptibleStack(ExitStack):
    """An ExitStack whose exit no deadline interrupts: it runs in a greenlet of its own.

    `close` waits a little, so that in the usual case everything is released when it returns. A stuck call is not waited
    for; what it uses (memory promised, the opened image) stays taken until it returns, however often it is closed.
    """

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> Literal[False]:
        """Release in reverse order. Never swallows the error."""
        # What is being released is not here any more: closed again, it would overtake a call that is waited for, and
        # release what that uses.
        released = self.pop_all()
        gevent.spawn(ExitStack.__exit__, released, kind, error, traceback).join(_TIMEOUT)
        return False
