"""The optional files of the site: the cache and the question whether someone may see an image."""

from __future__ import annotations

import http.client
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest

from tests.nginx.peers import HOST, PATIENCE, Peer, Request, ask, reply, saying
from tests.nginx.servers import Nginx

TILE = "/iiif/3/a.jp2/0,0,256,256/max/0/default.jpg"
KEPT = reply(200, b"a tile", Cache_Control="max-age=1000, public", ETag='"1"')


@pytest.fixture
def cached(cantaloupe: Peer, actor: Peer, logs: list[Path], tmp_path: Path) -> Iterator[Nginx]:
    """Nginx with the shipped cache."""
    edits = {
        ("cache.conf", "/var/cache/nginx/sidecar"): str(tmp_path / "cache"),
        # However slow the machine: here, those who wait wait for the answer.
        ("cache-location.conf", "proxy_cache_lock_timeout 3s"): "proxy_cache_lock_timeout 60s",
        ("sidecar-locations.conf", "# include sidecar/cache-location.conf;"): "include sidecar/cache-location.conf;",
    }
    actor.behaviour = saying(KEPT)
    include = {"http": "include sidecar/cache.conf;"}
    with Nginx(tmp_path / "nginx", actor.port, cantaloupe.port, edits, include) as nginx:
        logs.append(nginx.process.log)
        yield nginx
    logs.pop()


@pytest.fixture
def guard() -> Iterator[Peer]:
    """The service that decides who may see an image."""
    with Peer(saying(reply(200))) as peer:
        yield peer


@pytest.fixture
def guarded(cantaloupe: Peer, actor: Peer, guard: Peer, logs: list[Path], tmp_path: Path) -> Iterator[Nginx]:
    """Nginx with the shipped question in front of everything."""
    edits = {("auth.conf", "127.0.0.1:8184"): f"127.0.0.1:{guard.port}"}
    include = {"server": "include sidecar/auth.conf;"}
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


@pytest.mark.parametrize("target", [TILE, "/iiif/3/a.tif/info.json", "/other"])
@pytest.mark.parametrize("status", [401, 403])
def test_who_may_not_see_an_image_gets_nothing(
    guarded: Nginx, guard: Peer, actor: Peer, cantaloupe: Peer, target: str, status: int
) -> None:
    """If the service refuses, neither the sidecar nor Cantaloupe receives the request."""
    guard.behaviour = saying(reply(status, WWW_Authenticate="Basic"))
    assert ask(guarded.port, target).status == status
    assert actor.requests == cantaloupe.requests == []


def test_who_may_see_an_image_gets_it(guarded: Nginx, guard: Peer, actor: Peer) -> None:
    """The service learns the URL as it came, and lets both answers and handovers through."""
    assert ask(guarded.port, TILE + "?a=%2F", headers={"Cookie": "a=b"}).text == "sidecar's answer"
    (request,) = guard.requests
    assert request.headers["x-original-uri"] == TILE + "?a=%2F"
    assert (request.headers["x-original-method"], request.headers["cookie"]) == ("GET", "a=b")
    actor.behaviour = saying(reply(200, X_Accel_Redirect="@cantaloupe"))
    assert ask(guarded.port, TILE).text == "cantaloupe's answer"


def test_nobody_asks_the_question_from_outside(guarded: Nginx, guard: Peer) -> None:
    """The location of the question is not there for clients."""
    assert ask(guarded.port, "/sidecar-auth").status in (403, 404)
    assert [request.headers.get("x-original-uri") for request in guard.requests] in ([], ["/sidecar-auth"])


def test_bodies_are_small_whatever_the_site_allows(
    actor: Peer, cantaloupe: Peer, logs: list[Path], tmp_path: Path
) -> None:
    """A site that takes uploads elsewhere takes none below /iiif/: a length beyond the limit is refused unread."""
    with Nginx(
        tmp_path / "nginx", actor.port, cantaloupe.port, include={"server": "client_max_body_size 50m;"}
    ) as nginx:
        logs.append(nginx.process.log)
        for method in ("GET", "POST"):
            head = f"{method} {TILE} HTTP/1.1\r\nHost: x\r\nContent-Length: 2000000\r\n\r\n"
            with socket.create_connection((HOST, nginx.port), PATIENCE) as client:
                client.sendall(head.encode())
                assert client.recv(65536).startswith(b"HTTP/1.1 413 ")
            assert ask(nginx.port, TILE, method, body=bytes(500_000)).status == 200
        assert ask(nginx.port, "/upload", "POST", body=bytes(2_000_000)).status == 200
        logs.pop()
