"""What a request holds while native code may use it, given back when that is over and not before."""

from __future__ import annotations

from contextlib import ExitStack
from types import TracebackType
from typing import Final, Literal

import gevent

_PATIENCE: Final = 2.0
"""Seconds that a request waits for the end of its native calls before it goes without them."""


class Holding(ExitStack):
    """An ExitStack whose exit no deadline interrupts: it has a greenlet of its own.

    Whoever closes it waits a little, so that in the usual case all is back when `close` returns. A stuck call is not
    waited for; what it uses (memory promised, the opened image) stays taken until it returns.
    """

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> Literal[False]:
        """Give back in reverse order. Never swallows the error."""
        gevent.spawn(super().__exit__, kind, error, traceback).join(_PATIENCE)
        return False
