"""The optional cache of the site."""

from __future__ import annotations

import http.client
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest

from tests.nginx.conftest import Stack
from tests.nginx.peers import HOST, PATIENCE, Peer, Request, ask, raw, reply, saying
from tests.nginx.servers import SITE, Nginx

TILE = "/iiif/3/a.jp2/0,0,256,256/max/0/default.jpg"
VARY = "Accept, Accept-Charset, Accept-Encoding, Accept-Language, Origin"
KEPT = reply(200, b"a tile", Cache_Control="max-age=1000, public", ETag='"1"', Vary=VARY)
PLACE = ("cache.conf", "/var/cache/nginx-sidecar")
SWITCH = ("sidecar-pass.conf", "# include sidecar/cache-location.conf;")


@pytest.fixture
def cached(cantaloupe: Peer, actor: Peer, logs: list[Path], tmp_path: Path) -> Iterator[Nginx]:
    """Nginx with the shipped cache."""
    edits = {
        PLACE: str(tmp_path / "cache"),
        # However slow the machine: here, those who wait wait for the answer.
        ("cache-location.conf", "proxy_cache_lock_timeout 3s"): "proxy_cache_lock_timeout 60s",
        SWITCH: "include sidecar/cache-location.conf;",
    }
    actor.behaviour = saying(KEPT)
    include = {"http": "include sidecar/cache.conf;"}
    with Nginx(tmp_path / "nginx", actor.port, cantaloupe.port, edits, include) as nginx:
        logs.append(nginx.process.log)
        yield nginx
    logs.pop()


def test_the_cache_answers_the_second_time(cached: Nginx, actor: Peer) -> None:
    """An answer that may be kept is made once; a conditional request is then answered by nginx."""
    assert [ask(cached.port, TILE).text for _ in range(2)] == ["a tile"] * 2
    assert ask(cached.port, TILE, headers={"If-None-Match": '"1"'}).status == 304
    assert len(actor.requests) == 1


def test_the_cache_keeps_no_broken_body(cached: Nginx, actor: Peer) -> None:
    """A body that breaks halfway is not kept: the next client gets it whole."""

    def breaking(_: Request, connection: socket.socket) -> bool:
        head = KEPT.partition(b"Content-Length: 6\r\n")
        connection.sendall(
            head[0] + b"Transfer-Encoding: chunked\r\n" + head[2].partition(b"a tile")[0] + b"2\r\na \r\n"
        )
        return False

    actor.behaviour = breaking
    with pytest.raises(http.client.IncompleteRead):
        ask(cached.port, TILE)
    actor.behaviour = saying(KEPT)
    assert ask(cached.port, TILE).text == "a tile"


def test_the_cache_asks_once_for_many(cached: Nginx, actor: Peer) -> None:
    """Clients that ask for the same at once wait for one answer."""
    go = threading.Event()

    def slow(request: Request, connection: socket.socket) -> bool:
        if request.target == TILE:
            go.wait(PATIENCE)
        connection.sendall(KEPT)
        return True

    actor.behaviour = slow
    with ExitStack() as clients:
        waiting = [clients.enter_context(socket.create_connection((HOST, cached.port))) for _ in range(4)]
        for client in waiting:
            client.sendall(f"GET {TILE} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        # One process serves all connections in turn: what was sent before this has been read when it is answered.
        ask(cached.port, TILE + "?other")
        go.set()
        assert all(b"".join(iter(partial(client.recv, 65536), b"")).endswith(b"a tile") for client in waiting)
    assert [request.target for request in actor.requests].count(TILE) == 1


def test_the_cache_keeps_answers_to_credentials_apart(cached: Nginx, actor: Peer) -> None:
    """Responses to requests with credentials are not kept for others, nor those of others sent to them."""
    credentials = {"Authorization": "Basic eA=="}
    for headers in (credentials, {}, credentials, {}):
        assert ask(cached.port, TILE, headers=headers).text == "a tile"
    assert ["authorization" in request.headers for request in actor.requests] == [True, False, True]


@pytest.mark.parametrize("control", ["no-cache", "max-age=0, No-Cache"])
def test_the_cache_is_passed_by_on_request(cached: Nginx, actor: Peer, control: str) -> None:
    """A request with `no-cache` reaches the sidecar, and others get what came of it (RFC 9111 §5.2.1.4)."""
    ask(cached.port, TILE)
    actor.behaviour = saying(KEPT.replace(b"a tile", b"newer!"))
    assert ask(cached.port, TILE).text == "a tile"
    assert ask(cached.port, TILE, headers={"Cache-Control": control}).text == "newer!"
    assert ask(cached.port, TILE, headers={"Cache-Control": "max-age=0"}).text == "newer!"
    assert len(actor.requests) == 2


def test_the_cache_leaves_methods_errors_and_handovers_alone(cached: Nginx, actor: Peer) -> None:
    """HEAD stays HEAD, and neither errors nor handed-over requests are kept."""
    ask(cached.port, TILE, "HEAD")
    assert [request.method for request in actor.requests] == ["HEAD"]
    for behaviour in (reply(503, b"later"), reply(200, X_Accel_Redirect="@cantaloupe")):
        actor.behaviour = saying(behaviour)
        asked = len(actor.requests)
        first, second = (ask(cached.port, TILE).text for _ in range(2))
        assert first == second
        assert len(actor.requests) == asked + 2


def test_the_folder_is_made_at_start(cached: Nginx) -> None:
    """Nginx makes the folder of the cache, for itself alone; as shipped, it lies in a folder that every Linux has."""
    folder = cached.folder.parent / "cache"
    ask(cached.port, TILE)
    assert folder.stat().st_mode & 0o077 == 0
    assert [path for path in folder.rglob("*") if path.is_file()]
    assert f"proxy_cache_path {PLACE[1]} " in (SITE / PLACE[0]).read_text()
    assert Path(PLACE[1]).parent.is_dir()


def test_hits_show(cached: Nginx, actor: Peer) -> None:
    """Cache-Status (RFC 9211) says whether the cache answered; what never came near the cache has none."""
    assert [ask(cached.port, TILE).headers["Cache-Status"] for _ in range(2)] == ["nginx; fwd=miss", "nginx; hit"]
    renewed = ask(cached.port, TILE, headers={"Cache-Control": "no-cache"})
    assert renewed.headers["Cache-Status"] == "nginx; fwd=request"
    actor.behaviour = saying(reply(200, X_Accel_Redirect="@cantaloupe"))
    for target in ("/iiif/3/b.jp2/info.json", "/iiif/3/a.png/info.json", "/elsewhere"):
        assert ask(cached.port, target).headers["Cache-Status"] is None


def test_the_headers_of_a_server_stay(cantaloupe: Peer, actor: Peer, tmp_path: Path) -> None:
    """A server with headers of its own keeps them on cached responses."""
    edits = {PLACE: str(tmp_path / "cache"), SWITCH: "include sidecar/cache-location.conf;"}
    include = {"http": "include sidecar/cache.conf;", "server": "add_header Strict-Transport-Security max-age=1;"}
    actor.behaviour = saying(KEPT)
    with Nginx(tmp_path / "nginx", actor.port, cantaloupe.port, edits, include) as nginx:
        for _ in range(2):
            assert ask(nginx.port, TILE).headers["Strict-Transport-Security"] == "max-age=1"


@pytest.mark.parametrize("header", ["Accept", "Accept-Charset", "Accept-Encoding", "Accept-Language", "Origin"])
def test_one_copy_for_all_clients(cached: Nginx, actor: Peer, header: str) -> None:
    """However browsers differ in language, encoding and the formats they like, an image is made and kept once."""
    for value in ("de", "en, de;q=0.5", "image/avif,image/webp,*/*;q=0.8", "gzip, br", "https://example.org"):
        answer = ask(cached.port, TILE, headers={header: value})
        assert (answer.text, answer.headers["Vary"]) == ("a tile", VARY)
    assert len(actor.requests) == 1


def test_copies_for_other_urls_are_kept_apart(cantaloupe: Peer, actor: Peer, tmp_path: Path) -> None:
    """Whatever a balancer says that ends up in ids is in the key: no client gets the ids that another one chose."""
    edits = {
        PLACE: str(tmp_path / "cache"),
        SWITCH: "include sidecar/cache-location.conf;",
        ("sidecar.conf", "# 10.0.0.0/8 1;"): f"{HOST} 1;",
    }
    actor.behaviour = saying(KEPT)
    given = [{"Proto": "https"}, {"Host": "evil.example"}, {"Port": "8443"}, {"Path": "/p"}, {}]
    include = {"http": "include sidecar/cache.conf;"}
    with Nginx(tmp_path / "nginx", actor.port, cantaloupe.port, edits, include) as nginx:
        for values in given * 2:
            ask(nginx.port, TILE, headers={f"X-Forwarded-{name}": value for name, value in values.items()})
    assert len(actor.requests) == len(given)


ACCEPT = (
    "",
    "*/*",
    "application/json",
    "application/ld+json",
    "text/html, Application/LD+JSON; profile=x ,*/*",
    "application/json;q=0.5, application/ld+json",
    "application/ld+json ,application/json",
    "text/html,application/json;q=0.9",
    "application/jsonp, application/ld+jsonx",
)


def test_info_is_json_or_json_ld_as_asked(session_stack: Stack, tmp_path: Path) -> None:
    """Through the cache, info.json has the type that the sidecar itself chooses for each Accept, in whatever order."""
    edits = {PLACE: str(tmp_path / "cache"), SWITCH: "include sidecar/cache-location.conf;"}
    include = {"http": "include sidecar/cache.conf;"}
    sidecar = session_stack.sidecar.port
    with Nginx(tmp_path / "nginx", sidecar, session_stack.cantaloupe.port, edits, include) as nginx:
        seen: list[str] = []
        for accept in (*ACCEPT, *reversed(ACCEPT)):
            for version in "23":
                target, headers = f"/iiif/{version}/tiled_512.jp2/info.json", {"Accept": accept} if accept else {}
                own, kept = (ask(port, target, headers=headers) for port in (sidecar, nginx.port))
                assert (accept, kept.headers["Content-Type"]) == (accept, own.headers["Content-Type"])
                assert json.loads(kept.body)["width"] == 2000
                seen.append(kept.headers["Cache-Status"])
        assert seen.count("nginx; fwd=miss") == 4  # two versions in two types


def test_a_second_accept_header_poisons_nothing(session_stack: Stack, tmp_path: Path) -> None:
    """The type is chosen from what is in the cache's key: a repeated Accept cannot put JSON-LD where JSON belongs."""
    edits = {PLACE: str(tmp_path / "cache"), SWITCH: "include sidecar/cache-location.conf;"}
    include = {"http": "include sidecar/cache.conf;"}
    with Nginx(tmp_path / "nginx", session_stack.sidecar.port, session_stack.cantaloupe.port, edits, include) as nginx:
        target = "/iiif/2/tiled_512.jp2/info.json"
        head = f"GET {target} HTTP/1.1\r\nHost: {HOST}:{nginx.port}\r\nConnection: close\r\n"
        two = raw(nginx.port, f"{head}Accept: text/html\r\nAccept: application/ld+json\r\n\r\n".encode())
        assert b"200 OK" in two
        assert ask(nginx.port, target).headers["Content-Type"] == "application/json;charset=utf-8"
