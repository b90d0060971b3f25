"""Nothing holds a place that does not move: slow readers, unfinished requests, stuck calls, with real servers."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.nginx.peers import HOST, PATIENCE, Peer, ask, raw, slow_client
from tests.nginx.servers import Sidecar, wait_for
from tests.nginx.test_stays_up import MASTER, Start, home, image, renewed, start, tile, together

__all__ = ["home", "start"]
WHOLE = "/iiif/3/slide.svs/full/max/0/default.png"
"""A large response of more bytes than the kernel keeps for a client that reads nothing."""


def unfinished(port: int, beginning: bytes) -> socket.socket:
    """Return a connection on which a request has begun that never ends."""
    with ExitStack() as broken:
        client = broken.enter_context(socket.create_connection((HOST, port), PATIENCE))
        client.sendall(beginning)
        broken.pop_all()
    return client


def test_slow_readers_keep_nobody_out(start: Start) -> None:
    """While clients read nothing of large responses, another gets one whole; what is held stays counted."""
    stack = start("workers = 1\nlarge_concurrency = 1\nqueue_timeout = 50\nclient_share = 1.0")
    with ExitStack() as ends:
        for _ in range(3):
            slow = ends.enter_context(slow_client(stack.sidecar.port, WHOLE))
            slow.recv(1)
        held = stack.sidecar.metric("sidecar_permits_bytes_in_use")
        assert held > 0
        for port in (stack.port, stack.sidecar.port):
            answer = ask(port, WHOLE)
            assert (answer.status, answer.body[-8:-4]) == (200, b"IEND")
        # What the last two held is given back after their clients have everything.
        wait_for(lambda: stack.sidecar.metric("sidecar_permits_bytes_in_use") == held, "it is what it was")
    wait_for(lambda: stack.sidecar.idle, "everything is returned")


def test_who_reads_nothing_is_cut_off(start: Start) -> None:
    """A client that is slower than the least speed loses its connection, and everything is returned."""
    stack = start("workers = 1\nleast_speed_window = 0.5\nleast_bytes_per_second = 10_000_000")
    with slow_client(stack.sidecar.port, WHOLE) as slow:
        slow.recv(1)
        broken = 'sidecar_broken_answers_total{reason="too-slow"}'
        wait_for(lambda: stack.sidecar.metric(broken) == 1, "it is cut off")
        wait_for(lambda: stack.sidecar.idle, "everything is returned")
    assert "Traceback" not in stack.sidecar.process.log.read_text()


def test_a_stuck_call_sends_those_that_wait_elsewhere(start: Start, home: Path) -> None:
    """While a call does not return, large requests behind it are handed over before their patience ends."""
    stack = start("workers = 1\nlarge_concurrency = 1\nstall_timeout = 0.5\nqueue_timeout = 3600")
    gate = home / "gate"
    gate.touch()
    with slow_client(stack.sidecar.port, image(home, "stuck", f"stall {gate}", side=2100)):
        wait_for(lambda: stack.sidecar.metric("sidecar_readers_leased") == 1, "it is read")
        waiting = together(stack.port, *[image(home, f"wide{number}", "none", side=2100) for number in range(3)])
        assert {answer.result().text for answer in waiting} == {MASTER}
        assert stack.sidecar.metric('sidecar_handovers_total{reason="stalled"}') == 3
        assert ask(stack.port, tile(0)).headers["Content-Type"] == "image/jpeg"
        gate.unlink()
        wait_for(lambda: stack.sidecar.idle, "everything is returned")


def test_one_stuck_call_has_the_worker_replaced(start: Start, home: Path) -> None:
    """A new worker is there while the old one, which is not ready, still has the call; then there is one again."""
    stack = start("workers = 1\nfirst_byte_timeout = 3\ndrain_time = 3")
    gate = home / "gate"
    gate.touch()
    before = stack.sidecar.workers()
    assert ask(stack.port, image(home, "stuck", f"stall {gate}", side=2100)).text == MASTER
    wait_for(lambda: renewed(stack, before) == 1, "a new worker")
    assert set(before) < set(stack.sidecar.workers())
    wait_for(lambda: not set(before) & set(stack.sidecar.workers()), "the old one has ended")
    assert ask(stack.port, tile(0)).headers["Content-Type"] == "image/jpeg"
    time.sleep(1.2)  # the master looks once a second
    assert len(stack.sidecar.workers()) == 1
    gate.unlink()


@pytest.fixture
def alone(session_cantaloupe: Peer, folder: Path, logs: list[Path], tmp_path: Path) -> Iterator[Callable[..., Sidecar]]:
    """Yield a function that starts a sidecar without nginx."""
    running: list[Sidecar] = []

    def start(toml: str) -> Sidecar:
        url = f"http://{HOST}:{session_cantaloupe.port}"
        table = f'[filesystem]\nroot = "{folder}"\n'
        running.append(Sidecar(tmp_path, f'workers = 1\ncantaloupe_url = "{url}"\n{toml}\n{table}'))
        logs.append(running[-1].process.log)
        return running[-1]

    yield start
    for sidecar in running:
        sidecar.stop()
        logs.pop()


POST = b"POST /tasks HTTP/1.1\r\nHost: x\r\n"
UNFINISHED = {
    "nothing": b"",
    "half a head": b"GET /iiif/3/tiled_512.jp2/info.json HTTP/1.1\r\nHost: x\r\nX-",
    "half a body": POST + b"Content-Length: 1000\r\n\r\nhalf",
    "half a chunk": POST + b"Transfer-Encoding: chunked\r\n\r\n400\r\nhalf",
    "a body nobody needs": b"GET /iiif/3/tiled_512.jp2 HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nhalf",
}


def test_unfinished_requests_keep_nobody_out(alone: Callable[..., Sidecar], cantaloupe: Peer) -> None:
    """While more requests than a worker has connections never end, each new request is answered at once."""
    sidecar = alone("request_body_timeout = 3600")
    with ExitStack() as ends:
        for beginning in UNFINISHED.values():
            # As many of each kind as there are connections, since those before them are closed for them.
            for _ in range(1050):
                ends.enter_context(unfinished(sidecar.port, beginning))
            for _ in range(3):
                assert ask(sidecar.port, "/iiif/3/tiled_512.jp2/info.json").status == 200
        assert cantaloupe.requests == []
        assert sidecar.metric("sidecar_connections_evicted_total") > 0
    wait_for(lambda: sidecar.metric("sidecar_requests_in_flight") == 1, "nothing is left of them")


def test_bodies_have_their_time_and_size(alone: Callable[..., Sidecar], cantaloupe: Peer) -> None:
    """A body that is late, too long or ends early is refused, in either form, and Cantaloupe is not asked."""
    sidecar = alone("request_body_timeout = 2\nrequest_body_bytes = 2000")
    for kind in ("half a body", "half a chunk"):
        with unfinished(sidecar.port, UNFINISHED[kind]) as late:
            assert late.recv(1000).startswith(b"HTTP/1.1 408 ")
    long = b"Connection: close\r\n"
    for framing in (b"Content-Length: 2001\r\n\r\n", b"Transfer-Encoding: chunked\r\n\r\n7d1\r\n"):
        assert raw(sidecar.port, POST + long + framing + bytes(2001) + b"\r\n0\r\n\r\n").startswith(b"HTTP/1.1 413 ")
    with unfinished(sidecar.port, UNFINISHED["half a body"]) as early:
        early.shutdown(socket.SHUT_WR)
        assert early.recv(1000).startswith(b"HTTP/1.1 400 ")
    assert cantaloupe.requests == []
    assert ask(sidecar.port, "/tasks", "POST", body=bytes(2000)).text == MASTER
    assert "Traceback" not in sidecar.process.log.read_text()
