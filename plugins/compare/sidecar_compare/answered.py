"""Who answered a request that was sent to the sidecar, and why."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

CANTALOUPE, SIDECAR, CACHE, UNKNOWN = "Cantaloupe", "sidecar", "a cache", "unknown"
BEHIND: Mapping[str, str] = {"X-Sidecar-Handover": "nginx"}
"""What the nginx site tells the sidecar. If the comparison says so itself, the sidecar names handovers, and answers all
else as before a Cantaloupe. Sent to nginx it has no effect."""
HANDED_OVER = "x-accel-redirect"
REASON = "x-sidecar-reason"
_CACHES = ("x-cache", "x-cache-status", "x-proxy-cache", "cf-cache-status")
"""Where caches say that they had a response; RFC 9111 §5.1 has `Age`."""
_ETAG = re.compile(r'(W/)?"[0-9a-f]{32}"')
"""The sidecar's validators: 128 bits in hexadecimal digits. nginx makes weak ones of them when it compresses."""


@dataclass(frozen=True, slots=True)
class Answered:
    """Who answered, and the sidecar's reason to hand over or to refuse; empty if there is none or it is not known."""

    by: str
    reason: str = ""

    def __str__(self) -> str:
        """Return both, as in `Cantaloupe (unsupported)`."""
        return f"{self.by} ({self.reason})" if self.reason else self.by


NOBODY = Answered("nobody")


def answered(headers: Mapping[str, str], *, direct: bool = False) -> Answered:
    """Return who made a response of the sidecar, or of the nginx in front of it. Names of headers are in lower case.

    `direct`: no nginx is in between, so that everything is the sidecar's but what it hands over.
    Through nginx the reason of a handover is lost: a response without the sidecar's marks is Cantaloupe's if it has a
    media type, and otherwise, as a redirect or a 304, of either.
    """
    if "age" in headers or any("hit" in headers.get(name, "").lower() for name in _CACHES):
        return Answered(CACHE)
    reason = headers.get(REASON, "")
    if HANDED_OVER in headers:
        return Answered(CANTALOUPE, reason)
    if reason or _ETAG.fullmatch(headers.get("etag", "")):
        return Answered(SIDECAR, reason)
    if direct:
        return Answered(SIDECAR)
    return Answered(CANTALOUPE if "content-type" in headers and "location" not in headers else UNKNOWN)
