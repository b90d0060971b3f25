"""What no log line may show: query strings, credentials in URLs, and headers that authenticate.

Signed URLs and tokens are as good as passwords while they last, and logs are read and kept by many. Applied to each
line as it is written, so that no caller and no library has to think of it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

_HIDDEN: Final = "*"

# A query follows a path or a host, or has a `=` in it; a question mark in a sentence has neither. Percent-encoded any
# number of times, as a URL within a URL is, it must have a `=`: `%3F` alone may be part of a file's name.
_RULES: Final = (
    # RFC 3986 §3.2.1: user and password before the host, also of a URL that is encoded within another.
    (
        re.compile(r"(?i)((?::|%(?:25)*3a)(?:/|%(?:25)*2f){2})[^/\s\"'<>@]*?(?:@|%(?:25)*40)(?=[^/\s])"),
        rf"\1{_HIDDEN}@",
    ),
    (re.compile(r"((?<![\w.])/?[^\s?\"'<>]*/[^\s?\"'<>]*)\?[^\s\"'<>]+"), rf"\1?{_HIDDEN}"),
    (re.compile(r"\?[^\s?\"'<>=]+=[^\s\"'<>]*"), f"?{_HIDDEN}"),
    (re.compile(r"(?i)(%(?:25)*3f)[^/\s\"'<>]*?(?:=|%(?:25)*3d)[^/\s\"'<>]*"), rf"\1{_HIDDEN}"),
    # RFC 9110 §11.6.2, RFC 6265, and the token of temporary AWS credentials.
    (
        re.compile(
            r"(?i)\b((?:proxy-)?authorization|(?:set-)?cookie|x-amz-security-token)"
            r"([\"']?\s*[:=,]\s*)(?:b?\"[^\"]*\"|b?'[^']*'|[^\r\n]*)"
        ),
        rf"\1\2{_HIDDEN}",
    ),
    (re.compile(r"(?i)\b(bearer|basic)\s+[A-Za-z0-9+/=._~-]{8,}"), rf"\1 {_HIDDEN}"),
)
_SIGNS: Final = re.compile(r"(?i)[?@]|%(?:25)*(?:3f|40)|authorization|cookie|security-token|bearer|basic")
"""A text without any of these is left as it is: most are."""


def redacted(text: str) -> str:
    """Return a text without what may be secret in it."""
    if not _SIGNS.search(text):
        return text
    for pattern, replacement in _RULES:
        text = pattern.sub(replacement, text)
    return text


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
