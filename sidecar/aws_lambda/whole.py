"""Answers as a whole: Lambda's handlers return them in one piece, of a limited size.

What is larger is refused with 413 and a text that says what to do. That is known only once that much of it is rendered:
its rendering ends there, so it takes no more memory than the largest answer that can be passed on.
"""

from __future__ import annotations

from collections.abc import Iterable
from http import HTTPStatus
from typing import Any, Final

from sidecar.aws_lambda.events import EVENT, read
from sidecar.http.middleware import StartResponse, Wsgi
from sidecar.observability.logging import log

_STATUS: Final = HTTPStatus.REQUEST_ENTITY_TOO_LARGE


class Whole:
    """A WSGI application around another: its answers in one chunk, or the refusal of one that is too large."""

    def __init__(self, app: Wsgi) -> None:
        self._app = app

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        """Answer as the inner application does. What breaks its answer off is raised: half an answer is none."""
        longest = read(environ[EVENT]).longest
        head: list[Any] = []

        def begin(*arguments: Any) -> None:
            head[:] = arguments

        chunks = self._app(environ, begin)
        body = bytearray()
        try:
            for chunk in chunks:
                body += chunk
                if len(body) > longest:
                    log.warning("an answer is too large for AWS Lambda", path=environ.get("RAW_URI"), longest=longest)
                    return _refusal(start_response, longest)
        finally:
            if callable(close := getattr(chunks, "close", None)):
                close()
        status, headers, *rest = head
        start_response(status, _joined(headers), *rest)
        return [bytes(body)]


def _joined(headers: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return the headers with one line for each name, since some fronts pass on the last one only (RFC 9110 §5.3)."""
    lines: dict[str, tuple[str, str]] = {}
    cookies: list[tuple[str, str]] = []
    for name, value in headers:
        if name.lower() == "set-cookie":
            cookies.append((name, value))
        else:
            first, before = lines.get(name.lower(), (name, ""))
            lines[name.lower()] = first, f"{before}, {value}" if before else value
    return [*lines.values(), *cookies]


def _refusal(start_response: StartResponse, longest: int) -> Iterable[bytes]:
    text = (
        f"{_STATUS.value} {_STATUS.phrase}\n\nthis response has more than {longest} bytes, the most that AWS Lambda "
        "passes on here; ask for a smaller size or region\n"
    ).encode()
    headers = [
        ("Content-Type", "text/plain;charset=utf-8"),
        ("Content-Length", str(len(text))),
        ("Cache-Control", "no-cache, must-revalidate"),
        ("Access-Control-Allow-Origin", "*"),
        ("X-Sidecar-Reason", "too-large"),
    ]
    start_response(f"{_STATUS.value} {_STATUS.phrase}", headers)
    return [text]
