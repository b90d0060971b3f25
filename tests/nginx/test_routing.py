"""Which requests nginx takes to the sidecar and which to Cantaloupe, and that they arrive as they came."""

from __future__ import annotations

import pytest

from sidecar.plugin import run_inline
from sidecar.registry import Plugins
from tests.nginx.peers import Peer, ask, raw, reply, saying
from tests.nginx.servers import Nginx

TILE = "/iiif/3/a.jp2/0,0,256,256/max/0/default.jpg"


@pytest.mark.parametrize(
    "target",
    [
        TILE,
        "/iiif/2/a.jp2/info.json",
        "/iiif/3/a.jp2",
        "/iiif/3/a.jp2/",
        "/iiif/3/A.JP2/info.json",
        "/iiif/3/folder%2Fa.jp2/info.json",
        "/iiif/3/folder%2fa%2Ejp2/info.json",
        "/iiif/3/a%2ej2k;2/info.json",
        "/iiif/3/a.svs;1;1:2/info.json",
        "/iiif/3/a.ndpi%3B1/info.json",
        "/iiif/3/%E5%9B%BE.jp2/info.json?a=%2F",
        "/iiif/3/a%3Fb%23c.jp2/info.json?x=y",
        "/iiif/3/a%252Fb.jp2/info.json",
    ],
)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_the_sidecar_is_asked_for_its_formats(
    site: Nginx, actor: Peer, cantaloupe: Peer, method: str, target: str
) -> None:
    """GET and HEAD of identifiers that end like the sidecar's formats reach it with the URL as the client wrote it."""
    assert ask(site.port, target, method).status == 200
    assert [(request.method, request.target) for request in actor.requests] == [(method, target)]
    assert cantaloupe.requests == []


def test_every_suffix_of_a_decoder_is_the_sidecars(site: Nginx, actor: Peer) -> None:
    """The shipped map has every decoder's suffixes, but those of TIFF: Cantaloupe reads it, and few are scans."""
    plugins = Plugins()
    registry = plugins.load(plugins.configure(), run_inline)
    suffixes = frozenset[str]().union(*(decoder.suffixes for decoder in registry.decoders)) - {"tif", "tiff"}
    registry.close()
    for suffix in suffixes:
        ask(site.port, f"/iiif/3/a.{suffix}/info.json")
    assert {request.target for request in actor.requests} == {f"/iiif/3/a.{suffix}/info.json" for suffix in suffixes}


@pytest.mark.parametrize(
    "target",
    [
        "/iiif/3/a.tif/info.json",
        "/iiif/3/a.jpg/full/max/0/default.jp2",
        "/iiif/3/a.jp2x/info.json",
        "/iiif/3/jp2/info.json",
        "/iiif/3/a.png/info.json?b.jp2/",
        "/iiif/1/a.jp2/info.json",
        "/iiif/3/a/b.jp2/info.json",
        "/iiif/3/",
        "//iiif/3/a.jp2/info.json",
        "/other/iiif/3/a.jp2/info.json",
        "/",
    ],
)
def test_cantaloupe_is_asked_for_the_rest(site: Nginx, actor: Peer, cantaloupe: Peer, target: str) -> None:
    """Other formats and other paths go to Cantaloupe, with the URL as the client wrote it."""
    assert ask(site.port, target).text == "cantaloupe's answer"
    assert [request.target for request in cantaloupe.requests] == [target]
    assert actor.requests == []


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PATCH", "PROPFIND"])
def test_other_methods_are_cantaloupes(site: Nginx, actor: Peer, cantaloupe: Peer, method: str) -> None:
    """Whatever is neither GET nor HEAD goes past the sidecar, with body, query and headers."""
    answer = ask(site.port, f"{TILE}?a=%2F&b", method, {"X-Mine": "yes", "Content-Type": "text/x"}, b"the body")
    assert answer.text == "cantaloupe's answer"
    assert actor.requests == []
    (request,) = cantaloupe.requests
    assert (request.method, request.target, request.body) == (method, f"{TILE}?a=%2F&b", b"the body")
    assert (request.headers["x-mine"], request.headers["content-type"]) == ("yes", "text/x")


HANDOVERS = {
    "0.2": reply(421, b"not seen", X_Accel_Redirect="@cantaloupe", Cache_Control="no-store"),
    "0.1": reply(200, b"not seen", X_Accel_Redirect="@cantaloupe"),
}
"""What the sidecar answers to hand a request over, by version."""


@pytest.mark.parametrize("version", HANDOVERS)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_handover_changes_nothing(site: Nginx, actor: Peer, cantaloupe: Peer, method: str, version: str) -> None:
    """After a handover Cantaloupe gets method, body, query, headers and percent-encoding as they came."""
    actor.behaviour = saying(HANDOVERS[version])
    target = "/iiif/3/a%2Fb%3Bc%2Ejp2;1/full/max/0/default.jpg?x=%2F%25&&y"
    answer = ask(site.port, target, method, {"X-Mine": "yes", "Cookie": "a=b", "Authorization": "Basic eA=="}, b"body")
    assert answer.body == (b"" if method == "HEAD" else b"cantaloupe's answer")
    assert "X-Accel-Redirect" not in answer.headers
    (asked,), (request,) = actor.requests, cantaloupe.requests
    assert (asked.target, asked.body) == (target, b"")
    assert (request.method, request.target, request.body) == (method, target, b"body")
    assert (request.headers["x-mine"], request.headers["cookie"]) == ("yes", "a=b")
    assert request.headers["authorization"] == "Basic eA=="


def test_a_handover_leaves_no_trace(site: Nginx, actor: Peer, cantaloupe: Peer) -> None:
    """How long Cantaloupe's response may be kept is its own matter: the sidecar's `no-store` is for the handover."""
    actor.behaviour = saying(HANDOVERS["0.2"])
    cantaloupe.behaviour = saying(reply(200, b"x", Cache_Control="max-age=9, public"))
    answer = ask(site.port, TILE)
    assert answer.headers.get_all("Cache-Control") == ["max-age=9, public"]
    assert not [name for name in answer.headers if name.lower().startswith(("x-accel", "x-sidecar"))]


def test_a_chunked_body_survives_a_handover(site: Nginx, actor: Peer, cantaloupe: Peer) -> None:
    """A body sent in chunks with a GET reaches Cantaloupe whole, and the sidecar not at all."""
    actor.behaviour = saying(HANDOVERS["0.2"])
    head = f"GET {TILE} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert b"cantaloupe's answer" in raw(site.port, head.encode() + b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n")
    assert [request.body for request in actor.requests] == [b""]
    assert [request.body for request in cantaloupe.requests] == [b"abcde"]


def test_the_handover_header_is_nginxs(site: Nginx, actor: Peer) -> None:
    """A client can neither remove nor change the header by which nginx announces itself to the sidecar."""
    ask(site.port, TILE, headers={"X-Sidecar-Handover": "other", "X_Sidecar_Handover": "other"})
    assert [request.headers["x-sidecar-handover"] for request in actor.requests] == ["nginx"]


def test_clients_do_not_choose_the_url_in_answers(site: Nginx, actor: Peer, cantaloupe: Peer) -> None:
    """X-Forwarded-* of a client is replaced, for the sidecar and Cantaloupe alike."""
    forged = dict.fromkeys(("Proto", "Host", "Port", "Path", "ID"), "evil")
    headers = {f"X-Forwarded-{name}": value for name, value in forged.items()}
    ask(site.port, TILE, headers=headers)
    ask(site.port, TILE, "POST", headers)
    for request in (*actor.requests, *cantaloupe.requests):
        forwarded = {name: value for name, value in request.headers.items() if name.startswith("x-forwarded-")}
        assert forwarded == {
            "x-forwarded-proto": "http",
            "x-forwarded-host": f"127.0.0.1:{site.port}",
            "x-forwarded-for": "127.0.0.1",
        }


def test_http_1_0_has_a_host(site: Nginx, actor: Peer) -> None:
    """A request without a Host header goes on with one, as HTTP/1.1 demands (RFC 9112 §3.2)."""
    raw(site.port, f"GET {TILE} HTTP/1.0\r\n\r\n".encode())
    assert [request.headers["host"] for request in actor.requests] == [f"127.0.0.1:{site.port}"]


def test_the_absolute_form_is_understood(site: Nginx, actor: Peer) -> None:
    """A request line with scheme and host (RFC 9112 §3.2.2) is routed by its path."""
    raw(site.port, f"GET http://x{TILE} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
    assert [request.target for request in actor.requests] == [TILE]


@pytest.mark.parametrize("byte", [b"\xff", b"\xc3\xa9", b'"', b"<", b"|", b"\\"])
def test_odd_bytes_arrive_as_they_are(site: Nginx, actor: Peer, byte: bytes) -> None:
    """Bytes that a URL should have encoded reach the sidecar unchanged."""
    raw(site.port, b"GET /iiif/3/a" + byte + b".jp2/info.json HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert [request.target.encode("latin-1") for request in actor.requests] == [b"/iiif/3/a" + byte + b".jp2/info.json"]


def test_connections_to_the_sidecar_are_kept(site: Nginx, actor: Peer) -> None:
    """Requests to the sidecar are HTTP/1.1, whose answers have an end, and do not ask it to close the connection."""
    ask(site.port, TILE)
    (request,) = actor.requests
    assert (request.version, request.headers.get("connection")) == ("HTTP/1.1", None)


def test_urls_up_to_8_kib_pass(site: Nginx, actor: Peer) -> None:
    """The longest request line that nginx takes reaches the sidecar, and headers of its answer may repeat it."""
    target = f"/iiif/3/{'a' * 8100}.jp2/info.json"
    actor.behaviour = saying(reply(303, Location=target, Link=f"<{target}>", X_More=target))
    answer = ask(site.port, target)
    assert (answer.status, answer.headers["X-More"]) == (303, target)
    assert ask(site.port, f"/iiif/3/{'a' * 8200}.jp2/info.json").status == 414
