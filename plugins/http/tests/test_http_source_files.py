"""Files of an HTTP server."""

from __future__ import annotations

import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import sidecar_http
from sidecar_http.settings import HttpSettings

from sidecar.plugin import ByteRange, Closing, Config, Source, SourceError
from sidecar.testing.contracts.source import SourceContract, Store
from sidecar.testing.object_store import ObjectStore, Reply


@pytest.fixture
def server() -> Iterator[ObjectStore]:
    """A server with a folder to serve and a file beside it."""
    with ObjectStore({"images/page.jp2": b"page", "secret.jp2": b"secret"}) as store:
        yield store


def source_of(url_prefix: str, **more: object) -> Source:
    """The source that the plugin registers."""
    given = HttpSettings.model_validate({"url_prefix": url_prefix, "attempts": 1, "freshness": 0, **more})
    (source,) = sidecar_http.register_sources(Config.of(given))
    assert isinstance(source, Closing)
    return source


class TestHttp(SourceContract):
    """The contract of all sources."""

    @pytest.fixture
    def store(self, server: ObjectStore) -> Store:
        """A folder of a server."""
        outside = ["../secret.jp2", "/secret.jp2", f"{server.url}/secret.jp2", "..%2fsecret.jp2"]
        return Store(source_of(f"{server.url}/images/"), lambda name, body: server.put(f"images/{name}", body), outside)


def test_suffix(server: ObjectStore) -> None:
    """It completes the URL; what stands before a query in it names the decoder."""
    source = source_of(f"{server.url}/images/", url_suffix=".jp2?raw=1")
    blob = source.find("page")
    assert blob is not None
    assert blob.name == "page.jp2"
    assert server.requests[-1].target == "/images/page.jp2?raw=1"


@pytest.mark.parametrize("status", [404, 410])
def test_surely_missing(server: ObjectStore, status: int) -> None:
    """Not found, or gone."""
    server.mischief = lambda _request, _reply: Reply(status)
    assert source_of(f"{server.url}/images/").find("page.jp2") is None


@pytest.mark.parametrize("status", [400, 401, 403, 405, 406, 421, 451, 500, 501, 502, 503, 504, 505])
def test_not_surely_missing(server: ObjectStore, status: int) -> None:
    """All else is an error of the source, never 404."""
    server.mischief = lambda _request, _reply: Reply(status)
    with pytest.raises(SourceError, match=str(status)):
        source_of(f"{server.url}/images/").find("page.jp2")


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for 127.0.0.1 with its key, in one file."""
    folder = tmp_path_factory.mktemp("tls")
    key, cert, both = folder / "key.pem", folder / "cert.pem", folder / "both.pem"
    command = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=server -addext subjectAltName=IP:127.0.0.1"
    subprocess.run([*command.split(), "-keyout", key, "-out", cert], check=True, capture_output=True)
    both.write_text(key.read_text() + cert.read_text())
    return both


@pytest.fixture
def secure(certificate: Path) -> Iterator[ObjectStore]:
    """The server under TLS."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with ObjectStore({"images/page.jp2": bytes(range(256)) * 4096}, tls=context) as store:
        yield store


def test_tls(secure: ObjectStore, certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A certificate of an authority that the system (or SSL_CERT_FILE) trusts."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    blob = source_of(f"{secure.url}/images/").find("page.jp2")
    assert blob is not None
    assert bytes(blob.read([ByteRange(0, blob.size)])[0]) == bytes(range(256)) * 4096


def test_tls_of_a_stranger(secure: ObjectStore) -> None:
    """A certificate that no authority signed is an error at once: another attempt would not help."""
    with pytest.raises(SourceError, match="certificate"):
        source_of(f"{secure.url}/images/", attempts=5).find("page.jp2")
    assert secure.requests == []


def test_tls_for_another_host(secure: ObjectStore, certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The certificate must be the host's."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    url = secure.url.replace("127.0.0.1", "localhost")
    with pytest.raises(SourceError, match="certificate"):
        source_of(f"{url}/images/").find("page.jp2")


def test_tls_that_is_not_checked(secure: ObjectStore) -> None:
    """`allow_insecure`, as in Cantaloupe."""
    assert source_of(f"{secure.url}/images/", allow_insecure=True).find("page.jp2") is not None


def test_tls_to_a_server_without(server: ObjectStore) -> None:
    """What is no TLS is an error of the source."""
    with pytest.raises(SourceError):
        source_of(f"{server.url.replace('http:', 'https:')}/images/").find("page.jp2")
