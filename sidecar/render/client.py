"""Who waits for a response."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


def _nothing() -> None:
    pass


@dataclass(frozen=True, slots=True)
class Client:
    """Who waits for a response."""

    name: str = ""
    """Whose turn it is when memory or a processor becomes free."""
    check_alive: Callable[[], None] = _nothing
    """Raises ClientGone if nobody waits any more."""
    granted: Callable[[], None] = _nothing
    """Called when the response has its memory."""
