"""Blobs in containers, against a service that checks every signature and token."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from base64 import b64encode
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import ClassVar
from urllib.parse import unquote

import pytest
import sidecar_azure
from pydantic import ValidationError
from sidecar_azure.settings import AzureSettings

from sidecar.cantaloupe import takeover
from sidecar.plugin import (
    Config,
    Source,
    SourceError,
    StartError,
)
from sidecar.testing.blob_store import BlobStore
from sidecar.testing.contracts.bucket import OBJECTS, BucketContract, Buckets
from sidecar.testing.contracts.bucket_case import registered
from sidecar.testing.contracts.source_case import content_at
from sidecar.testing.object_store import ObjectStore, Reply, Request

KEY = b64encode(b"a key of the account").decode()


@pytest.fixture(autouse=True)
def _no_identity(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the identity of this machine out of the tests."""
    for name in [name for name in os.environ if name.startswith(("AZURE_", "IDENTITY_", "IMDS_", "MSI_"))]:
        monkeypatch.delenv(name)


@pytest.fixture
def azure() -> Iterator[BlobStore]:
    """A service with one container to serve and two not to."""
    with BlobStore(OBJECTS, key=KEY) as store:
        yield store


def settings(azure: BlobStore, **more: object) -> AzureSettings:
    """As an operator would set them for an emulator."""
    given = {"endpoint": azure.address, "account": azure.account, "attempts": 2, "freshness": 0}
    access = {} if {"sas", "anonymous"} & {*more} else {"account_key": KEY}
    return AzureSettings.model_validate({"container": "images", **given, **access, **more})


def source_of(given: AzureSettings) -> Source:
    """The source that the plugin registers."""
    return registered(sidecar_azure, given)


class TestAzure(BucketContract):
    """The contract of all sources of buckets."""

    missing_bucket = "ContainerNotFound"
    refusals: ClassVar = [
        (403, "AuthorizationFailure"),
        (404, "ContainerNotFound"),
        (404, "ResourceNotFound"),
        (409, "BlobBeingRehydrated"),
    ]
    longest_key = "ü" * 1024
    wrong_key: ClassVar = {"account_key": b64encode(b"mistyped").decode()}
    key_refused = "403 AuthenticationFailed"
    libraries = ("azure", "requests", "urllib3")

    @pytest.fixture
    def buckets(self, azure: BlobStore) -> Buckets:
        """Containers of an account with a key."""
        return Buckets(azure, partial(settings, azure), sidecar_azure)


def test_a_shared_access_signature() -> None:
    """It is the query of each URL, and in no error."""
    sas = "sv=2021-12-02&sr=c&sp=r&sig=c2VjcmV0%3D"
    with BlobStore(OBJECTS, sas=sas) as azure:
        assert content_at(source_of(settings(azure, sas=f"?{sas}")), "page.jp2") == b"page"
        assert azure.requests[-1].target.endswith(f"?{sas}")
        given = settings(azure, sas="sv=1&sig=b3RoZXI", attempts=1)
        with pytest.raises(SourceError, match="403") as caught:
            source_of(given).find("page.jp2")
    with pytest.raises(SourceError) as down:
        source_of(given).find("page.jp2")
    assert "b3RoZXI" not in f"{caught.value} {down.value} {given!r}"


def test_anonymous() -> None:
    """A public container is asked without credentials, in the version of the protocol that emulators know too."""
    with BlobStore(OBJECTS) as azure:
        assert content_at(source_of(settings(azure, anonymous=True)), "page.jp2") == b"page"
        assert "authorization" not in azure.requests[-1].headers
        assert azure.requests[-1].headers["x-ms-version"] == "2021-12-02"


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Iterator[ObjectStore]:
    """What gives the machine's identity its tokens, as in App Service and Container Apps."""

    def token(request: Request, _reply: Reply) -> Reply:
        assert request.headers["x-identity-header"] == "proof"
        until = int(time.time()) + 3600
        body = f'{{"access_token": "token-1", "expires_on": "{until}", "resource": "r", "token_type": "Bearer"}}'
        return Reply(200, {"Content-Type": "application/json"}, body.encode())

    with ObjectStore() as service:
        service.mischief = token
        monkeypatch.setenv("IDENTITY_ENDPOINT", f"{service.url}/msi/token")
        monkeypatch.setenv("IDENTITY_HEADER", "proof")
        yield service


def test_the_identity_of_the_machine(machine: ObjectStore) -> None:
    """Without a key, the machine's identity is asked for one token for storage, which all requests carry."""
    with BlobStore(OBJECTS, tokens=("token-1",)) as azure:
        source = source_of(settings(azure, account_key=""))
        assert [content_at(source, "page.jp2") for _ in range(3)] == [b"page"] * 3
    assert len(machine.requests) == 1
    assert "resource=https://storage.azure.com" in unquote(machine.requests[0].target)


def test_no_identity(machine: ObjectStore) -> None:
    """If there is none, the request fails with the reason, and nothing is asked of the storage."""
    machine.mischief = lambda _request, _reply: Reply(
        400, {"Content-Type": "application/json"}, b'{"statusCode": 400, "message": "No User Assigned identity found"}'
    )
    with BlobStore(OBJECTS, tokens=("token-1",)) as azure:
        with pytest.raises(SourceError, match=r"azure: no token: .*DefaultAzureCredential"):
            source_of(settings(azure, account_key="")).find("page.jp2")
        assert azure.requests == []


def test_an_identity_that_cannot_be(azure: BlobStore, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A certificate that is none is found at start."""
    certificate = tmp_path / "certificate.pem"
    certificate.write_text("no certificate")
    for name, value in {"TENANT_ID": "t", "CLIENT_ID": "c", "CLIENT_CERTIFICATE_PATH": str(certificate)}.items():
        monkeypatch.setenv(f"AZURE_{name}", value)
    with pytest.raises(StartError, match="SIDECAR_AZURE"):
        source_of(settings(azure, account_key=""))


def test_files_of_an_identity(azure: BlobStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers may read what proves an identity, also when it has been replaced, if a container is set."""
    monkeypatch.setenv("AZURE_FEDERATED_TOKEN_FILE", "/var/run/secrets/azure/tokens/azure-identity-token")
    monkeypatch.setenv("IMDS_ENDPOINT", "http://localhost:40342")
    folders = sidecar_azure.register_folders(Config.of(settings(azure)))
    assert [str(folder.path) for folder in folders] == ["/var/run/secrets/azure/tokens", "/var/opt/azcmagent/tokens"]
    assert not [*sidecar_azure.register_folders(Config.of())]


@pytest.mark.parametrize(
    "wrong",
    [
        {"account": "", "endpoint": ""},
        {"account": ""},
        {"account": "Pictures"},
        {"container": "ab"},
        {"account_key": "no base64"},
        {"account_key": KEY, "sas": "sig=x"},
        {"account_key": "", "sas": "sig=x", "anonymous": True},
        {"account_key": "", "sas": "no signature"},
        {"account_key": "", "sas": "sig=x#y"},
    ],
)
def test_settings_that_cannot_be(wrong: dict[str, object]) -> None:
    """They are found at start."""
    given = {"account": "pictures", "container": "images", "account_key": KEY}
    AzureSettings.model_validate(given)
    with pytest.raises(ValidationError):
        AzureSettings.model_validate({**given, "endpoint": "http://host", **wrong})


def test_in_a_patched_process(machine: ObjectStore) -> None:
    """As gunicorn's worker runs it, with an identity: everything patched before anything is imported."""
    program = """
from gevent import monkey
monkey.patch_all()
import gevent, sidecar_azure, sys
from sidecar.plugin import ByteRange, Config
from sidecar_azure.settings import AzureSettings
given = AzureSettings(container="images", endpoint=sys.argv[1])
(source,) = sidecar_azure.register_sources(Config.of(given))
assert gevent.get_hub().threadpool.size == 0, "a native thread runs, which has no sandbox"
jobs = [gevent.spawn(lambda: bytes(source.find("page.jp2").read([ByteRange(0, 4)])[0])) for _ in range(9)]
gevent.joinall(jobs, raise_error=True)
assert {job.value for job in jobs} == {b"page"}
source.close()
"""
    with BlobStore(OBJECTS, tokens=("token-1",)) as azure:
        subprocess.run([sys.executable, "-W", "error", "-c", program, azure.address], check=True, timeout=60)
        assert len(azure.requests) == 1
    assert len(machine.requests) == 1


def test_settings_of_cantaloupe(tmp_path: Path) -> None:
    """AzureStorageSource's own settings are taken over; a container without a name, or for a script, is not."""
    file = tmp_path / "cantaloupe.properties"
    file.write_text(
        "source.static = AzureStorageSource\nAzureStorageSource.account_name = pictures\n"
        f"AzureStorageSource.account_key = {KEY}\nAzureStorageSource.container_name = images\n"
        "AzureStorageSource.chunking.enabled = true\n"
    )
    taken = takeover.read(file, [AzureSettings], {})
    found = AzureSettings.model_validate(taken.values["azure"])
    assert (found.account, found.container, found.account_key.get_secret_value()) == ("pictures", "images", KEY)
    assert not taken.notes
    with file.open("a") as more:
        more.write("AzureStorageSource.lookup_strategy = ScriptLookupStrategy\n")
    assert {*takeover.read(file, [AzureSettings], {}).values["azure"]} == {"account", "account_key"}
    file.write_text("source.static = AzureStorageSource\nAzureStorageSource.container_name =\n")
    assert "azure" not in takeover.read(file, [AzureSettings], {}).values
