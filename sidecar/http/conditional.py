"""Conditional requests (RFC 9110 §13)."""

from __future__ import annotations

from datetime import datetime

import falcon


def matches(req: falcon.Request, tag: str) -> bool:
    """Report whether the client names the response's ETag (RFC 9110 §13.1.2, the weak comparison).

    Then it had the response, so nothing needs to be opened to know that there is one. A bare `*` does not prove that.
    """
    return any(str(each) == tag for each in req.if_none_match or () if each != "*")


def matches_any(req: falcon.Request) -> bool:
    """Report whether the client has some version of the response and wants none (`If-None-Match: *`, RFC 9110 §13.1.2).

    Only true of a response that there is: asked once nothing can refuse the request any more.
    """
    return bool(req.if_none_match == ["*"])


def unmodified(req: falcon.Request, modified: datetime | None) -> bool:
    """Report whether the client's copy is still right by If-Modified-Since; If-None-Match goes before it (§13.2.2)."""
    if modified is None or req.if_none_match is not None or req.get_header("If-Modified-Since") is None:
        return False
    try:
        since = req.if_modified_since
    except falcon.HTTPInvalidHeader:
        return False  # RFC 9110 §13.1.3: a date that does not parse is ignored
    return since is not None and modified <= since
