"""Clients of every sort: in order, raw, slow; each from a loopback address of its choice."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from typing import Final

from tests.nginx.peers import HOST

PATIENCE: Final = 30.0
ATTACKER: Final = "127.0.0.66"
"""So that limits for a client are not those of others."""


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer, or none."""

    status: int
    """0: none, or it broke off."""
    headers: Mapping[str, str]
    """By lower-case name."""
    body: bytes
    seconds: float

    @property
    def kind(self) -> str:
        """Return the type of the content, empty if there is none."""
        return self.headers.get("content-type", "")

    @property
    def text(self) -> str:
        """Return the body of an answer that is text."""
        return self.body[:10_000].decode("latin-1")


def fetch(
    port: int,
    target: str,
    *,
    source: str = ATTACKER,
    method: str = "GET",
    headers: Mapping[str, str] | None = None,
    patience: float = PATIENCE,
) -> Reply:
    """Ask once, on a connection of its own. Never raises."""
    began = time.perf_counter()
    connection = HTTPConnection(HOST, port, timeout=patience, source_address=(source, 0))
    try:
        connection.request(method, target, headers=dict(headers or {}))
        response = connection.getresponse()
        found = {name.lower(): value for name, value in response.headers.items()}
        body = bytearray()
        while chunk := response.read1(1 << 20):
            body += chunk
            if time.perf_counter() - began > patience:
                raise TimeoutError
        if response.length:
            raise TimeoutError  # it broke off
        return Reply(response.status, found, bytes(body), time.perf_counter() - began)
    except (OSError, HTTPException, ValueError):
        return Reply(0, {}, b"", time.perf_counter() - began)
    finally:
        connection.close()


def connected(port: int, *, source: str = ATTACKER, patience: float = PATIENCE) -> socket.socket:
    """Return a connection that receives as little as it can until it is read. Raises OSError."""
    client = socket.socket()
    try:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.settimeout(patience)
        client.bind((source, 0))
        client.connect((HOST, port))
    except OSError:
        client.close()
        raise
    return client


def exchange(port: int, data: bytes, patience: float = 5.0, *, half_close: bool = False) -> bytes:
    """Send bytes as they are; all that comes back until the end or the end of patience. Never raises."""
    received = bytearray()
    with suppress(OSError), connected(port, patience=patience) as client:
        client.sendall(data)
        if half_close:
            client.shutdown(socket.SHUT_WR)
        while chunk := client.recv(65536):
            received += chunk
    return bytes(received)


def statuses(data: bytes) -> list[int]:
    """Return the status of each answer in what came back."""
    return [int(part[:3]) for part in data.split(b"HTTP/1.1 ")[1:] if part[:3].isdigit()]


@contextmanager
def many(port: int, count: int, data: bytes = b"") -> Iterator[list[socket.socket]]:
    """Open many connections that each send the same, as far as they are taken; closed in the end."""
    clients: list[socket.socket] = []
    try:
        for _ in range(count):
            with suppress(OSError):
                clients.append(connected(port, patience=2.0))
                clients[-1].sendall(data)
        yield clients
    finally:
        for client in clients:
            client.close()
