"""Requests that nobody has made, as gunicorn would hand them over, and what comes back."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from io import BytesIO
from typing import Any
from urllib.parse import unquote_to_bytes, urlsplit

from sidecar.http.client import BEHIND
from sidecar.render.service import ImageService


@dataclass(frozen=True, slots=True)
class Question:
    """A request that nobody has made."""

    url: str
    """Whole, or from the path on; percent-encoded as a client sends it."""
    headers: Mapping[str, str] = field(default_factory=dict)
    has_cantaloupe: bool = True
    """Whether the nginx site stands in front and a Cantaloupe behind; if not, neither does."""


@dataclass(slots=True)
class Asked:
    """A request on its way, and what comes of it."""

    environ: dict[str, Any]
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)

    def start(self, status: str, headers: Iterable[tuple[str, str]], *_: Any) -> None:
        self.status = int(status[:3])
        self.headers = {name.lower(): value for name, value in headers}


def as_asked(service: ImageService, question: Question) -> ImageService:
    """Return the service as it is for a question: without a Cantaloupe, if that has none."""
    if question.has_cantaloupe:
        return service
    return replace(service, settings=service.settings.model_copy(update={"cantaloupe_url": ""}))


def environ_of(question: Question, method: str) -> dict[str, Any]:
    """Return the WSGI environment of a request, as gunicorn makes it (PEP 3333)."""
    parts = urlsplit(question.url)
    target = question.url[len(parts.scheme) + 3 + len(parts.netloc) :] if parts.netloc else question.url
    path, _, query = (target if target.startswith("/") else f"/{target}").partition("?")
    headers = {"Host": parts.netloc or "localhost", **question.headers}
    if question.has_cantaloupe:
        headers[BEHIND] = "nginx"
    return {
        "REQUEST_METHOD": method,
        "SCRIPT_NAME": "",
        "PATH_INFO": unquote_to_bytes(path).decode("latin-1"),
        "QUERY_STRING": query,
        "RAW_URI": path + (f"?{query}" if query else ""),
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "127.0.0.1",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": parts.scheme or "http",
        "wsgi.input": BytesIO(),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": False,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
        **{f"HTTP_{name.upper().replace('-', '_')}": value for name, value in headers.items()},
    }


def close_body(body: Iterable[bytes]) -> None:
    """Close a response, as servers do (PEP 3333)."""
    close = getattr(body, "close", None)
    if close is not None:
        close()
