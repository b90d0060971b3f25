"""Headers of responses, as Cantaloupe sends them."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Final

import falcon

VARY: Final = "Accept, Accept-Charset, Accept-Encoding, Accept-Language, Origin"
_CONTEXT_3: Final = "http://iiif.io/api/image/3/context.json"
_PLAIN_JSON: Final = 2
"""The version whose info.json is plain JSON by default."""

# RFC 6266 §4.1, the two types that Cantaloupe lets through; a quoted filename of ASCII without anything that needs
# escaping: others could not be sent (RFC 9110 §5.5).
_DISPOSITION: Final = re.compile(r'(inline|attachment)(?:; *filename="?([^"\\/:*?<>|\x00-\x1f\x7f-\U0010ffff]+)"?)?')


def common(resp: falcon.Response, cache_control: str) -> None:
    """Set the headers of every response that is not an error."""
    resp.set_header("Vary", VARY)
    resp.set_header("Access-Control-Allow-Origin", "*")
    if cache_control:
        resp.set_header("Cache-Control", cache_control)


def validators(resp: falcon.Response, tag: str, modified: datetime | None, *, weak: bool = False) -> None:
    """Set ETag and Last-Modified (RFC 9110 §8.8)."""
    own = falcon.ETag(tag)
    own.is_weak = weak
    resp.etag = own.dumps()
    if modified is not None:
        resp.last_modified = modified


def disposition(req: falcon.Request) -> str | None:
    """Return the Content-Disposition that the query's `response-content-disposition` asks for; None if it is unsafe."""
    asked = req.get_param("response-content-disposition")
    match = _DISPOSITION.fullmatch(asked) if asked else None
    if match is None:
        return None
    kind, name = match.groups()
    return f'{kind}; filename="{name}"' if name else kind


def json_type(version: int, accept: str) -> str:
    """Return Cantaloupe's media type of info.json: by default plain JSON in version 2, JSON-LD in version 3."""
    asked = {kind.partition(";")[0].strip().lower() for kind in accept.split(",")}
    if version == _PLAIN_JSON:
        linked = "application/ld+json" in asked
        return "application/ld+json;charset=UTF-8" if linked else "application/json;charset=utf-8"
    plain = "application/json" in asked and "application/ld+json" not in asked
    return f'application/{"json" if plain else "ld+json"};charset=UTF-8;profile="{_CONTEXT_3}"'
