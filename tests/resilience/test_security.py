"""Identifiers, redirects and headers that try to lead the HTTP source to another server, end to end."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from sidecar.testing.object_store import ObjectStore, Reply
from tests.nginx.peers import ask, raw
from tests.resilience.site import Site

SECRET = "secret.jp2"  # noqa: S105  # the name of a file that nobody should see
SIZE = b'"width":60'


@dataclass(frozen=True)
class Net:
    """A site whose files lie on one server, and another server that it must never ask."""

    site: Site
    own: ObjectStore
    inner: ObjectStore

    @property
    def inside(self) -> str:
        """Where the other one listens."""
        return self.inner.url.removeprefix("http://")


@pytest.fixture(scope="module")
def net(images: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Net]:
    """The secret lies beside what is served, and on the other server."""
    home = tmp_path_factory.mktemp("security")
    (home / "images").mkdir()
    secret = (images / "tiny_60x40.jp2").read_bytes()
    page = (images / "gray8.jp2").read_bytes()
    kept = {f"images/{SECRET}": secret, SECRET: secret, "latest/meta-data/a.jp2": secret}
    with (
        ObjectStore({"images/page.jp2": page, SECRET: secret}) as own,
        ObjectStore(kept) as inner,
        Site(
            home / "site", home / "images", f'[http]\nurl_prefix = "{own.url}/images/"\nattempts = 1\nfreshness = 0'
        ) as site,
    ):
        yield Net(site, own, inner)


@pytest.fixture(autouse=True)
def afresh(net: Net) -> None:
    """Forget all requests."""
    net.own.requests.clear()
    net.own.mischief = lambda _, reply: reply


@pytest.mark.parametrize(
    "identifier",
    [
        "http:%2F%2F{inside}%2Fsecret.jp2",
        "%2F%2F{inside}%2Fsecret.jp2",
        "@{inside}%2Fsecret.jp2",
        ":80@{inside}%2Fsecret.jp2",
        "%5C%5C{inside}%5Csecret.jp2",
        "..%2Fsecret.jp2",
        "..%252Fsecret.jp2",
        "%252e%252e%252Fsecret.jp2",
        "page.jp2%2F..%2F..%2Fsecret.jp2",
        "..;%2Fsecret.jp2",
        "%3F%2F..%2Fsecret.jp2",
        "%23%2F..%2Fsecret.jp2",
        "page.jp2%0D%0AHost:%20{inside}%0D%0A.jp2",
        "page.jp2%20HTTP%2F1.1%0D%0A%0D%0AGET%20%2Fsecret.jp2",
        "latest%2Fmeta-data%2Fa.jp2",
        "169.254.169.254%2Fa.jp2",
        "[::ffff:127.0.0.1]%2Fsecret.jp2",
    ],
)
def test_no_identifier_leads_elsewhere(net: Net, identifier: str) -> None:
    """Only the configured server receives requests, below its prefix, and no response shows the secret."""
    for port in (net.site.port, net.site.sidecar.port):
        answer = ask(port, f"/iiif/3/{identifier.format(inside=net.inside)}/info.json")
        assert SIZE not in answer.body.replace(b" ", b"")
    assert net.inner.requests == []
    for request in net.own.requests:
        assert request.target.startswith("/images/")
        assert not {"..", "."} & {*request.target.split("/")}


@pytest.mark.parametrize(
    "location", ["http://{inside}/secret.jp2", "//{inside}/secret.jp2", "http://127.0.0.1@{inside}/secret.jp2"]
)
def test_no_redirect_leads_elsewhere(net: Net, location: str) -> None:
    """A redirect to another server is not followed."""
    net.own.mischief = lambda _, __: Reply(302, {"Location": location.format(inside=net.inside)})
    answer = ask(net.site.port, "/iiif/3/moved.jp2/info.json")
    assert SIZE not in answer.body.replace(b" ", b"")
    assert net.own.requests
    assert net.inner.requests == []


def test_no_header_or_request_line_leads_elsewhere(net: Net) -> None:
    """Hosts in a client's request change URLs in responses at most, never the server that receives requests."""
    path = "/iiif/3/page.jp2/info.json"
    told = {
        "X-Forwarded-Host": net.inside,
        "X-Original-URL": f"http://{net.inside}/{SECRET}",
        "Forwarded": f"host={net.inside}",
    }
    assert ask(net.site.port, path, headers=told).status == 200
    for port in (net.site.port, net.site.sidecar.port):
        line = f"GET http://{net.inside}{path} HTTP/1.1\r\nHost: {net.inside}\r\nConnection: close\r\n\r\n"
        assert raw(port, line.encode()).startswith(b"HTTP/1.1 ")
        assert raw(port, b"CONNECT " + net.inside.encode() + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert net.own.requests
    assert net.inner.requests == []
