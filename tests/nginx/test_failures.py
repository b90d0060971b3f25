"""The sidecar stopped, killed, with damaged files and slow clients: what clients see, and what stays taken."""

from __future__ import annotations

import http.client
import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.nginx.conftest import Stack
from tests.nginx.peers import ask, slow_client
from tests.nginx.servers import wait_for

BASE = "/iiif/3/tiled_512.jp2"
TILE = f"{BASE}/512,512,512,512/256,/0/default.jpg"
LARGE = "/iiif/3/slide.svs/full/max/0/default.png"
"""More than what the kernel's buffers between two sockets hold."""
CLOSE = "Connection: close"


@pytest.fixture(autouse=True)
def restored(stack: Stack) -> Iterator[None]:
    """Whatever a test does to the sidecar, the next one finds it running."""
    yield
    if not stack.sidecar.healthy:
        stack.sidecar.stop()
        stack.sidecar.start()


def test_cantaloupe_answers_while_the_sidecar_is_away(stack: Stack) -> None:
    """Stopped, the sidecar costs the client nothing; started again, it answers the very next request."""
    stack.sidecar.stop()
    assert [ask(stack.port, TILE).text for _ in range(3)] == ["cantaloupe's answer"] * 3
    stack.sidecar.start()
    assert ask(stack.port, TILE).headers["Content-Type"] == "image/jpeg"


def test_a_killed_worker_is_replaced(stack: Stack) -> None:
    """Clients are answered while workers are killed one after the other, and there are as many workers afterwards."""
    before = stack.sidecar.workers()
    for worker in before:
        os.kill(worker, signal.SIGKILL)
        assert ask(stack.port, TILE).status == 200
    wait_for(lambda: len(set(stack.sidecar.workers()) - set(before)) == len(before), "new workers")
    wait_for(lambda: stack.sidecar.healthy, "they answer")
    assert ask(stack.port, TILE).headers["Content-Type"] == "image/jpeg"
    wait_for(lambda: stack.sidecar.idle, "what they held is given back")


def test_a_client_that_leaves_gives_everything_back(stack: Stack) -> None:
    """Clients that ask for large answers and go leave no permit taken, no reader leased and no request under way."""
    for _ in range(5):
        with slow_client(stack.port, LARGE, CLOSE) as client:
            client.recv(1)
    for _ in range(5):
        slow_client(stack.sidecar.port, LARGE, CLOSE).close()
    wait_for(lambda: stack.sidecar.idle, "everything is given back")
    assert ask(stack.port, TILE).status == 200


def test_a_slow_reader_holds_no_one_up(stack: Stack) -> None:
    """While a client reads slowly, even past nginx, others are answered; in the end it has the whole."""
    whole = ask(stack.port, LARGE).body
    with slow_client(stack.sidecar.port, LARGE, CLOSE) as client:
        received = client.recv(1)
        # The client's, and the question itself; that for the whole is over after its client has everything.
        wait_for(lambda: stack.sidecar.metric("sidecar_requests_in_flight") == 2, "both are under way")
        assert [ask(stack.port, TILE).status for _ in range(4)] == [200] * 4
        response = received + b"".join(iter(lambda: client.recv(65536), b""))
    assert len(response) > len(whole)
    wait_for(lambda: stack.sidecar.idle, "everything is given back")


def test_a_graceful_stop_finishes_what_is_under_way(stack: Stack) -> None:
    """On SIGTERM an answer that has begun is finished, then the sidecar ends by itself."""
    with slow_client(stack.sidecar.port, LARGE, CLOSE) as client:
        received = client.recv(1)
        os.kill(stack.sidecar.process.pid, signal.SIGTERM)
        response = received + b"".join(iter(lambda: client.recv(65536), b""))
    assert response.endswith(b"\r\n0\r\n\r\n")
    wait_for(lambda: not stack.sidecar.process.running, "the sidecar ends")


def test_a_file_that_is_damaged_inside_breaks_the_answer(stack: Stack, damaged: str) -> None:
    """What fails after the first strip arrives as a break, never as a whole answer; nothing stays taken."""
    with pytest.raises(http.client.IncompleteRead):
        ask(stack.port, f"/iiif/3/{damaged}/full/max/0/default.png")
    wait_for(lambda: stack.sidecar.idle, "everything is given back")
    assert stack.sidecar.metric("sidecar_broken_answers_total") >= 1


@pytest.fixture
def damaged(folder: Path) -> Iterator[str]:
    """The name of an image in tiles of which one far down cannot be decoded."""
    data = bytearray((folder / "tiled_512.jp2").read_bytes())
    # ITU-T T.800 A.4.3: SOD ends the header of the last tile-part; without it the header has no end.
    start = data.index(b"\xff\x93", data.rindex(b"\xff\x90\x00\x0a"))
    data[start : start + 2] = b"\xff\x52"
    path = folder / "damaged.jp2"
    path.write_bytes(data)
    yield path.name
    with suppress(FileNotFoundError):
        path.unlink()
