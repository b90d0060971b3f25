"""Where the HTTP source goes and where it never does."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gevent.socket
import pytest
import sidecar_http
from pydantic import ValidationError
from sidecar_http.allowed_hosts import AllowedHosts
from sidecar_http.settings import HttpSettings

from sidecar.cantaloupe import takeover
from sidecar.plugin import Blob, Config, Source, SourceError
from sidecar.testing.object_store import Mischief, ObjectStore, Reply

_USER = {"username": "user", "secret": "pa:ß"}

Resolve = Callable[[str, str], None]


@pytest.fixture
def server() -> Iterator[ObjectStore]:
    """A server with a folder to serve and a file beside it."""
    with ObjectStore({"images/page.jp2": b"page", "secret.jp2": b"secret"}) as store:
        yield store


@pytest.fixture
def resolve(monkeypatch: pytest.MonkeyPatch) -> Resolve:
    """Lets a name lead to an address, as a name server could at any moment."""
    names: dict[str, str] = {}
    honest = gevent.socket.getaddrinfo

    def getaddrinfo(host: str, port: int, **more: int) -> object:
        return honest(names.get(host, host), port, **more)

    monkeypatch.setattr(gevent.socket, "getaddrinfo", getaddrinfo)
    return names.__setitem__


def source_of(url_prefix: str, **more: object) -> Source:
    """The source that the plugin registers."""
    given = HttpSettings.model_validate({"url_prefix": url_prefix, "attempts": 1, "freshness": 0, **more})
    (source,) = sidecar_http.register_sources(Config.of(given))
    return source


def find(server: ObjectStore, identifier: str = "page.jp2", **more: object) -> Blob | None:
    """Look in the folder."""
    return source_of(f"{server.url}/images/", **more).find(identifier)


def port(store: ObjectStore) -> str:
    """The port it listens on."""
    return store.url.rpartition(":")[2]


def redirect(location: str, status: int = 302) -> Mischief:
    """Send everything below the folder elsewhere, and answer the rest."""
    return lambda request, reply: Reply(status, {"Location": location}) if request.key.startswith("images") else reply


@pytest.mark.parametrize(
    "identifier",
    [
        *("http://127.0.0.1/secret.jp2", "//127.0.0.1/secret.jp2", "@127.0.0.1/secret.jp2", ":80/secret.jp2"),
        *(
            "user:pass@host",
            "page.jp2?x=1",
            "page.jp2#fragment",
            "page.jp2;a=b",
            "%2e%2e/secret.jp2",
            "%2e%2e%2fsecret.jp2",
        ),
        *(
            "page.jp2 HTTP/1.1",
            "/secret.jp2",
            "/../secret.jp2",
            "\u2025/secret.jp2",
            "..%5csecret.jp2",
            "\uff0fsecret.jp2",
        ),
    ],
)
def test_identifiers_complete_the_prefix(server: ObjectStore, identifier: str) -> None:
    """Whatever it holds, the request goes to the server that is set, below the prefix, for exactly that name."""
    try:
        found = find(server, identifier)
    except SourceError:
        found = None
    assert found is None
    assert [request.key for request in server.requests] in ([], [f"images/{identifier}"])
    assert all(request.target.startswith("/images/") for request in server.requests)
    assert all("?" not in request.target for request in server.requests)


@pytest.mark.parametrize(
    "identifier", ["..", "../secret.jp2", "a/../../secret.jp2", "..\\secret.jp2", "a\r\nX: y", "\0", ""]
)
def test_identifiers_that_nobody_is_asked_for(server: ObjectStore, identifier: str) -> None:
    """Steps upwards, header injection, nothing: None without a request."""
    assert find(server, identifier) is None
    assert server.requests == []


@pytest.mark.parametrize(
    "prefix",
    [
        *("images/", "ftp://host/", "file:///etc/", "http://", "http:///images/", "https://host", "http://host:80"),
        *(
            "http://user:pass@host/",
            "http://host/#",
            "http://host/a b",
            "http://host/\n",
            "http://host\\@other/",
            "//host/",
            "http://host:99999/",
        ),
    ],
)
def test_prefixes_that_cannot_be(prefix: str) -> None:
    """A prefix without a slash behind the host would let an identifier name the host."""
    with pytest.raises(ValidationError):
        HttpSettings(url_prefix=prefix)


@pytest.mark.parametrize("host", ["host:port", "http://host", "host/path", "a b", "user@host", "::1"])
def test_hosts_that_cannot_be(host: str) -> None:
    """They are found at start."""
    with pytest.raises(ValidationError):
        HttpSettings(hosts=(host,))


def test_a_name_that_cannot_be() -> None:
    """A label of more than 63 letters has no address, which is an error of the source (RFC 1035 §2.3.4)."""
    with pytest.raises(SourceError, match="no address"):
        source_of(f"http://{'x' * 64}/").find("page.jp2")


def test_nothing_set() -> None:
    """No source."""
    assert not [*sidecar_http.register_sources(Config.of())]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_within_the_host(server: ObjectStore, status: int) -> None:
    """They are followed, with the range and its conditions."""
    server.put("moved.jp2", b"moved here")
    server.mischief = redirect("/moved.jp2", status)
    blob = find(server)
    assert blob is not None
    assert blob.size == 10
    assert {request.headers["range"] for request in server.requests} == {"bytes=0-32767"}


@pytest.mark.parametrize(
    "location",
    [
        *("http://127.0.0.2:{port}/secret.jp2", "//127.0.0.2:{port}/secret.jp2", "http://127.0.0.1:1/secret.jp2"),
        *(
            "ftp://127.0.0.1/secret.jp2",
            "file:///etc/passwd",
            "http://user@127.0.0.1:{port}/secret.jp2",
            "",
            "http://[::1/",
        ),
        *(
            "http://127.0.0.1:{port}@evil.example/",
            "http://localhost:{port}/secret.jp2",
            "javascript:x",
            "http://127.0.0.1:99999/",
            "http://127.0.0.1:{port}\\@evil.example/",
            "http://evil.example\t:{port}/",
            "http://evil.example#@127.0.0.1:{port}/",
        ),
    ],
)
def test_redirects_elsewhere(server: ObjectStore, location: str) -> None:
    """They are an error, and nobody is asked there."""
    server.mischief = redirect(location.format(port=port(server)))
    with pytest.raises(SourceError):
        find(server)
    assert {request.key for request in server.requests} == {"images/page.jp2"}


def test_redirects_to_a_listed_host(server: ObjectStore, resolve: Resolve) -> None:
    """A host of the list may be redirected to, if it is public or private ones are allowed; credentials stay behind."""
    resolve("mirror.example.org", "127.0.0.1")
    server.mischief = redirect(f"http://mirror.example.org:{port(server)}/secret.jp2")
    listed: dict[str, Any] = {"hosts": (f"mirror.example.org:{port(server)}",), **_USER}
    with pytest.raises(SourceError, match="private address 127"):
        find(server, **listed)
    assert find(server, **listed, allow_private=True) is not None
    assert "authorization" in server.requests[-2].headers
    assert "authorization" not in server.requests[-1].headers


def test_no_redirect_away_from_tls() -> None:
    """What was asked under TLS is not answered without."""
    hosts = AllowedHosts(HttpSettings(url_prefix="https://images.example.org/a/"))
    with pytest.raises(SourceError, match="TLS"):
        hosts.follow("https://images.example.org/a/1", "http://images.example.org/a/1")
    assert hosts.follow("https://images.example.org/a/1", "../b") == "https://images.example.org/b"


def test_a_listed_host_without_a_port(server: ObjectStore) -> None:
    """The usual ports only; and case does not matter."""
    hosts = AllowedHosts(HttpSettings(url_prefix=f"{server.url}/images/", hosts=("Mirror.example.org",)))
    assert hosts.follow(server.url, "https://mirror.example.ORG/x")
    assert hosts.follow(server.url, "http://mirror.example.org/x")
    with pytest.raises(SourceError, match="does not name"):
        hosts.follow(server.url, "http://mirror.example.org:8080/x")


def test_redirects_without_end(server: ObjectStore) -> None:
    """After a few it is an error."""
    server.mischief = redirect("/images/again.jp2")
    with pytest.raises(SourceError, match="redirects"):
        find(server)
    assert len(server.requests) == 4


@pytest.mark.parametrize("address", ["127.0.0.1", "::ffff:127.0.0.1"])
def test_a_public_name_that_leads_inside(server: ObjectStore, resolve: Resolve, address: str) -> None:
    """DNS rebinding: the address is looked at when it is connected to, and not a byte goes there."""
    resolve("images.example.org", address)
    with pytest.raises(SourceError, match="SIDECAR_HTTP_ALLOW_PRIVATE"):
        source_of(f"http://images.example.org:{port(server)}/images/").find("page.jp2")
    assert server.requests == []
    assert server.connections == set()
    allowed = source_of(f"http://images.example.org:{port(server)}/images/", allow_private=True)
    assert address != "127.0.0.1" or allowed.find("page.jp2") is not None


def test_a_private_name_may_lead_inside(server: ObjectStore) -> None:
    """`localhost`, a name without dots and the like can only be meant so."""
    assert source_of(f"http://localhost:{port(server)}/images/").find("page.jp2") is not None


def test_basic_authentication(server: ObjectStore) -> None:
    """User and secret go to the server that is set, encoded as in RFC 7617; the secret shows nowhere."""
    user: dict[str, Any] = _USER
    assert find(server, **user) is not None
    expected = base64.b64encode("user:pa:ß".encode()).decode()
    assert server.requests[-1].headers["authorization"] == f"Basic {expected}"
    assert "pa:ß" not in repr(HttpSettings.model_validate(_USER))


def test_settings_of_cantaloupe(tmp_path: Path) -> None:
    """HttpSource's own settings are taken over."""
    file = tmp_path / "cantaloupe.properties"
    file.write_text(
        "source.static = HttpSource\nHttpSource.request_timeout = 20\nHttpSource.allow_insecure = true\n"
        "HttpSource.BasicLookupStrategy.url_prefix = http://files/images/\n"
        "HttpSource.BasicLookupStrategy.url_suffix = .jp2\nHttpSource.BasicLookupStrategy.auth.basic.username = user\n"
        "HttpSource.BasicLookupStrategy.auth.basic.secret = pass\n"
    )
    found = HttpSettings.model_validate(takeover.read(file, [HttpSettings], {}).values["http"])
    assert (found.url_prefix, found.url_suffix, found.timeout) == ("http://files/images/", ".jp2", 20)
    assert (found.username, found.secret.get_secret_value(), found.allow_insecure) == ("user", "pass", True)
