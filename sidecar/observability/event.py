"""The record of one request: filled on its way, logged and counted at its end."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from sidecar.observability.work import Work

KEY: Final = "sidecar.event"
"""The key of a request's Event in the WSGI environment."""
_GIVEN: Final = re.compile(r"[A-Za-z0-9_-]{8,64}")
"""A request id that a proxy may give: nothing that could stand for something else in a header or a log."""


class Closable(Protocol):
    """A response body: something to close if it is never handed to the server."""

    def close(self) -> None: ...


@dataclass(slots=True)
class Event:
    """What became of a request."""

    kind: str = "other"
    id: str = field(default_factory=lambda: secrets.token_hex(8))
    """By which the request is found in the log; the response carries it."""
    reason: str = ""
    """Why it was handed over, refused or broken off."""
    not_ours: bool = False
    """Whether it is Cantaloupe's to answer, whether there is one or not."""
    failed: bool = False
    """Whether it was handed over because something here failed, not because of what was asked."""
    left: str = "client-gone"
    """What is reported if the client has not taken all of the response."""
    details: dict[str, str | int] = field(default_factory=dict)
    """Further fields of its log line."""
    route: str = ""
    """The template of its path."""
    parameters: dict[str, str] = field(default_factory=dict)
    """What the path has in the template's places, as it came."""
    work: Work = field(default_factory=Work)
    over: Callable[[], None] = lambda: None
    """Called when the response has been sent, or never will be."""
    body: Closable | None = None
    """The response's chunks, once there are any."""

    def outcome(self, broken: str = "") -> str:
        """Return what became of it, in one word. `broken`: why its response broke off."""
        if broken:
            return "broken"
        if self.kind == "handover":
            return "handover"
        return "refused" if self.reason else "answered"


def event_of(environ: dict[str, Any]) -> Event:
    """Return the event of a request."""
    event = environ.get(KEY)
    if not isinstance(event, Event):
        given = str(environ.get("HTTP_X_REQUEST_ID", ""))
        event = environ[KEY] = Event(id=given) if _GIVEN.fullmatch(given) else Event()
    return event
