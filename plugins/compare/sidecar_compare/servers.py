"""The two servers: one urllib3 pool each, with responses bounded in size and time."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from secrets import token_hex
from time import perf_counter
from typing import TypeAlias

import urllib3
from urllib3.exceptions import HTTPError
from urllib3.util import parse_url

from sidecar_compare.answered import HANDED_OVER
from sidecar_compare.errors import ComparisonError
from sidecar_compare.requests import Request

_PARAMETER = "sidecar-compare"
_PARAMETERS = re.compile(rf"[?&]{_PARAMETER}=[0-9a-f]*")


@dataclass(frozen=True, slots=True)
class Response:
    """A complete response."""

    status: int
    headers: Mapping[str, str]
    """Names in lower case; values of repeated names are joined by a comma (RFC 9110 §5.3)."""
    body: bytes = field(repr=False)
    seconds: tuple[float, ...]
    """Time from sending the request to the last byte, one for each round."""
    base: str
    """The URL of the server, with which its own URLs begin."""
    direct: bool = False
    """Whether it is the sidecar's own, without an nginx in between that would follow its handovers."""

    def without_base(self, text: str) -> str:
        """Replace the server's URL by a placeholder, so that URLs of the two servers can be compared.

        What the comparison added to a URL is removed, if a server repeats it.
        """
        return _PARAMETERS.sub("", text.replace(self.base, "{base}"))


@dataclass(frozen=True, slots=True)
class NoResponse:
    """The reason why there is no response to compare."""

    reason: str


Reply: TypeAlias = Response | NoResponse


class Server:
    """A client of one of the two servers. Up to `connections` threads may send requests at once."""

    def __init__(
        self,
        base: str,
        connections: int,
        timeout: float,
        headers: Mapping[str, str],
        max_bytes: int,
        *,
        fresh: bool = False,
    ) -> None:
        """`fresh`: no cache has the answers. Raise ComparisonError if `base` is not the URL of a server."""
        try:
            url = parse_url(base)
            self._pool = urllib3.connection_from_url(base, maxsize=connections, timeout=timeout, retries=False)
        except (HTTPError, ValueError) as error:
            raise ComparisonError(f"{base}: {error}") from error
        if url.scheme not in ("http", "https") or not url.host:
            raise ComparisonError(f"{base}: the URL of a server begins with http:// or https://")
        self.base = base.rstrip("/")
        self._prefix = (url.path or "").rstrip("/")
        self._headers = headers
        self._max_bytes = max_bytes
        self._fresh = fresh
        self._direct = False

    def send(self, request: Request) -> Reply:
        """Send one request. Redirects are not followed, but compared like other responses."""
        try:
            return self._send(request)
        except HTTPError as error:
            return NoResponse(f"{type(error).__name__}: {error}")

    def check(self) -> None:
        """Raise ComparisonError if the server does not respond; the status does not matter.

        The sidecar itself hands this request over, which nobody else does.
        """
        reply = self.send(Request("HEAD", "/"))
        if isinstance(reply, NoResponse):
            raise ComparisonError(f"{self.base}: {reply.reason}")
        self._direct = HANDED_OVER in reply.headers

    def close(self) -> None:
        self._pool.close()

    def _send(self, request: Request) -> Reply:
        target = self._prefix + (_unlike_any_other(request.target) if self._fresh else request.target)
        begun = perf_counter()
        response = self._pool.urlopen(
            request.method, target, headers=self._headers, redirect=False, preload_content=False
        )
        with closing(response):
            body = response.read(self._max_bytes + 1, decode_content=True)
            if len(body) > self._max_bytes:
                return NoResponse(f"more than {self._max_bytes} bytes")
            seconds = perf_counter() - begun
            headers = {name.lower(): ", ".join(response.headers.getlist(name)) for name in response.headers}
            response.release_conn()
        return Response(response.status, headers, body, (seconds,), self.base, self._direct)


def _unlike_any_other(target: str) -> str:
    """Return a target with a parameter that no server knows and no cache has seen: caches go by the whole URL.

    For caches that take no notice of Cache-Control in requests.
    """
    return f"{target}{'&' if '?' in target else '?'}{_PARAMETER}={token_hex(8)}"


def send_to_both(request: Request, servers: Sequence[Server], rounds: int, *, second_first: bool) -> list[Reply]:
    """Send the request to each server `rounds` times in turn; later rounds add only their times.

    The first server warms the page cache for the second, so the caller alternates `second_first`.
    """
    order = (1, 0) if second_first else (0, 1)
    replies: dict[int, Reply] = {}
    for _ in range(rounds):
        for index in order:
            replies[index] = _joined(replies.get(index), servers[index].send(request))
    return [replies[0], replies[1]]


def _joined(first: Reply | None, again: Reply) -> Reply:
    if isinstance(first, Response) and isinstance(again, Response):
        return replace(first, seconds=first.seconds + again.seconds)
    return again if first is None else first
