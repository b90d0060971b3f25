"""The identifier segment of a path, and the URI by which the client knows it.

As in Cantaloupe, whose `StandardMetaIdentifierTransformer` parts `name;page;numerator:denominator` from the right.
Like there, `+` stands for a space; a plus sign is `%2B`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Final
from urllib.parse import quote, unquote_to_bytes

from sidecar.errors import BadRequest, Unsupported

_ONE: Final = Fraction(1)
_BAD_ESCAPE: Final = re.compile("%(?![0-9A-Fa-f]{2})")
# RFC 3986 §3.2: a name or literal address, and a port.
_HOST: Final = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._~-]+)(?::([0-9]{0,5}))?")
_PORT: Final = re.compile("[0-9]{1,5}")
# RFC 3986 §3.3: pchar and slashes. Nothing that could end a header, a quoted string or a Link's <>.
_PCHARS: Final = "!$&'()*+,;=:@%"
_PATH: Final = re.compile(r"(?:[A-Za-z0-9._~/!$&'()*+,;=:@-]|%[0-9A-Fa-f]{2})+")
_DEFAULT_PORTS: Final = {"http": "80", "https": "443"}


@dataclass(frozen=True, slots=True)
class Identifier:
    """What an identifier segment says."""

    name: str
    """What sources are asked for: any text."""
    page: int | None = None
    """1 where it is named; other pages are not read here."""
    scale: Fraction = _ONE
    """The scale constraint: the image pretends to be this much smaller."""


def decode(segment: str, slash_substitute: str = "", delimiter: str = ";") -> Identifier:
    """Read a raw identifier segment, percent-decoding it exactly once.

    Raises BadRequest for broken escapes, bytes that are not UTF-8 and impossible pages or constraints, Unsupported for
    pages other than the first and for constraints that Cantaloupe redirects to their shortest form.
    """
    name, page, numerator, denominator = _parted(segment, slash_substitute, delimiter)
    return Identifier(name, _page(page), _scale(numerator, denominator))


def named(segment: str, slash_substitute: str = "", delimiter: str = ";") -> str:
    """The name in an identifier segment, whatever page and constraint it asks for. Raises BadRequest."""
    return _parted(segment, slash_substitute, delimiter)[0]


def _parted(segment: str, slash_substitute: str, delimiter: str) -> tuple[str, str | None, str | None, str | None]:
    text = _decoded(segment)
    if slash_substitute:
        text = text.replace(slash_substitute, "/")
    match = _pattern(delimiter).fullmatch(text) if delimiter else None
    return (match[1], match[2], match[3], match[4]) if match else (text, None, None, None)


def _decoded(segment: str) -> str:
    if not segment.isascii() or _BAD_ESCAPE.search(segment):
        raise BadRequest("identifier: it is not percent-encoded")
    try:
        return unquote_to_bytes(segment.replace("+", " ")).decode("utf-8")
    except UnicodeDecodeError as error:
        raise BadRequest("identifier: it is not UTF-8") from error


def _pattern(delimiter: str) -> re.Pattern[str]:
    mark = re.escape(delimiter)
    # The name takes as little as it can, so page and constraint are found from the right; re caches the pattern.
    return re.compile(f"(.+?)(?:{mark}([0-9]{{1,9}}))?(?:{mark}([0-9]{{1,9}}):([0-9]{{1,9}}))?")


def _page(text: str | None) -> int | None:
    if text is None:
        return None
    page = int(text)
    if page < 1:
        raise BadRequest("identifier: pages begin with 1")
    if page > 1:
        raise Unsupported("identifier: only first pages are read here")
    return page


def _scale(numerator: str | None, denominator: str | None) -> Fraction:
    if numerator is None or denominator is None:
        return _ONE
    above, below = int(numerator), int(denominator)
    if not 0 < above <= below:
        raise BadRequest("identifier: a scale constraint is above 0 and at most 1")
    scale = Fraction(above, below)
    if scale == 1 or scale.denominator != below:
        raise Unsupported("identifier: the scale constraint is not in its shortest form")
    return scale


def public_uri(
    version: int, segment: str, headers: Mapping[str, str], *, base_uri: str = "", scheme: str = "http"
) -> str:
    """The URI of an image as the client knows it: `…/iiif/2/identifier`.

    It begins with `base_uri`, else with what X-Forwarded-Proto, -Host, -Port and -Path say (of several values the
    first, which the proxy nearest to the client wrote), else with Host. X-Forwarded-ID replaces the segment. Header
    names may be in any case. Forwarded values that could not stand in a URI are ignored; a Host like that is
    BadRequest.
    """
    found = {name.lower(): value.strip() for name, value in headers.items()}
    root = base_uri.rstrip("/") or _root(
        {name: value.partition(",")[0].strip() for name, value in found.items()}, scheme
    )
    forwarded = found.get("x-forwarded-id", "")
    known = forwarded if _PATH.fullmatch(forwarded) else quote(segment, safe=_PCHARS)
    return f"{root}/iiif/{version}/{known}"


def _root(headers: Mapping[str, str], scheme: str) -> str:
    proto = headers.get("x-forwarded-proto", "").lower()
    forwarded_proto = proto if proto in _DEFAULT_PORTS else ""
    scheme = forwarded_proto or scheme
    host, port = _authority(headers, forwarded_proto)
    default = not port or port == _DEFAULT_PORTS.get(scheme)
    return f"{scheme}://{host}{'' if default else f':{port}'}{_prefix(headers)}"


def _authority(headers: Mapping[str, str], forwarded_proto: str) -> tuple[str, str]:
    """Host and port. A forwarded host without a port has that of the protocol or, as in Cantaloupe, that of Host."""
    own = _HOST.fullmatch(headers.get("host", "") or "localhost")
    if own is None:
        raise BadRequest("Host: it is not a host")
    forwarded = _HOST.fullmatch(headers.get("x-forwarded-host", "").rpartition("://")[2])
    port = headers.get("x-forwarded-port", "")
    if not _PORT.fullmatch(port):
        implied = _DEFAULT_PORTS.get(forwarded_proto) or own[2] or ""
        port = (forwarded and forwarded[2]) or implied
    return (forwarded or own)[1], port


def _prefix(headers: Mapping[str, str]) -> str:
    path = headers.get("x-forwarded-path", "").strip("/")
    return f"/{path}" if _PATH.fullmatch(path) else ""
