"""What an authorization service learns of a request: the image, as the sidecar itself will read the URL.

nginx cannot decode one segment of a path, and a service that does it in a way of its own can be fooled: by `%2e`, by
`%252e`, by a plus sign, by `;1` behind a name. So nginx asks here first (nginx/auth.conf), and passes on to the service
what this module has read. A URL that could be read in two ways is refused.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import quote, unquote

import falcon

from sidecar.errors import BadRequest, NotFound
from sidecar.http.client import behind_nginx
from sidecar.http.site import Site

_SERVICE: Final = "/sidecar-auth-service"
"""The location in nginx/auth.conf that leads to the service."""
# Whatever stands before it: nginx may remove a prefix, and a site may have Cantaloupe in a second place.
_API: Final = re.compile(r"(?:/(?!\.\.?/)[A-Za-z0-9._~-]+)*?/iiif/(?P<version>[0-9])/(?P<segment>[^/]+)(?P<rest>/.*)?")
_HIDDEN_API: Final = re.compile(r"(?i)(?:^|[/\\])iiif(?:[/\\;]|$)")
"""A path that some server in between may take for one of the Image API, once it has normalized it."""
_LANDING: Final = re.compile(r"(?:/(?!\.\.?/)[A-Za-z0-9._~-]+)*/iiif(?:/[0-9]?)?/?")
"""Pages about the API, without an image."""
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_DOTS: Final = re.compile(r"(?:^|[/\\])\.\.?(?:[/\\]|$)")
_LONGEST: Final = 6 * 1024
"""Bytes of an encoded identifier that services can be expected to take in a header (of 8 KiB)."""
_DECODINGS: Final = 4


class GateResource:
    """`/sidecar/gate`: says which image a request is about, and sends nginx on to the service."""

    kind: Final = "gate"

    def __init__(self, site: Site) -> None:
        self._site = site

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Answer nginx with the service's headers, or with 403 if nobody should be asked. Raises NotFound."""
        if not behind_nginx(req):
            raise NotFound("only nginx asks here")
        resp.set_header("Cache-Control", "no-store")
        try:
            described = describe(self._site, req.get_header("X-Original-URI") or "")
        except BadRequest:
            resp.status = falcon.HTTP_403
            return
        resp.status = falcon.HTTP_204
        resp.set_header("X-Accel-Redirect", _SERVICE)
        for name, value in described.items():
            resp.set_header(name, value)


def describe(site: Site, target: str) -> Mapping[str, str]:
    """Return what a URL (path and query, as they came) is about, as headers. Raises BadRequest if it is ambiguous."""
    path = target.partition("?")[0]
    found = _API.fullmatch(path)
    if found is None:
        if _HIDDEN_API.search(_decoded(path)) and not _LANDING.fullmatch(path):
            raise BadRequest("this may be a path of the IIIF Image API")
        return {"X-Image-Kind": "other"}
    name = site.syntax.name(found["segment"])
    key = quote(name, safe="")
    # A control character would end the header (RFC 9110 §5.5); dots lead to other folders, not everywhere to the same.
    if _CONTROL.search(name) or _DOTS.search(name) or len(key) > _LONGEST:
        raise BadRequest("this is no identifier of an image")
    return {
        "X-Image-Kind": _kind(found["rest"] or ""),
        "X-Image-Version": found["version"],
        # RFC 9110 §5.5: bytes above ASCII are opaque; a WSGI header has one character for each (PEP 3333).
        "X-Image-Identifier": name.encode().decode("latin-1"),
        "X-Image-Key": key,
    }


def _kind(rest: str) -> str:
    if rest in ("", "/"):
        return "base"
    return "info" if rest == "/info.json" else "image"


def _decoded(path: str) -> str:
    """Return a path as a server might read it that decodes too often."""
    for _ in range(_DECODINGS):
        path = unquote(path)
    return path
