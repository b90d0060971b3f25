"""A far HTTP server on loopback: a link of any latency and bandwidth, requests that are kept, and any mischief."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Final, Self, TypeAlias
from urllib.parse import unquote

_PIECE: Final = 64 * 1024
_BURST: Final = 0.005
"""Seconds of the link that may be caught up after a late wake-up."""


@dataclass(frozen=True, slots=True)
class Request:
    """A request as it came."""

    method: str
    target: str
    """As it came on the wire, percent-encoded."""
    headers: Mapping[str, str]
    """By lower-case name."""
    peer: tuple[str, int]
    """The client's end of the connection, by which connections are told apart."""
    body: bytes = field(default=b"", repr=False)

    @property
    def key(self) -> str:
        """The decoded path without the leading slash and the query."""
        return unquote(self.target.partition("?")[0]).removeprefix("/")


@dataclass(frozen=True, slots=True)
class Reply:
    """What is answered. `Content-Length` is the body's unless the headers have one."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = field(default=b"", repr=False)
    cut: int | None = None
    """Break the connection after so many bytes of the body."""
    stall: float = 0.0
    """Seconds of silence: before the break if the body is cut, otherwise before the answer."""


Mischief: TypeAlias = Callable[[Request, Reply], Reply]
"""Makes of the honest answer the one that is sent."""


def honest(request: Request, reply: Reply) -> Reply:
    """Return the honest answer as it is."""
    del request
    return reply


class Link:
    """The way to the client: each answer begins `latency` seconds late, all share `bandwidth` bytes per second."""

    def __init__(self, latency: float = 0.0, bandwidth: float = 0.0) -> None:
        self.latency = latency
        self.bandwidth = bandwidth
        self._free = 0.0
        self._lock = threading.Lock()

    def carry(self, size: int) -> None:
        """Wait as long as so many bytes take, behind all that are on their way."""
        if not self.bandwidth:
            return
        with self._lock:
            self._free = max(self._free, time.monotonic() - _BURST) + size / self.bandwidth
            wait = self._free - time.monotonic()
        if wait > 0:
            time.sleep(wait)


class FarServer:
    """A server on a free port of 127.0.0.1, in threads of its own."""

    def __init__(self, *, link: Link | None = None, tls: ssl.SSLContext | None = None, port: int = 0) -> None:
        self.link = link or Link()
        self.mischief: Mischief = honest
        self.requests: list[Request] = []
        self.connections: set[tuple[str, int]] = set()
        """Those open now, by the client's end."""
        self._server = _Server(self, port)
        if tls:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._server.shutdown()
        self._server.server_close()

    def answer(self, request: Request) -> Reply:
        """Return the honest answer. To be overridden."""
        raise NotImplementedError


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, far: FarServer, port: int) -> None:
        self.far = far
        super().__init__(("127.0.0.1", port), _Handler)

    def handle_error(self, request: object, client_address: object) -> None:
        """Print nothing: clients that break off are what is tested."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def setup(self) -> None:
        if isinstance(self.request, ssl.SSLSocket):
            self.request.do_handshake()
        self.request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.server.far.connections.add(self.client_address)
        super().setup()

    def finish(self) -> None:
        self.server.far.connections.discard(self.client_address)
        super().finish()

    def do_GET(self) -> None:
        """Answer, late and slowly as the link is."""
        far = self.server.far
        headers = {name.lower(): value for name, value in self.headers.items()}
        body = self.rfile.read(int(headers.get("content-length", 0)))
        request = Request(self.command, self.path, headers, self.client_address, body)
        far.requests.append(request)
        time.sleep(far.link.latency)
        self._send(far.mischief(request, far.answer(request)))

    do_HEAD = do_PUT = do_POST = do_GET  # noqa: N815  # the names that http.server looks for

    def _send(self, reply: Reply) -> None:
        if reply.cut is None:
            time.sleep(reply.stall)
        self.send_response(reply.status)
        for name, value in {"Content-Length": str(len(reply.body)), **reply.headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self._send_body(reply)

    def _send_body(self, reply: Reply) -> None:
        body = memoryview(reply.body)[: reply.cut]
        for start in range(0, len(body), _PIECE):
            piece = body[start : start + _PIECE]
            self.server.far.link.carry(len(piece))
            self.wfile.write(piece)
        if reply.cut is not None:
            time.sleep(reply.stall)
            self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the name in http.server
        """Log nothing: `FarServer.requests` keeps what was asked."""
