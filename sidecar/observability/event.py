"""The record of one request: filled on its way, logged and counted at its end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

KEY: Final = "sidecar.event"
"""The key of a request's Event in the WSGI environment."""


class Closable(Protocol):
    """A response body: something to close if it is never handed to the server."""

    def close(self) -> None: ...


@dataclass(slots=True)
class Event:
    """What became of a request."""

    kind: str = "other"
    reason: str = ""
    """Why it was handed over, refused or broken off."""
    left: str = "client-gone"
    """What is reported if the client has not taken all of the response."""
    details: dict[str, object] = field(default_factory=dict)
    """Further fields of its log line."""
    over: Callable[[], None] = lambda: None
    """Called when the response has been sent, or never will be."""
    body: Closable | None = None
    """The response's chunks, once there are any."""


def event_of(environ: dict[str, Any]) -> Event:
    """Return the event of a request."""
    event = environ.setdefault(KEY, Event())
    return event if isinstance(event, Event) else Event()
