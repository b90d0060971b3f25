"""The two ends of nginx, under the tests' control: a client that sends any bytes, a server that answers with any."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPMessage
from typing import BinaryIO, Self

HOST = "127.0.0.1"
PATIENCE = 60.0
"""Seconds for what must come in the end, also on a machine that has much else to do."""


def slow_client(port: int, target: str, *headers: str) -> socket.socket:
    """Return the connection of a client that has sent a request, and receives as little as it can until it is read."""
    with ExitStack() as broken:
        client = broken.enter_context(socket.socket())
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.settimeout(PATIENCE)
        client.connect((HOST, port))
        client.sendall("\r\n".join((f"GET {target} HTTP/1.1", "Host: x", *headers, "", "")).encode())
        broken.pop_all()
    return client


@dataclass(frozen=True)
class Request:
    """A request as it reached a server."""

    method: str
    target: str
    version: str
    headers: Mapping[str, str]
    """By lower-case name."""
    body: bytes


@dataclass(frozen=True)
class Answer:
    """An answer as it reached the client."""

    status: int
    headers: HTTPMessage
    body: bytes
    text: str = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Keep the body as text too, for the answers that are."""
        object.__setattr__(self, "text", self.body.decode("latin-1"))


def ask(
    port: int, target: str, method: str = "GET", headers: Mapping[str, str] | None = None, body: bytes | None = None
) -> Answer:
    """One request on a connection of its own."""
    connection = HTTPConnection(HOST, port, timeout=PATIENCE)
    try:
        connection.request(method, target, body, dict(headers or {}))
        response = connection.getresponse()
        return Answer(response.status, response.headers, response.read())
    finally:
        connection.close()


def raw(port: int, data: bytes) -> bytes:
    """Send bytes as they are; all that comes back until the other side closes the connection."""
    received = bytearray()
    with socket.create_connection((HOST, port), PATIENCE) as connection:
        connection.sendall(data)
        with suppress(ConnectionResetError):
            while chunk := connection.recv(65536):
                received += chunk
    return bytes(received)


def reply(status: int = 200, body: bytes = b"", **headers: str) -> bytes:
    """An HTTP answer, in bytes. Underscores in names of headers stand for hyphens."""
    lines = [f"HTTP/1.1 {status} Status", f"Content-Length: {len(body)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


def _chunks(stream: BinaryIO) -> bytes:
    """A body that comes in chunks without trailers (RFC 9112 §7.1)."""
    body = b""
    while line := stream.readline():
        body += stream.read(int(line, 16))
        stream.readline()
        if line == b"0\r\n":
            return body
    raise ConnectionResetError("the body broke off")


Behaviour = Callable[[Request, socket.socket], bool]
"""Answers a request on a connection; whether that stays open."""


def saying(data: bytes) -> Behaviour:
    """Answer every request with the same bytes (without the body to a HEAD)."""

    def behave(request: Request, connection: socket.socket) -> bool:
        connection.sendall(data.partition(b"\r\n\r\n")[0] + b"\r\n\r\n" if request.method == "HEAD" else data)
        return True

    return behave


class Peer:
    """A server that records requests and answers as it is set to."""

    def __init__(self, behaviour: Behaviour) -> None:
        self.behaviour = behaviour
        self.requests: list[Request] = []
        self._socket = socket.create_server((HOST, 0))
        self.port: int = self._socket.getsockname()[1]
        self._thread = threading.Thread(target=self._accept, daemon=True)

    def __enter__(self) -> Self:
        """Begin to answer."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Refuse connections from now on."""
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join(PATIENCE)

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._socket.accept()
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, suppress(ConnectionError), connection.makefile("rb") as stream:
            while line := stream.readline():
                method, target, version = line.decode("latin-1").rstrip().split(" ", 2)
                headers: dict[str, str] = {}
                while (line := stream.readline()) not in (b"\r\n", b""):
                    name, _, value = line.decode("latin-1").partition(":")
                    headers[name.lower()] = value.strip()
                chunked = headers.get("transfer-encoding") == "chunked"
                body = _chunks(stream) if chunked else stream.read(int(headers.get("content-length", "0")))
                request = Request(method, target, version, headers, body)
                self.requests.append(request)
                if not self.behaviour(request, connection):
                    return
