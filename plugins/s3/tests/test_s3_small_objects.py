"""Small objects that plugins keep in a bucket, and listings of buckets, at a store that checks every signature."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace

import pytest
import sidecar_s3
from sidecar_s3.settings import S3Settings
from sidecar_s3.small_objects import Refused, SmallObjects

from sidecar.plugin import Closing, Config, SourceError, SourceTimeout, VisitsImages
from sidecar.testing.object_store import ObjectStore, Reply, Request, honest

_SECRETS = {"AKIDEXAMPLE": "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"}
NAMES = ["a.jp2", "b c+d.jp2", "sub/ä&amp;<e>.jp2", "sub/f.tif", "sub/g.jp2", "z.jp2"]


@pytest.fixture(autouse=True)
def _no_account(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the account of this machine out of the tests."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


@pytest.fixture
def s3() -> Iterator[ObjectStore]:
    """A service with a bucket of images and one for what plugins keep."""
    objects = {f"images/{name}": name.encode() for name in NAMES} | {"kept/other": b"other"}
    with ObjectStore(objects, secrets=_SECRETS) as store:
        store.page_keys = 2
        yield store


def settings(s3: ObjectStore) -> S3Settings:
    """As an operator would set them for a service of their own."""
    ((access_key, secret_key),) = _SECRETS.items()
    given = {"endpoint": s3.url, "access_key_id": access_key, "secret_key": secret_key, "attempts": 2}
    return S3Settings.model_validate({"bucket": "images", **given})


def test_what_is_put_comes_back(s3: ObjectStore) -> None:
    """Objects are written and read, whole or their beginning; what is not there is None, and nothing else is."""
    objects = SmallObjects(settings(s3), "kept", "a prefix/", 30)
    assert objects.get("4/key", 100) is None
    objects.put("4/key", b"some data")
    assert s3.objects["kept/a prefix/4/key"].body == b"some data"
    assert [objects.get("4/key", most) for most in (100, 9, 4)] == [b"some data", b"some data", b"some"]
    s3.objects.clear()
    with pytest.raises(SourceError):  # there is no bucket
        objects.get("4/key", 100)
    objects.close()


@pytest.mark.parametrize("status", [301, 403, 500, 503])
def test_what_a_service_refuses(s3: ObjectStore, status: int) -> None:
    """Whatever it refuses is an error after one attempt; only a 403 says that writing is not allowed."""
    objects = SmallObjects(settings(s3), "kept", "", 30)
    s3.mischief = lambda _, __: Reply(status)
    with pytest.raises(SourceError):
        objects.get("key", 100)
    with pytest.raises(SourceError) as raised:
        objects.put("key", b"data")
    assert isinstance(raised.value, Refused) == (status == 403)
    assert len(s3.requests) == 2
    objects.close()


def test_all_that_lies_below_a_place(s3: ObjectStore) -> None:
    """A bucket is listed page by page; blobs are those that identifiers lead to, and nothing is asked for them."""
    (source,) = sidecar_s3.register_sources(Config.of(settings(s3)))
    assert isinstance(source, VisitsImages)
    found = source.below("s3://images/")
    assert found is not None
    blobs = {blob.name: blob for blob in found}
    assert [*blobs] == sorted(NAMES)
    assert [each.target.partition("?")[0] for each in s3.requests] == ["/images/"] * 3
    for name in NAMES:
        same = source.find(name)
        assert same is not None
        assert (same.etag, same.size) == (blobs[name].etag, blobs[name].size)
    below = source.below("s3://images/sub/")
    assert below is not None
    assert [blob.name for blob in below] == [name for name in sorted(NAMES) if name.startswith("sub/")]
    assert source.below("s3://private/") is None
    assert source.below("a.jp2") is None
    assert isinstance(source, Closing)
    source.close()


def test_a_listing_that_fails(s3: ObjectStore) -> None:
    """A failure that may pass is tried again, and then is an error; so is a refusal."""
    (source,) = sidecar_s3.register_sources(Config.of(settings(s3)))
    assert isinstance(source, VisitsImages)

    def first_fails(_: Request, reply: Reply) -> Reply:
        return Reply(503) if len(s3.requests) == 1 else reply

    s3.mischief = first_fails
    assert len([*(source.below("s3://images/") or ())]) == len(NAMES)
    for status in (403, 500):
        s3.mischief = lambda _, __, status=status: Reply(status)  # type: ignore[misc]
        with pytest.raises(SourceError, match=f"'images' cannot be listed: status {status}"):
            [*(source.below("s3://images/") or ())]
    s3.mischief = honest
    assert isinstance(source, Closing)
    source.close()


def listed(chosen: S3Settings) -> Sequence[str]:
    """Return the names that a source with some settings finds in a bucket."""
    (source,) = sidecar_s3.register_sources(Config.of(chosen))
    assert isinstance(source, VisitsImages)
    assert isinstance(source, Closing)
    with closing(source):
        return [blob.name for blob in source.below("s3://images/") or ()]


def test_a_listing_has_the_attempts_and_the_time_of_a_fetch(s3: ObjectStore) -> None:
    """A service that fails is asked as often as is set, and one that is silent is not waited for any longer."""
    once = settings(s3).model_copy(update={"attempts": 1})
    s3.mischief = lambda _, __: Reply(503)
    with pytest.raises(SourceError):
        listed(once)
    assert len(s3.requests) == 1
    s3.mischief = lambda _, reply: replace(reply, stall=1)
    with pytest.raises(SourceTimeout):
        listed(once.model_copy(update={"timeout": 0.2}))


@pytest.mark.parametrize("body", [b"<html>sign in</html>", b"<ListBucketResult><Contents>"])
def test_what_is_no_listing(s3: ObjectStore, body: bytes) -> None:
    """Neither a page of something else nor the beginning of a listing is taken for an empty bucket."""
    (source,) = sidecar_s3.register_sources(Config.of(settings(s3)))
    assert isinstance(source, VisitsImages)
    s3.mischief = lambda _, __: Reply(200, {}, body)
    with pytest.raises(SourceError, match="is none, or is cut short"):
        [*(source.below("s3://images/") or ())]
    assert isinstance(source, Closing)
    source.close()
