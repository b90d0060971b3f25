"""Small objects below a prefix of a bucket, read and written whole: for what other plugins keep there."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from http import HTTPStatus
from typing import Final

from sidecar.plugin import SourceError
from sidecar.plugin.remote import Client, Response, Transient
from sidecar_s3.api import ObjectUrls
from sidecar_s3.settings import S3Settings
from sidecar_s3.signing import Account

_CONTENT: Final = (HTTPStatus.OK, HTTPStatus.PARTIAL_CONTENT)
_BYTES: Final = {"Content-Type": "application/octet-stream"}
_ERROR_BODY: Final = 8 * 1024


class Refused(SourceError):
    """The service does not allow it."""


class SmallObjects:
    """The objects of a bucket below a prefix, with the account of the table `s3`; one attempt each, no retries."""

    def __init__(self, settings: S3Settings, bucket: str, prefix: str, seconds: float) -> None:
        """`seconds`: for connecting, and of silence. Raises StartError if there are no credentials."""
        short = settings.model_copy(update={"connect_timeout": seconds, "stall_timeout": seconds})
        account = Account(settings)
        self._urls = ObjectUrls(settings, account.region)
        self._sign = account.sign
        self._client = Client(short)
        self._bucket = bucket
        self._prefix = prefix
        self.close = self._client.close

    def get(self, key: str, most: int) -> bytes | None:
        """Return the first `most` bytes of an object; None if there is none. Raises SourceError."""
        with self._sent("GET", key, {"Range": f"bytes=0-{most - 1}"}) as response:
            if response.status in _CONTENT:
                return response.read(most)
            refusal = response.read(_ERROR_BODY)
            if response.status == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:  # it is empty
                return b""
            if response.status == HTTPStatus.NOT_FOUND and b"<Code>NoSuchBucket</Code>" not in refusal:
                return None
            raise SourceError(f"s3: status {response.status}")

    def put(self, key: str, data: bytes) -> None:
        """Store or replace an object. Raises Refused if that is not allowed, SourceError."""
        with self._sent("PUT", key, _BYTES, data) as response:
            response.read(_ERROR_BODY)
            if response.status == HTTPStatus.FORBIDDEN:
                raise Refused("s3: writing is not allowed")
            if response.status not in (HTTPStatus.OK, HTTPStatus.CREATED, HTTPStatus.NO_CONTENT):
                raise SourceError(f"s3: status {response.status}")

    @contextmanager
    def _sent(
        self, method: str, key: str, headers: Mapping[str, str], body: bytes | None = None
    ) -> Generator[Response, None, None]:
        """Send a signed request; what may pass counts as an error, too. Raises SourceError."""
        url = self._urls.url(self._bucket, f"{self._prefix}{key}")
        try:
            with self._client.send(method, url, self._sign(url, headers, method, body), body) as response:
                yield response
        except Transient as failure:
            raise failure.error from failure
