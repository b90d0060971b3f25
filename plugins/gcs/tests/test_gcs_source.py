"""Objects in buckets of Google Cloud Storage, at a store that answers as its XML API, and accounts of all kinds."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from base64 import urlsafe_b64decode
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import ClassVar
from urllib.parse import parse_qs

import pytest
import sidecar_gcs
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from pydantic import ValidationError
from sidecar_gcs.account import Anybody
from sidecar_gcs.api import GcsApi
from sidecar_gcs.settings import GcsSettings

from sidecar.plugin import (
    Config,
    Source,
    SourceError,
    StartError,
)
from sidecar.plugin.remote import Client
from sidecar.testing.contracts.bucket import OBJECTS, BucketContract, Buckets
from sidecar.testing.contracts.bucket_case import registered
from sidecar.testing.contracts.source_case import content_at
from sidecar.testing.object_store import ObjectStore, Reply, Request


@pytest.fixture(autouse=True)
def _no_account(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Keep the account of this machine out of the tests."""
    for name in [name for name in os.environ if name.startswith(("GOOGLE_", "GCE_", "CLOUDSDK_", "GCLOUD_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path / "gcloud"))
    monkeypatch.setenv("NO_GCE_CHECK", "true")


@pytest.fixture
def gcs() -> Iterator[ObjectStore]:
    """A service with one bucket to serve and two not to."""
    with ObjectStore(OBJECTS) as store:
        yield store


def guarded(request: Request, reply: Reply) -> Reply:
    """Answer only who has the token."""
    if request.headers.get("authorization") == "Bearer token-1":
        return reply
    return Reply(401, body=b"<Error><Code>AuthenticationRequired</Code></Error>")


def settings(gcs: ObjectStore, **more: object) -> GcsSettings:
    """As an operator would set them for an emulator."""
    given = {"endpoint": gcs.url, "attempts": 2, "freshness": 0, "anonymous": True}
    return GcsSettings.model_validate({"bucket": "images", **given, **more})


def source_of(given: GcsSettings) -> Source:
    """The source that the plugin registers."""
    return registered(sidecar_gcs, given)


class TestGcs(BucketContract):
    """The contract of all sources of buckets."""

    refusals: ClassVar = [(403, "AccessDenied"), (404, "NoSuchBucket"), (400, "UserProjectMissing")]
    libraries = ("google.auth", "requests", "urllib3")

    @pytest.fixture
    def buckets(self, gcs: ObjectStore) -> Buckets:
        """Public buckets of an emulator."""
        return Buckets(gcs, partial(settings, gcs), sidecar_gcs)


def test_an_emulator_states_no_reason(gcs: ObjectStore) -> None:
    """A plain 404 means that there is no object at an endpoint that is set, and not at Google's own."""
    gcs.mischief = lambda _request, _reply: Reply(404, body=b"Not Found")
    assert source_of(settings(gcs)).find("page.jp2") is None
    google = GcsSettings(bucket="images", anonymous=True)
    assert not GcsApi(Client(google), google, Anybody()).is_absent(404, "")


def granted(request: Request, _reply: Reply) -> Reply:
    """Answer as whoever gives tokens does, Google's or a federation's."""
    if "universe" in request.target:
        return Reply(404)
    if "recursive=true" in request.target:
        found: object = {"email": "sidecar@project", "scopes": ["s"], "aliases": ["default"]}
    else:
        issued = "urn:ietf:params:oauth:token-type:access_token"
        found = {"access_token": "token-1", "expires_in": 3600, "token_type": "Bearer", "issued_token_type": issued}
    headers = {"Content-Type": "application/json", "Metadata-Flavor": "Google"}
    return Reply(200, headers, json.dumps(found).encode())


@pytest.fixture
def google() -> Iterator[ObjectStore]:
    """What gives tokens."""
    with ObjectStore() as service:
        service.mischief = granted
        yield service


@pytest.fixture
def credentials(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Path]:
    """Write a file of credentials and name it."""

    def write(**found: object) -> Path:
        file = tmp_path / "credentials.json"
        file.write_text(json.dumps(found))
        monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(file))
        return file

    return write


@pytest.fixture
def service_account(google: ObjectStore, credentials: Callable[..., Path]) -> str:
    """Write the file of a service account, and return its key."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    text = key.private_bytes(*form).decode()
    credentials(
        type="service_account",
        project_id="project",
        client_email="sidecar@project",
        private_key=text,
        token_uri=f"{google.url}/token",
    )
    return text


@pytest.mark.usefixtures("service_account")
def test_a_service_account(gcs: ObjectStore, google: ObjectStore) -> None:
    """Its key signs for one token for reading, which all requests carry."""
    gcs.mischief = guarded
    source = source_of(settings(gcs, anonymous=False))
    assert [content_at(source, "page.jp2") for _ in range(3)] == [b"page"] * 3
    (asked,) = google.requests
    (assertion,) = parse_qs(asked.body.decode())["assertion"]
    claims = json.loads(urlsafe_b64decode(assertion.split(".")[1] + "=="))
    assert claims["scope"] == "https://www.googleapis.com/auth/devstorage.read_only"


def test_a_federated_identity(
    gcs: ObjectStore, google: ObjectStore, credentials: Callable[..., Path], tmp_path: Path
) -> None:
    """A token in a file is exchanged, as on other clouds' Kubernetes; workers may read it; and somebody else pays."""
    token = tmp_path / "projected" / "token"
    token.parent.mkdir()
    token.write_text("subject")
    file = credentials(
        type="external_account",
        audience="//iam.googleapis.com/pool",
        subject_token_type="urn:ietf:params:oauth:token-type:jwt",  # noqa: S106  # a kind of token, and none
        token_url=f"{google.url}/token",
        credential_source={"file": str(token)},
        quota_project_id="payer",
    )
    gcs.mischief = guarded
    given = settings(gcs, anonymous=False)
    assert {file.parent, token.parent} <= {folder.path for folder in sidecar_gcs.register_folders(Config.of(given))}
    assert content_at(source_of(given), "page.jp2") == b"page"
    assert gcs.requests[-1].headers["x-goog-user-project"] == "payer"
    assert b"subject_token=subject" in google.requests[0].body


def test_no_token(gcs: ObjectStore, google: ObjectStore, service_account: str) -> None:
    """If the account is refused, the request fails with the reason and without secrets; the store is not asked."""
    refusal = b'{"error": "invalid_grant", "error_description": "Bad Request"}'
    google.mischief = lambda _request, _reply: Reply(400, {"Content-Type": "application/json"}, refusal)
    with pytest.raises(SourceError, match=r"gcs: no token: .*invalid_grant") as caught:
        source_of(settings(gcs, anonymous=False)).find("page.jp2")
    assert not any(line in str(caught.value) for line in service_account.splitlines())
    assert gcs.requests == []


@pytest.mark.parametrize("written", [None, {"type": "service_account"}, {"type": "nothing known"}])
def test_no_credentials(gcs: ObjectStore, credentials: Callable[..., Path], written: dict[str, object] | None) -> None:
    """Without usable ones the request fails and names what to set; the store is not asked."""
    if written is not None:
        credentials(**written)
    with pytest.raises(SourceError, match="SIDECAR_GCS_ANONYMOUS"):
        source_of(settings(gcs, anonymous=False)).find("page.jp2")
    assert gcs.requests == []


@pytest.mark.parametrize("text", [None, "", "no JSON", "[]", "{}"])
def test_a_file_that_is_none(gcs: ObjectStore, credentials: Callable[..., Path], text: str | None) -> None:
    """One that is named, and is not there or holds no credentials, stops the start."""
    file = credentials()
    file.unlink()
    if text is not None:
        file.write_text(text)
    given = settings(gcs, anonymous=False)
    assert file.parent in {folder.path for folder in sidecar_gcs.register_folders(Config.of(given))}
    assert not [*sidecar_gcs.register_folders(Config.of(settings(gcs)))]
    with pytest.raises(StartError, match=r"GOOGLE_APPLICATION_CREDENTIALS: .*credentials\.json"):
        source_of(given)


@pytest.mark.parametrize(
    "wrong",
    [
        {"bucket": "Images"},
        {"endpoint": "http://host/path"},
    ],
)
def test_settings_that_cannot_be(wrong: dict[str, object]) -> None:
    """They are found at start."""
    with pytest.raises(ValidationError):
        GcsSettings.model_validate({"bucket": "images", **wrong})


def test_in_a_patched_process(gcs: ObjectStore, google: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """As gunicorn's worker runs it, on a machine of Google's: the metadata server is asked for one token."""
    program = """
from gevent import monkey
monkey.patch_all()
import gevent, sidecar_gcs, sys
from sidecar.plugin import ByteRange, Config
from sidecar_gcs.account import Anybody
from sidecar_gcs.api import GcsApi
from sidecar_gcs.settings import GcsSettings
(source,) = sidecar_gcs.register_sources(Config.of(GcsSettings(bucket="images", endpoint=sys.argv[1])))
assert gevent.get_hub().threadpool.size == 0, "a native thread runs, which has no sandbox"
jobs = [gevent.spawn(lambda: bytes(source.find("page.jp2").read([ByteRange(0, 4)])[0])) for _ in range(9)]
gevent.joinall(jobs, raise_error=True)
assert {job.value for job in jobs} == {b"page"}
source.close()
"""
    host = google.url.removeprefix("http://")
    monkeypatch.delenv("NO_GCE_CHECK")
    for name in ("GCE_METADATA_HOST", "GCE_METADATA_IP"):
        monkeypatch.setenv(name, host)
    gcs.mischief = guarded
    subprocess.run([sys.executable, "-W", "error", "-c", program, gcs.url], check=True, timeout=60)
    assert len(gcs.requests) == 1
    assert sum("/token" in request.target for request in google.requests) == 1
