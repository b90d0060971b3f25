"""Objects in buckets, against a store that checks every signature."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import ClassVar

import pytest
import sidecar_s3
from pydantic import SecretStr, ValidationError
from sidecar_s3.api import ObjectUrls
from sidecar_s3.settings import S3Settings

from sidecar.cantaloupe import takeover
from sidecar.plugin import Closing, Config, KeepsBytes, Source, SourceError, StartError, SupportsCheck
from sidecar.testing.contracts.source import SourceContract, Store
from sidecar.testing.contracts.source_case import content_at
from sidecar.testing.object_store import ObjectStore, Reply

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
    objects = {"images/page.jp2": b"page", "private/page.jp2": b"private", "shared/page.jp2": b"shared"}
    with ObjectStore(objects, secrets=_SECRETS) as store:
        yield store


def settings(s3: ObjectStore, **more: object) -> S3Settings:
    """As an operator would set them for a service of their own."""
    ((access_key, secret_key),) = _SECRETS.items()
    given = {"endpoint": s3.url, "access_key_id": access_key, "secret_key": secret_key, "attempts": 2, "freshness": 0}
    return S3Settings.model_validate({"bucket": "images", **given, **more})


def source_of(given: S3Settings) -> Source:
    """The source that the plugin registers."""
    (source,) = sidecar_s3.register_sources(Config.of(given))
    assert isinstance(source, Closing)
    return source


class TestS3(SourceContract):
    """The contract of all sources."""

    identifiers: ClassVar[Sequence[str]] = (
        *SourceContract.identifiers,
        "a//b.jp2",
        "-_.~!*'()&@:,$=+ ;.jp2",
        "s3:/x.jp2",
    )

    @pytest.fixture
    def store(self, s3: ObjectStore) -> Store:
        """A bucket, with others beside it."""
        outside = ["s3://private/page.jp2", "s3://images/page.jp2", "../private/page.jp2", "/private/page.jp2"]
        return Store(source_of(settings(s3)), lambda key, body: s3.put(f"images/{key}", body), outside)


def test_prefix_and_suffix(s3: ObjectStore) -> None:
    """They complete the key, as Cantaloupe's BasicLookupStrategy does, and the suffix names the decoder."""
    s3.put("images/scans/1.jp2", b"one")
    source = source_of(settings(s3, path_prefix="scans/", path_suffix=".jp2"))
    assert content_at(source, "1") == b"one"
    blob = source.find("1")
    assert blob is not None
    assert blob.name == "scans/1.jp2"
    assert source.find("../page") is None


def test_kept_blocks_are_counted(s3: ObjectStore) -> None:
    """What is kept of objects is known, so that it is taken off the memory of responses."""
    source = source_of(settings(s3, cache_bytes=12345))
    assert isinstance(source, KeepsBytes)
    assert source.kept_bytes == 12345


def test_other_buckets_only_if_allowed(s3: ObjectStore) -> None:
    """An identifier names a bucket of the list, and no other; prefix and suffix are not for those."""
    source = source_of(settings(s3, buckets=("shared",), path_prefix="none/"))
    assert content_at(source, "s3://shared/page.jp2") == b"shared"
    for identifier in (
        "s3://private/page.jp2",
        "s3://images/page.jp2",
        "s3://shared",
        "s3://shared/",
        "s3:///page.jp2",
    ):
        assert source.find(identifier) is None
    assert {request.key.partition("/")[0] for request in s3.requests} <= {"shared", "images"}


def test_only_listed_buckets(s3: ObjectStore) -> None:
    """Without a bucket of its own, plain identifiers lead nowhere, and nobody is asked."""
    source = source_of(settings(s3, bucket="", buckets=("shared",)))
    assert content_at(source, "s3://shared/page.jp2") == b"shared"
    asked = len(s3.requests)
    assert source.find("page.jp2") is None
    assert len(s3.requests) == asked


@pytest.mark.parametrize("identifier", ["x" * 1020, "ü" * 510])
def test_keys_that_cannot_be(s3: ObjectStore, identifier: str) -> None:
    """S3's keys have 1024 bytes at most, prefix included: no request for more."""
    assert source_of(settings(s3, path_prefix="scans/")).find(identifier) is None
    assert s3.requests == []


def test_a_missing_bucket_is_not_a_missing_object(s3: ObjectStore) -> None:
    """A wrong setting must not look like 404s."""
    with pytest.raises(SourceError, match="NoSuchBucket"):
        source_of(settings(s3, bucket="imgaes")).find("page.jp2")


def test_whether_it_can_be_read(s3: ObjectStore) -> None:
    """A check passes if each bucket answers, is refused for a wrong secret or a missing bucket, and is one attempt."""
    source = source_of(settings(s3, buckets="shared"))
    assert isinstance(source, SupportsCheck)
    assert source.is_remote
    source.check()
    wrong = settings(s3).model_copy(update={"secret_key": SecretStr("mistyped")})
    for given, reason in ((settings(s3, buckets="shared, missing"), "NoSuchBucket"), (wrong, "SignatureDoesNotMatch")):
        failing = source_of(given)
        assert isinstance(failing, SupportsCheck)
        with pytest.raises(SourceError, match=reason):
            failing.check()
    s3.requests.clear()
    s3.mischief = lambda _request, _reply: Reply(503)
    with pytest.raises(SourceError):
        source.check()
    assert len(s3.requests) == 1


def test_a_wrong_secret(s3: ObjectStore) -> None:
    """The error names the service's reason, and not the secret."""
    wrong = settings(s3).model_copy(update={"secret_key": SecretStr("mistyped")})
    with pytest.raises(SourceError, match="403 SignatureDoesNotMatch") as caught:
        source_of(wrong).find("page.jp2")
    assert "mistyped" not in f"{caught.value} {wrong!r}"


@pytest.mark.parametrize(
    "status, code", [(403, "AccessDenied"), (301, "PermanentRedirect"), (404, "NoSuchUpload"), (400, "ExpiredToken")]
)
def test_not_surely_missing(s3: ObjectStore, status: int, code: str) -> None:
    """Only NoSuchKey means that there is no object."""
    s3.mischief = lambda _request, _reply: Reply(status, body=f"<Error><Code>{code}</Code></Error>".encode())
    with pytest.raises(SourceError, match=code):
        source_of(settings(s3)).find("page.jp2")


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
        {"endpoint": "minio:9000"},
        {"endpoint": "http://user@host"},
        {"endpoint": "http://host/path"},
        {"endpoint": "http://host:99999"},
        {"bucket": "a/b"},
        {"bucket": "../x"},
        {"region": "eu west\r\n"},
        {"concurrency": 0},
    ],
)
def test_settings_that_cannot_be(wrong: dict[str, object]) -> None:
    """They are found at start."""
    with pytest.raises(ValidationError):
        S3Settings.model_validate(wrong)


def test_nothing_set() -> None:
    """No source, and none of the libraries are loaded."""
    program = (
        "import sys, sidecar_s3; from sidecar.plugin import Config;"
        "assert not [*sidecar_s3.register_sources(Config.of())];"
        "assert not {'botocore', 'urllib3'} & {*sys.modules}"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


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
