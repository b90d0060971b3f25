"""Objects in buckets, against a store that checks every signature."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import ClassVar

import pytest
import sidecar_s3
from pydantic import ValidationError
from sidecar_s3.api import ObjectUrls
from sidecar_s3.settings import S3Settings

from sidecar.cantaloupe import takeover
from sidecar.plugin import Source, StartError
from sidecar.testing.contracts.bucket import OBJECTS, BucketContract, Buckets
from sidecar.testing.contracts.bucket_case import registered
from sidecar.testing.contracts.source_case import content_at
from sidecar.testing.object_store import ObjectStore

_SECRETS = {"AKIDEXAMPLE": "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"}


@pytest.fixture(autouse=True)
def _no_account(monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> None:
    """Keep the account of this machine out of the tests."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONFIG_FILE", f"{tmp_path}/config")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", f"{tmp_path}/credentials")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


@pytest.fixture
def s3() -> Iterator[ObjectStore]:
    """A service with one bucket to serve and two not to."""
    with ObjectStore(OBJECTS, secrets=_SECRETS) as store:
        yield store


def settings(s3: ObjectStore, **more: object) -> S3Settings:
    """As an operator would set them for a service of their own."""
    ((access_key, secret_key),) = _SECRETS.items()
    given = {"endpoint": s3.url, "access_key_id": access_key, "secret_key": secret_key, "attempts": 2, "freshness": 0}
    return S3Settings.model_validate({"bucket": "images", **given, **more})


def source_of(given: S3Settings) -> Source:
    """The source that the plugin registers."""
    return registered(sidecar_s3, given)


class TestS3(BucketContract):
    """The contract of all sources of buckets."""

    refusals: ClassVar = [
        (403, "AccessDenied"),
        (301, "PermanentRedirect"),
        (404, "NoSuchUpload"),
        (400, "ExpiredToken"),
    ]
    wrong_key: ClassVar = {"secret_key": "mistyped"}
    key_refused = "403 SignatureDoesNotMatch"
    libraries = ("botocore", "urllib3")

    @pytest.fixture
    def buckets(self, s3: ObjectStore) -> Buckets:
        """Buckets of a service of their own."""
        return Buckets(s3, partial(settings, s3), sidecar_s3)


def test_credentials_from_the_chain(s3: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without keys in the settings, the AWS variables (and what else botocore knows) are used."""
    ((access_key, secret_key),) = _SECRETS.items()
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", secret_key)
    monkeypatch.setenv("AWS_SESSION_TOKEN", "token")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    assert content_at(source_of(settings(s3, access_key_id="")), "page.jp2") == b"page"
    headers = s3.requests[-1].headers
    assert "/eu-central-1/s3/" in headers["authorization"]
    assert headers["x-amz-security-token"] == "token"


def test_credentials_from_a_profile(s3: ObjectStore, monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> None:
    """Keys and region come from a profile."""
    ((access_key, secret_key),) = _SECRETS.items()
    with open(f"{tmp_path}/config", "w", encoding="utf-8") as file:  # noqa: PTH123  # the path is the fixture's text
        file.write(
            f"[profile scans]\nregion = sa-east-1\naws_access_key_id = {access_key}\n"
            f"aws_secret_access_key = {secret_key}\n"
        )
    monkeypatch.setenv("AWS_PROFILE", "scans")
    assert content_at(source_of(settings(s3, access_key_id="")), "page.jp2") == b"page"
    assert "/sa-east-1/s3/" in s3.requests[-1].headers["authorization"]


def test_no_credentials(s3: ObjectStore) -> None:
    """The start fails and names what to set."""
    with pytest.raises(StartError, match="SIDECAR_S3_ANONYMOUS"):
        source_of(settings(s3, access_key_id=""))


def test_an_unknown_profile(s3: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error of botocore becomes a StartError."""
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    with pytest.raises(StartError, match="nobody"):
        source_of(settings(s3, access_key_id=""))


def test_anonymous() -> None:
    """A public bucket is asked without a signature, and without looking for credentials."""
    with ObjectStore({"images/page.jp2": b"page"}) as s3:
        assert content_at(source_of(settings(s3, access_key_id="", anonymous=True)), "page.jp2") == b"page"
        assert "authorization" not in s3.requests[-1].headers


@pytest.mark.parametrize(
    "given, url",
    [
        ({"region": "eu-west-1"}, "https://bucket.s3.eu-west-1.amazonaws.com/a%20b/c%25.jp2"),
        ({"region": "cn-north-1"}, "https://bucket.s3.cn-north-1.amazonaws.com.cn/a%20b/c%25.jp2"),
        ({"region": "eu-west-1", "path_style": True}, "https://s3.eu-west-1.amazonaws.com/bucket/a%20b/c%25.jp2"),
        ({"endpoint": "http://minio:9000"}, "http://minio:9000/bucket/a%20b/c%25.jp2"),
        ({"endpoint": "https://s3.example.org/", "path_style": False}, "https://bucket.s3.example.org/a%20b/c%25.jp2"),
    ],
)
def test_object_urls(given: dict[str, object], url: str) -> None:
    """Amazon's own in the host's name, other services' in the path, unless it is set."""
    urls = ObjectUrls(S3Settings.model_validate(given), str(given.get("region", "us-east-1")))
    assert urls.url("bucket", "a b/c%.jp2") == url


def test_buckets_with_dots() -> None:
    """Their names cannot stand in a host name under TLS: the certificate would not hold."""
    assert ObjectUrls(S3Settings(), "us-east-1").url("a.b", "k") == "https://s3.us-east-1.amazonaws.com/a.b/k"


@pytest.mark.parametrize(
    "wrong",
    [
        {"endpoint": "http://host/path"},
        {"region": "eu west\r\n"},
    ],
)
def test_settings_that_cannot_be(wrong: dict[str, object]) -> None:
    """They are found at start."""
    with pytest.raises(ValidationError):
        S3Settings.model_validate(wrong)


def test_in_a_patched_process() -> None:
    """As gunicorn's worker runs it: everything patched before anything is imported."""
    program = """
from gevent import monkey
monkey.patch_all()
import gevent, sidecar_s3, sys
from sidecar.plugin import ByteRange, Config
from sidecar_s3.settings import S3Settings
given = S3Settings(bucket="images", endpoint=sys.argv[1], anonymous=True)
(source,) = sidecar_s3.register_sources(Config.of(given))
jobs = [gevent.spawn(lambda: bytes(source.find("page.jp2").read([ByteRange(0, 4)])[0])) for _ in range(9)]
gevent.joinall(jobs, raise_error=True)
assert {job.value for job in jobs} == {b"page"}
source.close()
"""
    with ObjectStore({"images/page.jp2": b"page"}) as s3:
        subprocess.run([sys.executable, "-W", "error", "-c", program, s3.url], check=True, timeout=60)
        assert len(s3.requests) == 1


def test_settings_of_cantaloupe(tmp_path: Path) -> None:
    """S3Source's own settings are taken over."""
    file = tmp_path / "cantaloupe.properties"
    file.write_text(
        "source.static = S3Source\nS3Source.endpoint = http://minio:9000\nS3Source.region = eu-west-1\n"
        "S3Source.access_key_id = id\nS3Source.secret_key = key\nS3Source.BasicLookupStrategy.bucket.name = scans\n"
        "S3Source.BasicLookupStrategy.path_prefix = a/\nS3Source.BasicLookupStrategy.path_suffix = .jp2\n"
    )
    found = S3Settings.model_validate(takeover.read(file, [S3Settings], {}).values["s3"])
    assert (found.bucket, found.path_prefix, found.path_suffix, found.region) == ("scans", "a/", ".jp2", "eu-west-1")
    assert (found.endpoint, found.access_key_id) == ("http://minio:9000", "id")
    assert found.secret_key.get_secret_value() == "key"
