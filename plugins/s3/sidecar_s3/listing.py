"""All objects below a prefix of a bucket, page by page (ListObjectsV2 in the Amazon S3 API Reference)."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from functools import partial
from http import HTTPStatus
from typing import Final, NamedTuple
from urllib.parse import unquote_plus

from sidecar.plugin import SourceError
from sidecar.plugin.remote import RetryPolicy, Version, refused
from sidecar_s3.api import S3Api
from sidecar_s3.settings import S3Settings

_PAGE_BYTES: Final = 16 * 2**20
"""A page has 1,000 keys of 1,024 bytes, three times as long when they are encoded, at most."""
_LAST: Final = "</ListBucketResult>"
"""How each page ends."""
# Keys come URL-encoded, and nothing else holds markup: no XML parser has to be trusted with what a service sends.
_ENTRY: Final = re.compile(r"<Contents>(.*?)</Contents>", re.DOTALL)
_TOKEN: Final = re.compile(r"<NextContinuationToken>([^<]+)</NextContinuationToken>")
_FIELD: Final = re.compile(r"<(Key|ETag|Size)>([^<]*)</")


class Listed(NamedTuple):
    """An object of a listing."""

    key: str
    version: Version


class Listing:
    """Lists buckets. Called in greenlets."""

    def __init__(self, api: S3Api, settings: S3Settings) -> None:
        self._api = api
        self._retry = RetryPolicy("s3-listing", concurrency=1, timeout=settings.timeout, attempts=settings.attempts)

    def below(self, bucket: str, prefix: str) -> Iterator[Listed]:
        """Yield the objects whose keys begin with a prefix; one page is held at a time.

        Raises SourceError, SourceTimeout.
        """
        token = ""
        while True:
            page = self._retry.run(partial(self._page, bucket, prefix, token))
            for found in _ENTRY.finditer(page):
                fields = dict(_FIELD.findall(found[1]))
                if {"Key", "ETag", "Size"} <= fields.keys() and fields["Size"].isascii() and fields["Size"].isdigit():
                    version = Version(int(fields["Size"]), html.unescape(fields["ETag"]))
                    yield Listed(unquote_plus(fields["Key"]), version)
            following = _TOKEN.search(page)
            if following is None:
                return
            before, token = token, html.unescape(following[1])
            if token == before:
                raise SourceError(f"s3: the listing of the bucket {bucket!r} runs in a circle")

    def _page(self, bucket: str, prefix: str, token: str) -> str:
        """Ask for a page once. Raises Transient, SourceError."""
        query = {"encoding-type": "url", "list-type": "2", "prefix": prefix}
        if token:
            query["continuation-token"] = token
        with self._api.list(bucket, query) as response:
            page = response.read(_PAGE_BYTES).decode("utf-8", "replace")
        if response.status == HTTPStatus.OK and page.rstrip().endswith(_LAST):
            return page
        if response.status == HTTPStatus.OK:
            raise SourceError(f"s3: the listing of the bucket {bucket!r} is none, or is cut short")
        raise refused(f"s3: the bucket {bucket!r} cannot be listed", response)
