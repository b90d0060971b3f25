"""Response headers that say who answered and why, and how long it took: for people who look at a single response."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from sidecar.observability.event import Event

WHO: Final = "X-Sidecar"
"""`answered`, `handover; reason=not-found` or `refused; reason=overloaded`: a token and a parameter (RFC 9651 §3.3)."""


def explained(event: Event) -> Iterator[tuple[str, str]]:
    """Yield the headers of a response that is about to begin; of a large one, the times until its first strip."""
    reason = f"; reason={event.reason}" if event.reason else ""
    yield WHO, f"{event.outcome()}{reason}"
    stages = event.work.milliseconds()
    if stages:
        # W3C Server Timing §3: names and milliseconds.
        yield "Server-Timing", ", ".join(f"{stage};dur={milliseconds:g}" for stage, milliseconds in stages.items())
