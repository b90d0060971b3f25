"""What no log line may show: query strings, credentials in URLs, and headers that authenticate.

Signed URLs and tokens are as good as passwords while they last, and logs are read and kept by many. Applied to each
line as it is written, so that no caller and no library has to think of it. Lines hold what strangers send: everything
here takes time in proportion to the length.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

_HIDDEN: Final = "*"
_SIGNS: Final = ("?", "@", "%3f", "%40", "%25", "authorization", "cookie", "security-token", "bearer", "basic")
"""A text without any of these, in any case, is left as it is: most are, and to look for constants costs little."""
_TOKEN: Final = re.compile(r"[^\s\"'<>]+")
"""What a URL or a path could be: up to white space, a quote or a bracket (RFC 3986, appendix C)."""
# A URL within a URL is percent-encoded, any number of times.
_QUERY: Final = re.compile(r"(?i)%(?:25)*3f")
_EQUALS: Final = re.compile(r"(?i)=|%(?:25)*3d")
_AUTHORITY: Final = re.compile(r"(?i)(?::|%(?:25)*3a)(/|%(?:25)*2f){2}")
_AT: Final = re.compile(r"(?i)@|%(?:25)*40")
# RFC 9110 §11.6.2, RFC 6265, and the token of temporary AWS credentials: in headers as sent, or shown by Python.
_HEADER: Final = re.compile(
    r"(?i)\b((?:proxy-)?authorization|(?:set-)?cookie|x-amz-security-token)"
    r"([\"']?\s*[:=,]\s*)(?:b?\"[^\"]*\"|b?'[^']*'|[^\r\n]*)"
)
_SCHEME: Final = re.compile(r"(?i)\b(bearer|basic)\s+[A-Za-z0-9+/=._~-]{8,}")


def redacted(text: str) -> str:
    """Return a text without what may be secret in it."""
    if not _is_suspicious(text.lower()):
        return text
    text = _HEADER.sub(rf"\1\2{_HIDDEN}", text)
    text = _SCHEME.sub(rf"\1 {_HIDDEN}", text)
    return _TOKEN.sub(lambda found: _without_query(_without_user(found[0])), text)


def _is_suspicious(lowered: str) -> bool:
    for sign in _SIGNS:  # noqa: SIM110  # `any` takes three times as long, and this is asked of each field of each line
        if sign in lowered:
            return True
    return False


def redact(_logger: object, _method: str, line: Mapping[str, Any]) -> Mapping[str, Any]:
    """Redact all texts of a log line: a processor of structlog."""
    return {name: _value(value) for name, value in line.items()}


def _value(value: Any) -> Any:
    if isinstance(value, str):
        return redacted(value)
    if isinstance(value, Mapping):
        return {key: _value(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_value(each) for each in value]
    return value if isinstance(value, bool | int | float | None) else redacted(str(value))


def _without_user(token: str) -> str:
    """Hide user and password between the slashes and the host (RFC 3986 §3.2.1)."""
    kept: list[str] = []
    done = 0
    for found in _AUTHORITY.finditer(token):
        end = token.find(found[1], found.end())
        marks = [*_AT.finditer(token, found.end(), len(token) if end < 0 else end)]
        if marks and found.end() >= done:
            kept += token[done : found.end()], _HIDDEN
            done = marks[-1].start()
    return "".join(kept) + token[done:]


def _without_query(token: str) -> str:
    """Hide a query: after a path or a host, or with a `=` in it; a question mark of a sentence has neither."""
    path, mark, query = token.partition("?")
    if query and ("/" in path or "=" in query):
        query = _HIDDEN
    return "/".join(map(_without_encoded_query, path.split("/"))) + mark + query


def _without_encoded_query(segment: str) -> str:
    """Hide the query of a URL within a URL; an encoded question mark without a `=` may be part of a file's name."""
    found = _QUERY.search(segment)
    if found is None or _EQUALS.search(segment, found.end()) is None:
        return segment
    return segment[: found.end()] + _HIDDEN
