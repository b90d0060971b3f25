"""Objects whose bucket and key are looked up."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import sidecar_s3
from pydantic import ValidationError
from sidecar_s3.settings import S3Settings

from sidecar.plugin import Closing, Config, Source, SourceError, SupportsCheck
from sidecar.testing.contracts.source import SourceContract, Store
from sidecar.testing.contracts.source_case import content_at
from sidecar.testing.object_store import ObjectStore, Reply


@pytest.fixture
def s3() -> Iterator[ObjectStore]:
    """Two buckets to serve and one not to."""
    objects = {"images/page.jp2": b"page", "masters/page.jp2": b"master", "private/page.jp2": b"private"}
    with ObjectStore(objects) as store:
        yield store


@pytest.fixture
def service() -> Iterator[ObjectStore]:
    """A service that says where objects are."""
    with ObjectStore() as store:
        yield store


def source_of(s3: ObjectStore, **more: object) -> Source:
    """The source that the plugin registers."""
    given = {"endpoint": s3.url, "anonymous": True, "attempts": 1, "bucket": "images", "buckets": "masters", **more}
    (source,) = sidecar_s3.register_sources(Config.of(S3Settings.model_validate(given)))
    assert isinstance(source, Closing)
    return source


class TestRules(SourceContract):
    """The contract of all sources, with rules."""

    @pytest.fixture
    def store(self, s3: ObjectStore) -> Store:
        """A folder of the bucket."""
        outside = ["../page.jp2", "m:../private/page.jp2", "s3://private/page.jp2"]
        source = source_of(s3, freshness=0, lookup="m:{key} -> s3://masters/{key}, {any*} -> folder/{any}")
        return Store(source, lambda key, body: s3.put(f"images/folder/{key}", body), outside)


def test_rules_name_buckets(s3: ObjectStore) -> None:
    """`s3://bucket/key`, or a key of the bucket that is set."""
    source = source_of(s3, lookup="m:{key} -> s3://masters/{key}, i:{key} -> {key}, {a:2}{b} -> s3://images/{a}{b}")
    assert [content_at(source, name) for name in ("m:page.jp2", "i:page.jp2", "page.jp2")] == [
        b"master",
        b"page",
        b"page",
    ]
    assert source.find("x") is None


def test_a_rule_for_keys_leaves_its_bucket_to_nobody(s3: ObjectStore) -> None:
    """An identifier cannot name another of the buckets that are set in the place of a key."""
    source = source_of(s3, lookup="t:{name*} -> s3://masters/thumbs/{name}, i:{key*} -> {key}")
    assert content_at(source, "i:page.jp2") == b"page"
    assert source.find("i:s3://masters/page.jp2") is None
    assert source.find("i:s3:/masters/page.jp2") is None  # a key of the bucket that is set, and not there
    assert {each.key.partition("/")[0] for each in s3.requests} == {"images"}


@pytest.mark.parametrize(
    "answer, fields, expected",
    [
        ('{"bucket": "masters", "key": "page.jp2"}', "bucket, key", b"master"),
        ('{"uri": "s3://masters/page.jp2"}', "uri", b"master"),
        ('{"relative_pathname": "/page.jp2"}', "relative_pathname", b"page"),
        ('{"relative_pathname": "missing.jp2"}', "relative_pathname", None),
    ],
)
def test_a_service(s3: ObjectStore, service: ObjectStore, answer: str, fields: str, expected: bytes | None) -> None:
    """It names bucket and key, or one URI, or a key."""
    service.mischief = lambda _request, _reply: Reply(200, body=answer.encode())
    source = source_of(s3, lookup_url=f"{service.url}/{{identifier}}.json", lookup_fields=fields)
    assert content_at(source, "0b1d") == expected


def test_a_redirect_to_a_key(s3: ObjectStore, service: ObjectStore) -> None:
    """A Location of the form `s3://bucket/key` is one too."""
    service.mischief = lambda _request, _reply: Reply(302, {"Location": "s3://masters/page.jp2"})
    assert content_at(source_of(s3, lookup_url=f"{service.url}/{{identifier}}"), "x") == b"master"


def test_a_redirect_to_a_key_that_is_encoded(s3: ObjectStore, service: ObjectStore) -> None:
    """A Location is a URI (RFC 9110 §10.2.2), in which frameworks encode what a key may hold; dots do not climb."""
    s3.put("masters/a b/ä%.jp2", b"spaced")
    source = source_of(s3, lookup_url=f"{service.url}/{{identifier}}")
    service.mischief = lambda _request, _reply: Reply(302, {"Location": "s3://masters/a%20b/%C3%A4%25.jp2"})
    assert content_at(source, "x") == b"spaced"
    service.mischief = lambda _request, _reply: Reply(302, {"Location": "s3://masters/a/%2E%2E/private/page.jp2"})
    with pytest.raises(SourceError, match="no plain text"):
        source.find("y")


def test_whether_it_can_be_read(s3: ObjectStore, service: ObjectStore) -> None:
    """A check asks buckets and the service."""
    source = source_of(s3, lookup_url=f"{service.url}/{{identifier}}")
    assert isinstance(source, SupportsCheck)
    source.check()
    service.mischief = lambda _request, _reply: Reply(500)
    with pytest.raises(SourceError, match="s3-lookup: status 500"):
        source.check()


@pytest.mark.parametrize(
    "wrong",
    [
        {"lookup": "{x} -> s3://other/{x}"},
        {"lookup": "{b}/{x} -> s3://{b}/{x}"},
        {"bucket": "", "buckets": "masters", "lookup": "{x} -> {x}"},
        {"bucket": "", "buckets": "", "lookup_url": "http://h/{identifier}"},
        {"lookup_url": "http://h/{identifier}", "lookup_fields": "a, b, c"},
    ],
)
def test_settings_that_cannot_be(wrong: dict[str, object]) -> None:
    """They are found at start."""
    with pytest.raises(ValidationError):
        S3Settings.model_validate({"bucket": "images", **wrong})
