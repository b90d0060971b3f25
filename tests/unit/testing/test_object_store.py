"""The stand-in object store answers as HTTP and S3 say, against urllib3."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace

import pytest
import urllib3

from sidecar.testing.object_store import Content, Link, ObjectStore

_BODY = bytes(range(100))
_CONTENT = Content(_BODY)


def ask(store: ObjectStore, path: str, method: str = "GET", **headers: str) -> urllib3.BaseHTTPResponse:
    """One request on a connection of its own."""
    with urllib3.PoolManager(retries=False) as pool:
        return pool.request(method, f"{store.url}/{path}", headers=headers)


@pytest.mark.parametrize(
    "headers, status, body",
    [
        ({}, 200, _BODY),
        ({"Range": "bytes=10-19"}, 206, _BODY[10:20]),
        ({"Range": "bytes=90-"}, 206, _BODY[90:]),
        ({"Range": "bytes=90-500"}, 206, _BODY[90:]),
        ({"Range": "bytes=100-"}, 416, None),
        ({"Range": "pages=1-2"}, 200, _BODY),
        ({"If-Match": _CONTENT.etag}, 200, _BODY),
        ({"If-Match": '"other"'}, 412, None),
        ({"If-Unmodified-Since": "Tue, 14 Nov 2023 22:13:20 GMT"}, 200, _BODY),
        ({"If-Unmodified-Since": "Tue, 14 Nov 2023 22:13:19 GMT"}, 412, None),
        ({"If-None-Match": _CONTENT.etag}, 304, b""),
        ({"If-None-Match": '"other"', "Range": "bytes=0-0"}, 206, b"\0"),
    ],
)
def test_ranges_and_conditions(headers: Mapping[str, str], status: int, body: bytes | None) -> None:
    """RFC 9110 §13 and §14."""
    with ObjectStore({"bucket/key": _CONTENT}) as store:
        answer = ask(store, "bucket/key", **headers)
        assert answer.status == status
        assert body is None or answer.data == body
        if status == 206:
            start = _BODY.index(answer.data)
            assert answer.headers["Content-Range"] == f"bytes {start}-{start + len(answer.data) - 1}/100"


def test_head() -> None:
    """The headers of the whole, and no body."""
    with ObjectStore({"bucket/key": _CONTENT}) as store:
        answer = ask(store, "bucket/key", "HEAD")
        assert (answer.status, answer.headers["Content-Length"], answer.data) == (200, "100", b"")


def test_what_is_not_there() -> None:
    """A missing key and a missing bucket are told apart, as S3 does."""
    with ObjectStore({"bucket/key": _CONTENT}) as store:
        for path, code in (("bucket/none", b"NoSuchKey"), ("none/key", b"NoSuchBucket")):
            answer = ask(store, path)
            assert answer.status == 404
            assert b"<Code>%s</Code>" % code in answer.data


def test_unsigned_requests_are_refused() -> None:
    """Where there are secrets, requests must be signed; see the S3 plugin's tests for ones that are."""
    with ObjectStore({"bucket/key": _CONTENT}, secrets={"id": "secret"}) as store:
        forged = "AWS4-HMAC-SHA256 Credential=id/20260101/us-east-1/s3/aws4_request, SignedHeaders=host;x-amz-date"
        for headers in ({}, {"Authorization": forged + ";x-amz-content-sha256, Signature=" + "0" * 64}):
            more = {"X-Amz-Date": "20260101T000000Z", "X-Amz-Content-Sha256": "UNSIGNED-PAYLOAD"}
            assert ask(store, "bucket/key", **headers, **more).status == 403


def test_the_link_is_as_slow_as_it_says() -> None:
    """At least the latency and the bytes' time; how much more is the machine's affair."""
    with ObjectStore({"bucket/key": bytes(500_000)}, link=Link(latency=0.05, bandwidth=5e6)) as store:
        begun = time.monotonic()
        assert len(ask(store, "bucket/key").data) == 500_000
        assert time.monotonic() - begun > 0.05 + 0.09


def test_mischief() -> None:
    """A cut answer ends too soon for its length."""
    with ObjectStore({"bucket/key": _CONTENT}) as store:
        store.mischief = lambda _request, reply: replace(reply, cut=10)
        with pytest.raises(urllib3.exceptions.ProtocolError):
            ask(store, "bucket/key")
        assert [request.key for request in store.requests] == ["bucket/key"]
