"""The optional question whether someone may see an image, and bodies."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.nginx.peers import HOST, PATIENCE, Peer, ask, reply, saying
from tests.nginx.servers import Nginx

TILE = "/iiif/3/a.jp2/0,0,256,256/max/0/default.jpg"


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
