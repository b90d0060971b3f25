"""All objects below a prefix of a bucket, page by page (ListObjectsV2 in the Amazon S3 API Reference)."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from http import HTTPStatus
from typing import Final, NamedTuple
from urllib.parse import unquote_plus

from sidecar.plugin import SourceError
from sidecar.plugin.remote import Transient, Version
from sidecar_s3.api import S3Api

_PAGE_BYTES: Final = 16 * 2**20
"""A page has 1,000 keys of 1,024 bytes, three times as long when they are encoded, at most."""
_ATTEMPTS: Final = 4
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

    def __init__(self, api: S3Api) -> None:
        self._api = api

    def below(self, bucket: str, prefix: str) -> Iterator[Listed]:
        """Yield the objects whose keys begin with a prefix; one page is held at a time. Raises SourceError."""
        token = ""
        while True:
            page = self._page(bucket, prefix, token)
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
        query = {"encoding-type": "url", "list-type": "2", "prefix": prefix}
        if token:
            query["continuation-token"] = token
        for left in reversed(range(_ATTEMPTS)):
            try:
                with self._api.list(bucket, query) as response:
                    data = response.read(_PAGE_BYTES)
            except Transient as failure:
                if not left:
                    raise failure.error from failure
                continue
            if response.status == HTTPStatus.OK:
                return data.decode("utf-8", "replace")
            if response.status < HTTPStatus.INTERNAL_SERVER_ERROR or not left:
                break
        raise SourceError(f"s3: status {response.status}: the bucket {bucket!r} cannot be listed")
