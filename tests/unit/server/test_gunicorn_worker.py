"""What is sent to the client together, and when connections end, with gunicorn's own Response and parser."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from errno import ENOSPC
from types import SimpleNamespace

import pytest
from gunicorn.arbiter import Arbiter  # type: ignore[import-untyped]  # it has no annotations
from gunicorn.config import Config  # type: ignore[import-untyped]  # as above
from gunicorn.http.parser import RequestParser  # type: ignore[import-untyped]  # as above
from gunicorn.http.wsgi import Response  # type: ignore[import-untyped]  # as above
from gunicorn.workers.ggevent import GeventWorker  # type: ignore[import-untyped]  # as above

from sidecar.plugin import StartError
from sidecar.server.accepting import Accepting
from sidecar.server.connections import Connection, Connections
from sidecar.server.gunicorn_worker import Joined, Worker
from sidecar.server.slot_owners import SlotOwners


class Wire:
    """The sending side of a connection, which keeps each piece that is sent."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.shut = False

    def sendall(self, data: bytes) -> None:
        """Keep it."""
        self.sent.append(data)

    def shutdown(self, _how: int) -> None:
        """No more."""
        self.shut = True

    def fileno(self) -> int:
        """Any number."""
        return 5


def answered(wire: Wire, chunks: Sequence[bytes], length: int | None = None, status: str = "200 OK") -> Joined:
    """Send a response as gunicorn does; `length`: as announced, None for chunks."""
    connection = Joined(wire)  # type: ignore[arg-type]  # as much of a socket as is needed
    request = SimpleNamespace(method="GET", version=(1, 1), should_close=lambda: False)
    response = Response(request, connection, Config())
    response.start_response(status, [] if length is None else [("Content-Length", str(length))])
    for chunk in chunks:
        response.write(chunk)
    response.close()
    connection.flush()
    return connection


def test_a_small_answer_leaves_at_once() -> None:
    """Head and body are one piece."""
    wire = Wire()
    answered(wire, [b"body"], 4)
    (piece,) = wire.sent
    assert piece.startswith(b"HTTP/1.1 200 OK\r\n")
    assert piece.endswith(b"\r\n\r\nbody")


def test_chunks_follow_as_they_are_made() -> None:
    """The head goes with the first chunk; the others are neither kept nor joined."""
    wire = Wire()
    answered(wire, [b"one", b"two"])
    head, *rest = wire.sent
    assert head.endswith(b"\r\n\r\n3\r\none\r\n")
    assert rest == [b"3\r\ntwo\r\n", b"0\r\n\r\n"]


@pytest.mark.parametrize("status, length", [("304 Not Modified", None), ("200 OK", 0)])
def test_an_answer_without_a_body_is_not_kept(status: str, length: int | None) -> None:
    """A response without a body is sent when it is over, once."""
    wire = Wire()
    answered(wire, [], length, status).flush()
    (head,) = wire.sent
    assert head.endswith(b"\r\n\r\n")


def test_a_failed_answer_sends_nothing_that_was_kept() -> None:
    """A head whose body could not be made is not sent, so that nginx may still ask Cantaloupe."""
    wire = Wire()
    connection = Joined(wire)  # type: ignore[arg-type]  # as much of a socket as is needed
    connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
    connection.shutdown(socket.SHUT_RDWR)
    connection.flush()
    assert (wire.sent, wire.shut) == ([], True)


def test_the_connection_shows_through() -> None:
    """The number of the file is that of the connection, by which the core checks that the client is still there."""
    assert Joined(Wire()).fileno() == 5  # type: ignore[arg-type]  # as much of a socket as is needed


@pytest.mark.parametrize("crowded", [True, False])
def test_a_crowded_worker_lets_connections_go(*, crowded: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Responses of a crowded worker end the connection, so that the next request may reach another worker."""
    (request,) = RequestParser(Config(), iter([b"GET / HTTP/1.1\r\nHost: here\r\n\r\n"]), ("127.0.0.1", 1))
    closing: list[bool] = []
    monkeypatch.setattr(
        GeventWorker, "handle_request", lambda _self, _name, req, *_: closing.append(req.should_close())
    )
    worker = object.__new__(Worker)
    worker.accepting = Accepting(SlotOwners(), lambda: SimpleNamespace(crowded=crowded, waits=False, draining=False))
    worker.connections = Connections(10)
    connection = Connection(Wire())  # type: ignore[arg-type]  # as much of a socket as is needed
    worker.handle_request("here", request, connection, None)
    assert closing == [crowded]


@pytest.mark.parametrize(
    "failure, traced",
    [
        (StartError("JPEG: no library"), False),
        (OSError(ENOSPC, "No space left on device"), False),
        (ZeroDivisionError("a plugin is broken"), True),
    ],
)
def test_a_worker_that_cannot_start_is_tried_again(
    failure: Exception, monkeypatch: pytest.MonkeyPatch, *, traced: bool
) -> None:
    """The worker logs why, and ends with a status for which gunicorn does not end altogether."""

    def fail(_: object) -> None:
        raise failure

    monkeypatch.setattr(GeventWorker, "init_process", fail)
    logged: list[tuple[str, object]] = []
    worker = object.__new__(Worker)
    worker.booted, worker.worker_connections = False, 10
    worker.log = SimpleNamespace(error=lambda text, error, exc_info: logged.append((text % error, exc_info)))
    with pytest.raises(SystemExit) as end:
        worker.init_process()
    assert end.value.code not in (Arbiter.WORKER_BOOT_ERROR, Arbiter.APP_LOAD_ERROR)
    assert logged == [(f"This worker cannot start: {failure}", traced)]


def test_connections_that_are_too_many_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """What comes while all places are taken gets a whole 503 and is closed; a place that is free again is used."""
    served: list[object] = []
    worker = object.__new__(Worker)
    worker.connections = Connections(1)

    def serve(_self: object, _listener: object, client: socket.socket, _addr: object) -> None:
        served.append(client)
        if len(served) == 1:
            worker.handle(None, refused, None)

    monkeypatch.setattr(GeventWorker, "handle", serve)
    refused, visitor = socket.socketpair()
    visitor.sendall(b"GET / HTTP/1.1\r\nHost: here\r\n\r\n")
    worker.handle(None, Wire(), None)  # type: ignore[arg-type]  # as much of a socket as is needed
    answer = visitor.recv(65536)
    assert answer.startswith(b"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\n")
    assert answer.endswith(b"too many connections are open; try again later\n")
    assert visitor.recv(1) == b""
    worker.handle(None, Wire(), None)  # type: ignore[arg-type]  # as above
    assert len(served) == 2
    visitor.close()
