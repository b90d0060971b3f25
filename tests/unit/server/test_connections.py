"""Connections beyond the bound: who waits longest for its client goes, who is being answered stays."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack

import gevent
import pytest
from gevent import socket as gevent_socket

from sidecar.server.connections import Connection, Connections


@pytest.fixture
def ends() -> Iterator[ExitStack]:
    """Yield what closes everything in the end."""
    with ExitStack() as stack:
        yield stack


def client(ends: ExitStack, connections: Connections) -> tuple[Connection, gevent_socket.socket]:
    """Return the connection of a new client, and the client's side."""
    near, far = gevent_socket.socketpair()
    ends.callback(near.close)
    ends.callback(far.close)
    connections.make_room()
    return ends.enter_context(connections.joined(near)), far


def test_who_waits_longest_gives_way(ends: ExitStack) -> None:
    """The first that waits for bytes is closed for a new one, neither one being answered nor one that had an answer."""
    connections = Connections(3)
    answered, _ = client(ends, connections)
    busy, _ = client(ends, connections)
    waiting, _ = client(ends, connections)
    reads = [gevent.spawn(each.recv, 10) for each in (answered, waiting)]
    gevent.sleep(0)
    connections.answered(answered)
    client(ends, connections)
    assert reads[1].get(timeout=10) == b""
    assert not reads[0].ready()
    client(ends, connections)
    assert reads[0].get(timeout=10) == b""
    # Nobody waits any more: nothing more is closed, and there is no room.
    assert not connections.make_room()
    assert busy.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0


def test_what_comes_is_received(ends: ExitStack) -> None:
    """Bytes of a request pass through."""
    connection, far = client(ends, Connections(3))
    far.sendall(b"GET")
    assert connection.recv(10) == b"GET"
    assert not connection.waiting
