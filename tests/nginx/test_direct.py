"""The sidecar without nginx before it: it asks Cantaloupe itself, bodies of requests included."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.nginx.peers import Peer, ask, raw
from tests.nginx.servers import Sidecar, wait_for

LONG = bytes(range(256)) * 1000
"""More than is read at once."""


@pytest.fixture(scope="module")
def sidecar(
    session_cantaloupe: Peer, folder: Path, logs: list[Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Sidecar]:
    """Yield a sidecar with the URL of Cantaloupe."""
    url = f"http://127.0.0.1:{session_cantaloupe.port}"
    home = tmp_path_factory.mktemp("direct")
    running = Sidecar(home, f'workers = 1\ncantaloupe_url = "{url}"\n[filesystem]\nroot = "{folder}"\n')
    logs.append(running.process.log)
    yield running
    running.stop()


def chunks(*parts: bytes) -> bytes:
    """A body in chunks (RFC 9112 §7.1), with the extension and the trailer that a client may add."""
    return b"".join(b"%x;a=b\r\n%s\r\n" % (len(part), part) for part in parts) + b"0\r\nX-Trailer: 1\r\n\r\n"


@pytest.mark.parametrize("parts", [(b"{}",), (LONG, b"!", LONG), ()], ids=["short", "long", "empty"])
def test_bodies_in_chunks_go_along(sidecar: Sidecar, cantaloupe: Peer, parts: tuple[bytes, ...]) -> None:
    """What came in chunks reaches Cantaloupe whole, and the next request on the connection is its own."""
    head = b"POST /tasks HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    last = b"GET /other HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    answers = raw(sidecar.port, head + chunks(*parts) + last)
    assert answers.count(b"HTTP/1.1 200") == 2
    assert [(request.target, request.body) for request in cantaloupe.requests] == [
        ("/tasks", b"".join(parts)),
        ("/other", b""),
    ]


def test_a_body_that_breaks_off_is_no_whole_one(sidecar: Sidecar, cantaloupe: Peer) -> None:
    """Broken chunks are an error, and Cantaloupe does not take those before them for the whole body."""
    head = b"POST /tasks HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
    assert raw(sidecar.port, head + b"4\r\nhalf\r\nnone\r\n").startswith(b"HTTP/1.1 400 ")
    assert cantaloupe.requests == []
    assert "Traceback" not in sidecar.process.log.read_text()
    wait_for(lambda: sidecar.metric("sidecar_requests_in_flight") == 1, "nothing is left of it")


def test_bodies_of_known_length_go_along(sidecar: Sidecar, cantaloupe: Peer) -> None:
    """As they did."""
    assert ask(sidecar.port, "/tasks", "POST", body=LONG).text == "cantaloupe's answer"
    assert cantaloupe.requests[0].body == LONG


def test_bytes_above_ascii_go_along(sidecar: Sidecar, cantaloupe: Peer) -> None:
    """Without nginx they arrive percent-encoded, which means the same (RFC 3986 §2.1); the rest stays as it came."""
    target = b"/iiif/3/a%2fb_\xc3\xa9.jp2/info.json?a=\xe9&b=%c3"
    answer = raw(sidecar.port, b"GET " + target + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert answer.endswith(b"cantaloupe's answer")
    (request,) = cantaloupe.requests
    assert (
        request.target.replace("%2f", "%2F").replace("%c3&", "%C3&") == "/iiif/3/a%2Fb_%C3%A9.jp2/info.json?a=%E9&b=%C3"
    )
