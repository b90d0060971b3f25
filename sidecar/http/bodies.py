"""Bodies of requests that are handed over without nginx: read whole, within bounds, before Cantaloupe is asked.

The sidecar itself needs none. A body on its way takes memory and a connection of a client, and nothing of Cantaloupe:
what never arrives whole never gets there, as behind nginx, which buffers bodies too.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import Final

import falcon
from gevent import Timeout

_CHUNK: Final = 8 * 1024
"""Bytes read at once: so many of a body that does not go on are in memory and not counted."""
_AT_ONCE: Final = 32
"""The longest bodies that fit into memory together."""


class BodyRefused(Exception):
    """A body that is not passed on."""

    def __init__(self, status: HTTPStatus, reason: str, text: str) -> None:
        """`reason`: the word for logs."""
        super().__init__(text)
        self.status, self.reason = status, reason


class Bodies:
    """The bodies of a worker's requests that are on their way to Cantaloupe."""

    def __init__(self, longest: int, seconds: float) -> None:
        """`longest`: bytes of one body; `seconds` in which it must be here."""
        self._longest, self._seconds = longest, seconds
        self._left = longest * _AT_ONCE
        """Bytes that all may still take."""

    @contextmanager
    def whole(self, req: falcon.Request) -> Iterator[bytes | None]:
        """Read the body of a request (RFC 9112 §6.3); None if it has none. Raises BodyRefused."""
        length = req.content_length
        if not length and not req.get_header("Transfer-Encoding"):
            yield None
            return
        if length and length > self._longest:
            raise self._too_long()
        body = bytearray()
        try:
            self._read(req, length, body)
            yield bytes(body)
        finally:
            self._left += len(body)

    def _read(self, req: falcon.Request, length: int | None, body: bytearray) -> None:
        try:
            with Timeout(self._seconds) as late:
                # gunicorn takes chunks apart, and ends the stream with the last of them.
                while (length is None or len(body) < length) and (chunk := self._next(req, length, len(body))):
                    self._left -= len(chunk)
                    body += chunk
                    if len(body) > self._longest:
                        raise self._too_long()
                    if self._left < 0:
                        text = "too many bodies are on their way; try again later"
                        raise BodyRefused(HTTPStatus.SERVICE_UNAVAILABLE, "overloaded", text)
        except Timeout as passed:
            if passed is not late:
                raise
            passed.__traceback__ = None  # it leads back to this frame, and to the body
            text = f"the body did not arrive within {self._seconds:g} seconds"
            raise BodyRefused(HTTPStatus.REQUEST_TIMEOUT, "body", text) from None
        if length is not None and len(body) < length:
            raise BodyRefused(HTTPStatus.BAD_REQUEST, "body", "the body ends early")

    def _next(self, req: falcon.Request, length: int | None, have: int) -> bytes:
        # Not more than there is room for: a piece is in memory before it can be counted.
        wanted = _CHUNK if length is None else min(_CHUNK, length - have)
        return bytes(req.env["wsgi.input"].read(wanted))

    def _too_long(self) -> BodyRefused:
        text = f"the body has more than {self._longest} bytes"
        return BodyRefused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "body", text)
