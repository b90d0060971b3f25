"""Files whose URLs are looked up, and where a lookup cannot lead."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import ClassVar
from urllib.parse import quote

import pytest
import sidecar_http
from pydantic import ValidationError
from sidecar_http.settings import HttpSettings

from sidecar.plugin import Config, KeepsBytes, Source, SourceError, SupportsCheck
from sidecar.testing.contracts.source import SourceContract, Store
from sidecar.testing.contracts.source_case import content_at
from sidecar.testing.object_store import ObjectStore, Reply, Request


@pytest.fixture
def server() -> Iterator[ObjectStore]:
    """A server of files."""
    with ObjectStore({"images/page.jp2": b"page", "secret.jp2": b"secret"}) as store:
        yield store


@pytest.fixture
def service() -> Iterator[ObjectStore]:
    """A service that says where files are."""
    with ObjectStore() as store:
        yield store


def source_of(**more: object) -> Source:
    """The source that the plugin registers."""
    given = HttpSettings.model_validate({"attempts": 1, "freshness": 0, "lookup_freshness": 0, **more})
    (source,) = sidecar_http.register_sources(Config.of(given))
    return source


def lead(service: ObjectStore, url: str) -> dict[str, str]:
    """Let the service redirect to a URL, and return the setting for it."""
    service.mischief = lambda _request, _reply: Reply(302, {"Location": url})
    return {"lookup_url": f"{service.url}/{{identifier}}"}


class TestRules(SourceContract):
    """The contract of all sources, with rules."""

    @pytest.fixture
    def store(self, server: ObjectStore) -> Store:
        """A folder of the server."""
        source = source_of(lookup=f"scans:{{x*}} -> {server.url}/none/{{x}}, {{any*}} -> {server.url}/images/{{any}}")
        outside = ["../secret.jp2", "scans:../images/page.jp2", f"{server.url}/secret.jp2"]
        return Store(source, lambda key, body: server.put(f"images/{key}", body), outside)


class TestService(SourceContract):
    """The contract of all sources, with a service."""

    identifiers: ClassVar[Sequence[str]] = (*SourceContract.identifiers, "https://elsewhere/x.jp2", "a//b.jp2")

    @pytest.fixture
    def store(self, server: ObjectStore, service: ObjectStore) -> Store:
        """A service that leads to a folder of the server, whatever it is asked."""

        def answer(request: Request, _reply: Reply) -> Reply:
            return Reply(303, {"Location": f"{server.url}/images/{quote(request.key)}"})

        service.mischief = answer
        host = server.url.removeprefix("http://")
        source = source_of(lookup_url=f"{service.url}/{{identifier}}", hosts=host, allow_private=True)
        return Store(source, lambda key, body: server.put(f"images/{key}", body), ["../secret.jp2"])


def test_whole_urls_as_identifiers(server: ObjectStore) -> None:
    """As Islandora writes them: a rule names the one server that they may lead to."""
    source = source_of(lookup=f"{server.url}/{{path*}} -> {server.url}/{{path}}")
    assert content_at(source, f"{server.url}/images/page.jp2") == b"page"
    asked = len(server.requests)
    for elsewhere in ("http://127.0.0.1:1/images/page.jp2", f"{server.url}@evil/x.jp2", "file:///etc/passwd"):
        assert source.find(elsewhere) is None
    assert len(server.requests) == asked


def test_a_member_of_json(server: ObjectStore, service: ObjectStore) -> None:
    """The answer's member is the URL, and the file's name that of its path."""
    body = f'{{"file": {{"url": "{server.url}/images/page.jp2?token=1"}}}}'.encode()
    service.mischief = lambda _request, _reply: Reply(200, body=body)
    source = source_of(
        lookup_url=f"{service.url}/{{identifier}}", lookup_fields="file.url", hosts=server.url[7:], allow_private=True
    )
    assert content_at(source, "0b1d") == b"page"
    blob = source.find("0b1d")
    assert blob is not None
    assert blob.name == "page.jp2"


@pytest.mark.parametrize(
    "url",
    [
        *("http://other.example/x.jp2", "http://127.0.0.1:1/x.jp2", "file:///etc/passwd", "ftp://h/x", "//evil/x"),
        *("http://user@127.0.0.1/x", "gopher://h/1", "http://[::1]/x", "http://169.254.169.254/latest/meta-data"),
    ],
)
def test_where_a_lookup_cannot_lead(service: ObjectStore, url: str) -> None:
    """Only hosts that settings name are asked: anything else is not understood, and is Cantaloupe's."""
    with pytest.raises(SourceError, match="looked up"):
        source_of(**lead(service, url)).find("x")
    assert len(service.requests) == 1


def test_private_addresses(server: ObjectStore, service: ObjectStore) -> None:
    """A host that is merely listed may not be private unless that is allowed, as with redirects."""
    more = {**lead(service, f"{server.url.replace('127.0.0.1', '127.0.0.2')}/images/page.jp2"), "hosts": "127.0.0.2"}
    port = server.url.rpartition(":")[2]
    with pytest.raises(SourceError, match="private"):
        source_of(**{**more, "hosts": f"127.0.0.2:{port}"}).find("x")
    assert server.requests == []


def test_credentials_stay_with_those_they_are_for(server: ObjectStore, service: ObjectStore) -> None:
    """Those for files go to hosts of rules and never to one that a service has named; the service's own stay there."""
    user = {"username": "user", "secret": "word"}
    content_at(source_of(lookup=f"{{x*}} -> {server.url}/images/{{x}}", **user), "page.jp2")
    assert "authorization" in server.requests[-1].headers
    named = {**lead(service, f"{server.url}/images/page.jp2"), "hosts": server.url[7:], "allow_private": True}
    assert content_at(source_of(**named, **user, lookup_authorization="Bearer t"), "x") == b"page"
    assert "authorization" not in server.requests[-1].headers
    assert service.requests[-1].headers["authorization"] == "Bearer t"


def test_whether_it_can_be_read(service: ObjectStore) -> None:
    """A check asks the service once, and passes whatever it says of an image that need not be there."""
    source = source_of(lookup_url=f"{service.url}/{{identifier}}", attempts=5)
    assert isinstance(source, SupportsCheck)
    assert isinstance(source, KeepsBytes)
    assert source.is_remote
    service.mischief = lambda _request, _reply: Reply(404)
    source.check()
    service.mischief = lambda _request, _reply: Reply(503)
    with pytest.raises(SourceError, match="503"):
        source.check()
    assert len(service.requests) == 2


@pytest.mark.parametrize(
    "wrong",
    [
        {"lookup_url": "https://h/{identifier}", "lookup_fields": "bucket, key"},
        {"lookup": "{x} -> s3://bucket/{x}"},
        {"lookup": "{x} -> {x}"},
    ],
)
def test_settings_that_cannot_be(wrong: dict[str, object]) -> None:
    """They are found at start."""
    with pytest.raises(ValidationError):
        HttpSettings.model_validate(wrong)
