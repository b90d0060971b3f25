"""What nginx does when the sidecar fails, and that a broken answer stays broken."""

from __future__ import annotations

import http.client
import socket
import struct
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from tests.nginx.peers import HOST, PATIENCE, Behaviour, Peer, Request, ask, reply, saying
from tests.nginx.servers import Nginx, free_port

TILE = "/iiif/3/a.jp2/0,0,256,256/max/0/default.jpg"
HALF = b"HTTP/1.1 200 OK\r\nContent-Type: image/jpeg\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"


def closing(data: bytes) -> Behaviour:
    """Send some bytes and close the connection."""

    def behave(_: Request, connection: socket.socket) -> bool:
        connection.sendall(data)
        return False

    return behave


def resetting(data: bytes) -> Behaviour:
    """Send some bytes and reset the connection, as the kernel does for a process that was killed."""

    def behave(_: Request, connection: socket.socket) -> bool:
        connection.sendall(data)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        return False

    return behave


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize(
    "failure",
    [closing(b""), resetting(b""), closing(b"HTTP/1.1 200 OK\r\nContent-")],
    ids=["closed", "reset", "half a header"],
)
def test_cantaloupe_answers_when_the_sidecar_breaks_off_early(
    site: Nginx, actor: Peer, cantaloupe: Peer, failure: Behaviour, method: str
) -> None:
    """A connection that ends before the first byte of a proper answer costs the client nothing."""
    actor.behaviour = failure
    answer = ask(site.port, TILE + "?a=%2F", method)
    assert (answer.status, answer.body) == (200, b"" if method == "HEAD" else b"cantaloupe's answer")
    assert [(request.method, request.target) for request in cantaloupe.requests] == [(method, TILE + "?a=%2F")]


def test_cantaloupe_answers_when_the_sidecar_is_down_or_silent(
    cantaloupe: Peer, actor: Peer, logs: list[Path], tmp_path: Path
) -> None:
    """Neither a refused connection nor an answer that does not come in time shows to the client."""
    silent = threading.Event()

    def wait(_: Request, __: socket.socket) -> bool:
        return silent.wait(PATIENCE)

    actor.behaviour = wait
    quick = {("sidecar-pass.conf", "proxy_read_timeout 60s"): "proxy_read_timeout 300ms"}
    for name, port in {"down": free_port(), "silent": actor.port}.items():
        folder = tmp_path / name
        with Nginx(folder, port, cantaloupe.port, quick) as nginx:
            logs.append(nginx.process.log)
            assert ask(nginx.port, TILE).text == "cantaloupe's answer"
            logs.pop()
    silent.set()


@pytest.mark.parametrize("status", [400, 404, 413, 500, 501, 503])
def test_the_sidecars_own_errors_are_its_own(site: Nginx, actor: Peer, cantaloupe: Peer, status: int) -> None:
    """An error that the sidecar answers reaches the client as it is: it refuses what would hurt Cantaloupe too."""
    actor.behaviour = saying(reply(status, b"the reason", Retry_After="5"))
    answer = ask(site.port, TILE)
    assert (answer.status, answer.text, answer.headers["Retry-After"]) == (status, "the reason", "5")
    assert cantaloupe.requests == []


def test_an_error_of_cantaloupe_after_a_handover_is_cantaloupes(site: Nginx, actor: Peer, cantaloupe: Peer) -> None:
    """Cantaloupe's response to a handed-over request reaches the client with its status."""
    actor.behaviour = saying(reply(200, X_Accel_Redirect="@cantaloupe"))
    cantaloupe.behaviour = saying(reply(403, b"no"))
    assert (ask(site.port, TILE).status, ask(site.port, TILE).text) == (403, "no")


@pytest.mark.parametrize("end", [closing, resetting])
@pytest.mark.parametrize(
    "data", [HALF, b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhello"], ids=["chunked", "with a length"]
)
def test_a_broken_body_arrives_broken(
    site: Nginx, actor: Peer, cantaloupe: Peer, data: bytes, end: Callable[[bytes], Behaviour]
) -> None:
    """A body that ends early is never passed off as whole, and Cantaloupe's answer never put in its place."""
    actor.behaviour = end(data)
    with pytest.raises((http.client.IncompleteRead, ConnectionResetError)):
        ask(site.port, TILE)
    assert cantaloupe.requests == []


def test_a_slow_client_does_not_hold_the_sidecar(site: Nginx, actor: Peer) -> None:
    """The sidecar is done with 64 MiB before the client has read a byte: nginx holds what waits."""
    body, sent = bytes(2**26), threading.Event()

    def send(_: Request, connection: socket.socket) -> bool:
        connection.sendall(reply(200, body))
        sent.set()
        return True

    actor.behaviour = send
    with socket.create_connection((HOST, site.port)) as client:
        client.sendall(f"GET {TILE} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        assert sent.wait(PATIENCE)
        received = b"".join(iter(lambda: client.recv(2**20), b""))
    assert received.endswith(body)


def test_a_client_that_leaves_ends_the_work(site: Nginx, actor: Peer) -> None:
    """When the client closes its connection, nginx closes its own to the sidecar, which can stop decoding."""
    asked, left = threading.Event(), threading.Event()

    def drip(_: Request, connection: socket.socket) -> bool:
        connection.sendall(HALF)
        asked.set()
        # nginx resets the connection if it has not read all that was sent.
        with suppress(ConnectionError):
            while connection.recv(1):
                pass
        left.set()
        return False

    actor.behaviour = drip
    with socket.create_connection((HOST, site.port)) as client:
        client.sendall(f"GET {TILE} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        assert asked.wait(PATIENCE)
    assert left.wait(PATIENCE)


def test_a_reload_breaks_no_answer(site: Nginx, actor: Peer) -> None:
    """An answer that is on its way while nginx reads its configuration anew arrives whole."""
    begun, reloaded = threading.Event(), threading.Event()

    def pause(_: Request, connection: socket.socket) -> bool:
        connection.sendall(HALF)
        begun.set()
        reloaded.wait(PATIENCE)
        connection.sendall(b"6\r\n world\r\n0\r\n\r\n")
        return True

    actor.behaviour = pause
    connection = http.client.HTTPConnection(HOST, site.port, timeout=PATIENCE)
    connection.request("GET", TILE)
    response = connection.getresponse()
    assert begun.wait(PATIENCE)
    site.reload()
    reloaded.set()
    assert response.read() == b"hello world"
    connection.close()


def test_a_site_with_its_own_error_pages_keeps_them(
    actor: Peer, cantaloupe: Peer, logs: list[Path], tmp_path: Path
) -> None:
    """Pages that the site shows for errors replace Cantaloupe's, handed over or not, and never the sidecar's."""
    pages = "error_page 404 /missing; location = /missing { internal; return 404 'the page of the site'; }"
    include = {"http": "proxy_intercept_errors on;", "server": pages}
    missing = saying(reply(404, b"not here"))
    with Nginx(tmp_path / "nginx", actor.port, cantaloupe.port, include=include) as nginx:
        logs.append(nginx.process.log)
        actor.behaviour = cantaloupe.behaviour = missing
        assert ask(nginx.port, TILE).text == "not here"
        actor.behaviour = saying(reply(503, b"too busy"))
        assert ask(nginx.port, TILE).text == "too busy"
        assert ask(nginx.port, TILE, "POST").text == "the page of the site"
        actor.behaviour = saying(reply(200, X_Accel_Redirect="@cantaloupe"))
        assert ask(nginx.port, TILE).text == "the page of the site"
        actor.behaviour = closing(b"")
        assert ask(nginx.port, TILE).text == "the page of the site"
        logs.pop()
