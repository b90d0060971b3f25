"""The URI of an image as the client knows it, behind any number of proxies."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import quote

from sidecar.errors import BadRequest

# RFC 3986 §3.2: a name or literal address, and a port.
_HOST: Final = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._~-]+)(?::([0-9]{0,5}))?")
_PORT: Final = re.compile("[0-9]{1,5}")
# RFC 3986 §3.3: pchar and slashes. Nothing that could end a header, a quoted string or a Link's <>.
_PCHARS: Final = "!$&'()*+,;=:@%"
_PATH: Final = re.compile(r"(?:[A-Za-z0-9._~/!$&'()*+,;=:@-]|%[0-9A-Fa-f]{2})+")
_DEFAULT_PORTS: Final = {"http": "80", "https": "443"}


def public_uri(
    version: int,
    segment: str,
    headers: Mapping[str, str],
    *,
    base_uri: str = "",
    scheme: str = "http",
    prefix: str = "",
) -> str:
    """Return the URI of an image as the client knows it: `…/iiif/2/identifier`.

    It begins with `base_uri`, else with the values of X-Forwarded-Proto, -Host, -Port and -Path (of several values the
    first, which the proxy nearest to the client wrote), else with Host and `prefix`; `prefix` stands for a missing
    X-Forwarded-Path too. X-Forwarded-ID replaces the segment. Header names may be in any case. Forwarded values that
    could not stand in a URI are ignored; for a Host like that, BadRequest is raised.
    """
    found = {name.lower(): value.strip() for name, value in headers.items()}
    root = base_uri.rstrip("/") or _root(
        {name: value.partition(",")[0].strip() for name, value in found.items()}, scheme, prefix
    )
    forwarded = found.get("x-forwarded-id", "")
    known = forwarded if _PATH.fullmatch(forwarded) else quote(segment, safe=_PCHARS)
    return f"{root}/iiif/{version}/{known}"


def _root(headers: Mapping[str, str], scheme: str, prefix: str) -> str:
    proto = headers.get("x-forwarded-proto", "").lower()
    forwarded_proto = proto if proto in _DEFAULT_PORTS else ""
    scheme = forwarded_proto or scheme
    host, port = _authority(headers, forwarded_proto)
    default = not port or port == _DEFAULT_PORTS.get(scheme)
    return f"{scheme}://{host}{'' if default else f':{port}'}{_prefix(headers) or prefix}"


def _authority(headers: Mapping[str, str], forwarded_proto: str) -> tuple[str, str]:
    """Return host and port. A forwarded host without a port has that of the protocol or, as in Cantaloupe, of Host."""
    own = _HOST.fullmatch(headers.get("host", "") or "localhost")
    if own is None:
        raise BadRequest("Host: this is not a host name")
    forwarded = _HOST.fullmatch(headers.get("x-forwarded-host", "").rpartition("://")[2])
    port = headers.get("x-forwarded-port", "")
    if not _PORT.fullmatch(port):
        implied = _DEFAULT_PORTS.get(forwarded_proto) or own[2] or ""
        port = (forwarded and forwarded[2]) or implied
    return (forwarded or own)[1], port


def _prefix(headers: Mapping[str, str]) -> str:
    path = headers.get("x-forwarded-path", "").strip("/")
    return f"/{path}" if _PATH.fullmatch(path) else ""
