"""Objects of an HTTP server in ranges, and every way in which its answer can be wrong (RFC 9110 §13, §14, §15)."""

from __future__ import annotations

import re
import time
from collections.abc import Generator, Mapping
from contextlib import AbstractContextManager
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Final, Protocol

from sidecar.errors import SourceChanged, SourceError, SourceTimeout
from sidecar.model import ByteRange
from sidecar.remote.client import Response
from sidecar.remote.transport import Opening, Transient, Version

_CONTENT_RANGE: Final = re.compile(r"bytes (?:(\d{1,18})-(\d{1,18})|\*)/(\d{1,18})$")
_LENGTH: Final = re.compile(r"\d{1,18}$")
_ERROR_CODE: Final = re.compile(rb"<Code>(\w{1,64})</Code>")
_ERROR_BODY: Final = 8 * 1024
_OVER_SOON: Final[Mapping[int, type[SourceError]]] = {
    HTTPStatus.REQUEST_TIMEOUT: SourceTimeout,
    HTTPStatus.TOO_MANY_REQUESTS: SourceError,
    HTTPStatus.INTERNAL_SERVER_ERROR: SourceError,
    HTTPStatus.BAD_GATEWAY: SourceError,
    HTTPStatus.SERVICE_UNAVAILABLE: SourceError,
    HTTPStatus.GATEWAY_TIMEOUT: SourceTimeout,
}
"""Statuses after which another attempt may do better."""


_CONTENT: Final = (HTTPStatus.OK, HTTPStatus.PARTIAL_CONTENT)
_GONE: Final = (
    HTTPStatus.NOT_FOUND,
    HTTPStatus.GONE,
    HTTPStatus.PRECONDITION_FAILED,
    HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE,
)
"""What a range of an object that was there a moment ago is answered with when it is there no more."""


class Far(Protocol):
    """What an origin that speaks HTTP has of its own."""

    def get(self, key: str, headers: Mapping[str, str]) -> AbstractContextManager[Response]:
        """Ask for an object. Raises Transient, SourceError."""
        ...

    def is_absent(self, status: int, code: str) -> bool:
        """Whether an answer other than 200 or 206 says for sure that there is no such object.

        `code` is that of an S3 error document, empty where the body is none.
        """
        ...

    def close(self) -> None:
        """Close the connections."""
        ...


class RangedTransport:
    """A Transport over HTTP. An object is opened by asking for its first bytes: one round trip, and no HEAD."""

    def __init__(self, name: str, far: Far) -> None:
        self._name = name
        self._far = far
        self.close = far.close

    def open(self, key: str, head: int, known: Version | None) -> Opening | None:
        """Find an object and get its first bytes; a server without ranges will do for objects no larger than those."""
        with self._far.get(key, {"Range": f"bytes=0-{head - 1}", **_news(known)}) as response:
            if response.status in _CONTENT:
                return self._opening(response, head)
            code = _code(response)
            if response.status == HTTPStatus.NOT_MODIFIED and known:
                return Opening(known)
            if response.status == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and _content_range(response) == (0, 0, 0):
                return Opening(Version(0, modified="empty"))
            if self._far.is_absent(response.status, code):
                return None
            raise self._refused(response, code)

    def fetch(self, key: str, version: Version, wanted: ByteRange, step: int) -> Generator[bytes, None, None]:
        """The wanted bytes in pieces; nothing is read before the headers have said that they are the right ones."""
        asked = {"Range": f"bytes={wanted.start}-{wanted.stop - 1}", **_condition(version)}
        with self._far.get(key, asked) as response:
            if response.status not in _CONTENT:
                code = _code(response)
                if response.status in _GONE:
                    raise SourceChanged(f"{self._name}: the object is no longer the one that was opened")
                raise self._refused(response, code)
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
            raise SourceError(f"{self._name}: the server gives neither ETag nor Last-Modified")
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
        """First byte, byte after the last, and size of the whole, by a 200's or 206's headers."""
        if response.headers.get("Content-Encoding", "identity").lower() != "identity":
            raise SourceError(f"{self._name}: the server encodes the content, so ranges of it mean nothing")
        length = response.headers.get("Content-Length", "")
        if response.status == HTTPStatus.PARTIAL_CONTENT:
            found = _content_range(response)
        else:
            found = (0, int(length), int(length)) if _LENGTH.match(length) else None
        if not found or (length and length != str(found[1] - found[0])):
            raise SourceError(f"{self._name}: the server does not say rightly which bytes it sends")
        return found

    def _refused(self, response: Response, code: str) -> SourceError | Transient:
        text = f"{self._name}: status {response.status} {code}".rstrip()
        if response.status in _OVER_SOON:
            return Transient(_OVER_SOON[response.status](text), _retry_after(response))
        return SourceError(text)


def _code(response: Response) -> str:
    """The code in an S3 error document. Reads the body if it is short: the connection can then be kept."""
    found = _ERROR_CODE.search(response.read(_ERROR_BODY))
    return found[1].decode() if found else ""


def _version(response: Response, size: int) -> Version:
    return Version(size, response.headers.get("ETag", ""), response.headers.get("Last-Modified", ""))


def _news(known: Version | None) -> Mapping[str, str]:
    """Ask for an object only if it is not the known one any more (RFC 9110 §13.1.2)."""
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
    """So many bytes of the body. urllib3 raises IncompleteRead, a Transient by then, where it ends too soon."""
    data = response.read(size)
    if len(data) != size:
        raise Transient(SourceError(f"the answer ended {size - len(data)} bytes too soon"))
    return data


def _retry_after(response: Response) -> float:
    """Seconds; a date is allowed too (RFC 9110 §10.2.3)."""
    value = response.headers.get("Retry-After", "").strip()
    try:
        return float(value) if value.isdigit() else parsedate_to_datetime(value).timestamp() - time.time()
    except ValueError:
        return 0.0
