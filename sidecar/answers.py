"""Headers of answers, as Cantaloupe gives them, and conditional requests."""

from __future__ import annotations

import re
from datetime import datetime
from hashlib import blake2b
from typing import Final

import falcon

from sidecar.interfaces import Blob

PIXELS: Final = "1"
"""Counts the changes of this code that change the bytes of answers: part of every ETag."""

VARY: Final = "Accept, Accept-Charset, Accept-Encoding, Accept-Language, Origin"

# RFC 6266 §4.1, the two types that Cantaloupe lets through; a quoted filename of ASCII without anything that needs
# escaping: others could not be sent (RFC 9110 §5.5).
_DISPOSITION: Final = re.compile(r'(inline|attachment)(?:; *filename="?([^"\\/:*?<>|\x00-\x1f\x7f-\U0010ffff]+)"?)?')


def etag(blob: Blob, *rest: object) -> str:
    """A strong validator of an answer: the source's version, what was asked, and every setting that shows in it."""
    digest = blake2b(digest_size=16)
    for part in (PIXELS, blob.etag, *rest):
        # Lengths keep ("ab", "c") apart from ("a", "bc").
        text = str(part).encode("utf-8", "surrogatepass")
        digest.update(len(text).to_bytes(8, "big") + text)
    return digest.hexdigest()


def common(resp: falcon.Response, cache_control: str) -> None:
    """Headers of every answer that is not an error."""
    resp.set_header("Vary", VARY)
    resp.set_header("Access-Control-Allow-Origin", "*")
    if cache_control:
        resp.set_header("Cache-Control", cache_control)


def validators(resp: falcon.Response, tag: str, modified: datetime | None) -> None:
    """ETag and Last-Modified (RFC 9110 §8.8)."""
    resp.etag = tag
    if modified is not None:
        resp.last_modified = modified


def known(req: falcon.Request, tag: str) -> bool:
    """Whether the client names the answer's ETag (RFC 9110 §13.1.2, the weak comparison).

    Then it had the answer, so nothing needs to be opened to know that there is one. A bare `*` does not tell that.
    """
    return any(str(each) == tag for each in req.if_none_match or () if each != "*")


def unmodified(req: falcon.Request, modified: datetime | None) -> bool:
    """Whether If-Modified-Since says that the client's copy is still right; If-None-Match goes before it (§13.2.2)."""
    if modified is None or req.if_none_match is not None or req.get_header("If-Modified-Since") is None:
        return False
    try:
        since = req.if_modified_since
    except falcon.HTTPInvalidHeader:
        return False  # RFC 9110 §13.1.3: a date that does not parse is ignored
    return since is not None and modified <= since


def disposition(req: falcon.Request) -> str | None:
    """Content-Disposition as the query's `response-content-disposition` asks for it; None where it is not clean."""
    asked = req.get_param("response-content-disposition")
    match = _DISPOSITION.fullmatch(asked) if asked else None
    if match is None:
        return None
    kind, name = match.groups()
    return f'{kind}; filename="{name}"' if name else kind
