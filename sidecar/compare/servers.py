"""Asking the two servers: one urllib3 pool each, answers bounded in size and time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from time import perf_counter
from typing import TypeAlias

import urllib3
from urllib3.exceptions import HTTPError
from urllib3.util import parse_url

from sidecar.compare.requests import Wanted
from sidecar.errors import StartError


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server said."""

    status: int
    headers: Mapping[str, str]
    """Names in lower case; several of one name joined by a comma (RFC 9110 §5.3)."""
    body: bytes = field(repr=False)
    seconds: tuple[float, ...]
    """From sending to the last byte, one for each time it was asked."""
    base: str
    """The beginning of the server's own URLs."""

    def neutral(self, text: str) -> str:
        """A text without the name of the server."""
        return text.replace(self.base, "{base}")


@dataclass(frozen=True, slots=True)
class NoAnswer:
    """Why a server said nothing that could be compared."""

    reason: str


Reply: TypeAlias = Answer | NoAnswer


class Server:
    """One of the two. Any number of threads up to `connections` may ask at once."""

    def __init__(self, base: str, connections: int, timeout: float, headers: Mapping[str, str], max_bytes: int) -> None:
        """Raise StartError where `base` is no URL of a server."""
        try:
            url = parse_url(base)
            self._pool = urllib3.connection_from_url(base, maxsize=connections, timeout=timeout, retries=False)
        except (HTTPError, ValueError) as error:
            raise StartError(f"{base}: {error}") from error
        if url.scheme not in ("http", "https") or not url.host:
            raise StartError(f"{base}: the URL of a server begins with http:// or https://")
        self.base = base.rstrip("/")
        self._prefix = (url.path or "").rstrip("/")
        self._headers = headers
        self._max_bytes = max_bytes

    def ask(self, wanted: Wanted) -> Reply:
        """Send one request. Redirects are not followed: they are answers to compare."""
        try:
            return self._ask(wanted)
        except HTTPError as error:
            return NoAnswer(f"{type(error).__name__}: {error}")

    def reach(self) -> None:
        """Raise StartError where nothing listens."""
        reply = self.ask(Wanted("HEAD", "/"))
        if isinstance(reply, NoAnswer):
            raise StartError(f"{self.base}: {reply.reason}")

    def close(self) -> None:
        """Close the connections."""
        self._pool.close()

    def _ask(self, wanted: Wanted) -> Reply:
        begun = perf_counter()
        response = self._pool.urlopen(
            wanted.method, self._prefix + wanted.target, headers=self._headers, redirect=False, preload_content=False
        )
        with closing(response):
            body = response.read(self._max_bytes + 1, decode_content=True)
            if len(body) > self._max_bytes:
                return NoAnswer(f"more than {self._max_bytes} bytes")
            seconds = perf_counter() - begun
            headers = {name.lower(): ", ".join(response.headers.getlist(name)) for name in response.headers}
            response.release_conn()
        return Answer(response.status, headers, body, (seconds,), self.base)


def ask_both(wanted: Wanted, servers: Sequence[Server], rounds: int, *, second_first: bool) -> list[Reply]:
    """Ask each server `rounds` times in turn; the first round gives the answers, the others only more timings.

    Who is asked second profits from what the first has warmed (the file in the page cache), so the caller alternates.
    """
    order = (1, 0) if second_first else (0, 1)
    replies: dict[int, Reply] = {}
    for _ in range(rounds):
        for index in order:
            replies[index] = _joined(replies.get(index), servers[index].ask(wanted))
    return [replies[0], replies[1]]


def _joined(first: Reply | None, again: Reply) -> Reply:
    if isinstance(first, Answer) and isinstance(again, Answer):
        return Answer(first.status, first.headers, first.body, first.seconds + again.seconds, first.base)
    return again if first is None else first
