"""Ranges of objects of an HTTP server, and every way in which its response can be wrong (RFC 9110 §13, §14, §15)."""

from __future__ import annotations

import re
from collections.abc import Generator, Mapping
from contextlib import AbstractContextManager
from http import HTTPStatus
from typing import Final, Protocol

import urllib3

from sidecar.errors import SourceChanged, SourceError, SourceTimeout
from sidecar.plugin import ByteRange
from sidecar.remote.http_client import Response
from sidecar.remote.transport import Opening, Transient, Version

_CONTENT_RANGE: Final = re.compile(r"bytes (?:(\d{1,18})-(\d{1,18})|\*)/(\d{1,18})$")
_LENGTH: Final = re.compile(r"\d{1,18}$")
_ERROR_CODE: Final = re.compile(rb"<Code>(\w{1,64})</Code>")
_ERROR_BODY: Final = 8 * 1024
_TEMPORARY: Final[Mapping[int, type[SourceError]]] = {
    HTTPStatus.REQUEST_TIMEOUT: SourceTimeout,
    HTTPStatus.TOO_MANY_REQUESTS: SourceError,
    HTTPStatus.INTERNAL_SERVER_ERROR: SourceError,
    HTTPStatus.BAD_GATEWAY: SourceError,
    HTTPStatus.SERVICE_UNAVAILABLE: SourceError,
    HTTPStatus.GATEWAY_TIMEOUT: SourceTimeout,
}
"""Statuses after which another attempt may succeed."""
REDIRECTS: Final = (
    HTTPStatus.MOVED_PERMANENTLY,
    HTTPStatus.FOUND,
    HTTPStatus.SEE_OTHER,
    HTTPStatus.TEMPORARY_REDIRECT,
    HTTPStatus.PERMANENT_REDIRECT,
)
"""Statuses with a Location that leads to the same content (RFC 9110 §15.4)."""
_CONTENT: Final = (HTTPStatus.OK, HTTPStatus.PARTIAL_CONTENT)
_GONE: Final = (
    HTTPStatus.NOT_FOUND,
    HTTPStatus.GONE,
    HTTPStatus.PRECONDITION_FAILED,
    HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE,
)
"""The status of a range request if the object has disappeared since it was opened."""


class HttpOrigin(Protocol):
    """What a source adds: how to ask its server, and what the responses mean. Called in greenlets."""

    def get(self, key: str, headers: Mapping[str, str]) -> AbstractContextManager[Response]:
        """Ask for an object. Raises Transient, SourceError."""
        ...

    def is_absent(self, status: int, code: str) -> bool:
        """Report whether a response other than 200 or 206 means for sure that there is no such object.

        `code` is the one in an XML error document (S3 and Azure write one), empty if the body is none.
        """
        ...

    def close(self) -> None:
        """Close the connections."""
        ...


class RangedTransport:
    """A Transport over HTTP. An object is opened by asking for its first bytes: one round trip, and no HEAD."""

    def __init__(self, name: str, origin: HttpOrigin) -> None:
        self._name = name
        self._origin = origin
        self.close = origin.close

    def open(self, key: str, head: int, known: Version | None) -> Opening | None:
        """Find an object and get its first bytes; without ranges, a server serves objects no larger than those."""
        with self._origin.get(key, {"Range": f"bytes=0-{head - 1}", **_news(known)}) as response:
            if response.status in _CONTENT:
                return self._opening(response, head)
            code = _code(response)
            if response.status == HTTPStatus.NOT_MODIFIED and known:
                return Opening(known)
            if response.status == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and _content_range(response) == (0, 0, 0):
                return Opening(Version(0, modified="empty"))
            if self._origin.is_absent(response.status, code):
                return None
            raise refused(self._name, response, code)

    def fetch(self, key: str, version: Version, wanted: ByteRange, step: int) -> Generator[bytes, None, None]:
        """Return the wanted bytes in pieces; nothing is read before the headers show that they are the right ones."""
        asked = {"Range": f"bytes={wanted.start}-{wanted.stop - 1}", **_condition(version)}
        with self._origin.get(key, asked) as response:
            if response.status not in _CONTENT:
                code = _code(response)
                if response.status in _GONE:
                    raise SourceChanged(f"{self._name}: the object is no longer the one that was opened")
                raise refused(self._name, response, code)
            if _version(response, version.size).validator != version.validator:
                raise SourceChanged(f"{self._name}: the object has changed since it was opened")
            yield from self._pieces(response, version, wanted, step)

    def _opening(self, response: Response, head: int) -> Opening:
        start, stop, size = self._extent(response)
        if response.status == HTTPStatus.OK and size > head:
            raise SourceError(f"{self._name}: the server ignores Range; {size} bytes are not fetched whole")
        if (start, stop) != (0, min(head, size)):
            raise SourceError(f"{self._name}: asked for the first {head} bytes of {size}, got {start} to {stop}")
        version = _version(response, size)
        if not version.validator:
            raise SourceError(f"{self._name}: the server sends neither ETag nor Last-Modified")
        return Opening(version, _exactly(response, stop))

    def _pieces(
        self, response: Response, version: Version, wanted: ByteRange, step: int
    ) -> Generator[bytes, None, None]:
        start, stop, size = self._extent(response)
        if size != version.size:
            raise SourceChanged(f"{self._name}: the object has {size} bytes and had {version.size}")
        if response.status == HTTPStatus.OK and size <= step:
            yield _exactly(response, size)[wanted.start : wanted.stop]
            return
        if (start, stop) != wanted:
            raise SourceError(f"{self._name}: asked for bytes {wanted.start} to {wanted.stop}, got {start} to {stop}")
        for begin in range(start, stop, step):
            yield _exactly(response, min(step, stop - begin))

    def _extent(self, response: Response) -> tuple[int, int, int]:
        """Return first byte, byte after the last, and size of the whole, from the headers of a 200 or 206."""
        if response.headers.get("Content-Encoding", "identity").lower() != "identity":
            raise SourceError(f"{self._name}: the server encodes the content, so ranges of it are meaningless")
        length = response.headers.get("Content-Length", "")
        if response.status == HTTPStatus.PARTIAL_CONTENT:
            found = _content_range(response)
        else:
            found = (0, int(length), int(length)) if _LENGTH.match(length) else None
        if not found or (length and length != str(found[1] - found[0])):
            raise SourceError(f"{self._name}: the server does not state correctly which bytes it sends")
        return found


def refused(name: str, response: Response, code: str = "") -> SourceError | Transient:
    """Return what a status means that no other case is for: whether another attempt may succeed."""
    text = f"{name}: status {response.status} {code}".rstrip()
    if response.status in _TEMPORARY:
        return Transient(_TEMPORARY[response.status](text), _retry_after(response))
    return SourceError(text)


def _code(response: Response) -> str:
    """Return the code in an XML error document. Reads the body if it is short: the connection can then be kept."""
    found = _ERROR_CODE.search(response.read(_ERROR_BODY))
    return found[1].decode() if found else ""


def _version(response: Response, size: int) -> Version:
    return Version(size, response.headers.get("ETag", ""), response.headers.get("Last-Modified", ""))


def _news(known: Version | None) -> Mapping[str, str]:
    """Ask for an object only if it is no longer the known one (RFC 9110 §13.1.2)."""
    return {"If-None-Match": known.etag} if known and known.strong else {}


def _condition(version: Version) -> Mapping[str, str]:
    """Ask for an object only as long as it is this one. If-Match compares strongly (RFC 9110 §13.1.1)."""
    if version.strong:
        return {"If-Match": version.etag}
    return {"If-Unmodified-Since": version.modified} if version.modified else {}


def _content_range(response: Response) -> tuple[int, int, int] | None:
    match = _CONTENT_RANGE.match(response.headers.get("Content-Range", ""))
    if not match:
        return None
    first, last, size = match.groups()
    return (0, 0, int(size)) if first is None else (int(first), int(last) + 1, int(size))


def _exactly(response: Response, size: int) -> bytes:
    """Return so many bytes of the body. If it ends too soon, urllib3 raises IncompleteRead, a Transient by then."""
    data = response.read(size)
    if len(data) != size:
        raise Transient(SourceError(f"the response ended {size - len(data)} bytes too soon"))
    return data


def _retry_after(response: Response) -> float:
    """Return seconds, from a number or a date (RFC 9110 §10.2.3); 0 if it is neither."""
    try:
        return float(urllib3.Retry().get_retry_after(response) or 0)
    except (urllib3.exceptions.InvalidHeader, ValueError, OverflowError):  # the latter two of absurd digits and years
        return 0.0
