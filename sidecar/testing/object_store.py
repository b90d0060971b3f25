"""A far object store on loopback: S3's way of answering, a link of any latency and bandwidth, and any mischief.

For tests (`with ObjectStore({...}) as store`) and for measuring: `python -m sidecar.testing.object_store FOLDER
--latency 30 --mbits 400` serves a folder as a bucket until it is interrupted.
"""

from __future__ import annotations

import argparse
import hashlib
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable, Mapping, MutableMapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from email.utils import formatdate, parsedate_to_datetime
from functools import cached_property
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from mmap import ACCESS_READ, mmap
from pathlib import Path
from types import TracebackType
from typing import Final, Self, TypeAlias
from urllib.parse import parse_qs, quote, unquote

from sidecar.testing.sigv4 import is_signed

_PIECE: Final = 64 * 1024
_BURST: Final = 0.005
"""Seconds of the link that may be caught up after a late wake-up."""
_RANGE: Final = re.compile(r"bytes=(\d+)-(\d*)$")


@dataclass(frozen=True)
class Content:
    """An object: its bytes and when they were written."""

    body: bytes | mmap = field(repr=False)
    modified: float = 1_700_000_000.0

    @cached_property
    def etag(self) -> str:
        """As S3 makes it for objects put in one piece: the MD5 of the bytes, in quotes."""
        return f'"{hashlib.md5(self.body, usedforsecurity=False).hexdigest()}"'


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
    """No mischief."""
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


class ObjectStore:
    """A server of objects by `bucket/key`, on a free port of 127.0.0.1, in threads of its own."""

    def __init__(
        self,
        objects: Mapping[str, Content | bytes] | None = None,
        *,
        link: Link | None = None,
        secrets: Mapping[str, str] | None = None,
        tls: ssl.SSLContext | None = None,
        port: int = 0,
    ) -> None:
        self.objects: MutableMapping[str, Content] = {}
        for key, content in (objects or {}).items():
            self.put(key, content)
        self.link = link or Link()
        self.secrets = secrets
        """Access key → secret key; requests must then be signed (AWS Signature Version 4)."""
        self.page_keys = 1000
        """Keys in one answer to a request that lists a bucket."""
        self.mischief: Mischief = honest
        self.requests: list[Request] = []
        self.connections: set[tuple[str, int]] = set()
        """Those open now, by the client's end."""
        self._server = _Server(self, port)
        if tls:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self._server.server_address[1]}"

    def put(self, key: str, content: Content | bytes) -> None:
        """Store or replace an object."""
        self.objects[key] = content if isinstance(content, Content) else Content(content)
        self.objects[key].etag  # noqa: B018  # made here, so that no request waits for it

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._server.shutdown()
        self._server.server_close()

    def answer(self, request: Request) -> Reply:
        """Return the answer of an honest store."""
        if self.secrets is not None and not is_signed(request.method, request.target, request.headers, self.secrets):
            return _refusal(403, "SignatureDoesNotMatch")
        if request.method == "PUT":
            self.put(request.key, Content(request.body, time.time()))
            return Reply(200, {"ETag": self.objects[request.key].etag})
        return self._listed(request) if "list-type=2" in request.target else self._object(request)

    def _object(self, request: Request) -> Reply:
        content = self.objects.get(request.key)
        if content is None:
            bucket = request.key.partition("/")[0] + "/"
            known = any(key.startswith(bucket) for key in [*self.objects])
            return _refusal(404, "NoSuchKey" if known else "NoSuchBucket")
        if not _unchanged(request.headers, content):
            return _refusal(412, "PreconditionFailed")
        if request.headers.get("if-none-match") == content.etag:
            return Reply(304, {"ETag": content.etag})
        return _ranged(request.headers.get("range", ""), content)

    def _listed(self, request: Request) -> Reply:
        """Return a page of the keys of a bucket, URL-encoded (ListObjectsV2 in the Amazon S3 API Reference)."""
        asked = parse_qs(request.target.partition("?")[2])
        bucket, prefix = request.key.strip("/") + "/", asked.get("prefix", [""])[0]
        after = bytes.fromhex(asked.get("continuation-token", [""])[0]).decode()
        keys = sorted(key.removeprefix(bucket) for key in [*self.objects] if key.startswith(bucket + prefix))
        later = [key for key in keys if key > after]
        page = later[: self.page_keys]
        more = len(later) > len(page)
        token = f"<NextContinuationToken>{page[-1].encode().hex()}</NextContinuationToken>" if more else ""
        entries = "".join(_entry(key, self.objects[bucket + key]) for key in page)
        body = f"<ListBucketResult><IsTruncated>{str(more).lower()}</IsTruncated>{token}{entries}</ListBucketResult>"
        return Reply(200, {"Content-Type": "application/xml"}, f'<?xml version="1.0"?>\n{body}'.encode())


def _entry(key: str, content: Content) -> str:
    modified = datetime.fromtimestamp(content.modified, UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")
    parts = {"Key": quote(key, safe=""), "LastModified": modified, "ETag": content.etag.replace('"', "&quot;")}
    parts |= {"Size": str(len(content.body)), "StorageClass": "STANDARD"}
    return "<Contents>" + "".join(f"<{name}>{value}</{name}>" for name, value in parts.items()) + "</Contents>"


def _unchanged(headers: Mapping[str, str], content: Content) -> bool:
    """Report whether the preconditions hold; If-Unmodified-Since counts only without If-Match (RFC 9110 §13.1.4)."""
    if "if-match" in headers:
        return headers["if-match"] in ("*", content.etag)
    if "if-unmodified-since" in headers:
        return int(content.modified) <= parsedate_to_datetime(headers["if-unmodified-since"]).timestamp()
    return True


def _ranged(asked: str, content: Content) -> Reply:
    headers = {
        "ETag": content.etag,
        "Last-Modified": formatdate(content.modified, usegmt=True),
        "Accept-Ranges": "bytes",
        "Content-Type": "application/octet-stream",
    }
    size = len(content.body)
    match = _RANGE.match(asked)
    if not match:
        return Reply(200, headers, content.body[:])
    start, stop = int(match[1]), min(int(match[2] or size) + 1, size)
    if start >= size:
        return replace(_refusal(416, "InvalidRange"), headers={"Content-Range": f"bytes */{size}"})
    return Reply(206, headers | {"Content-Range": f"bytes {start}-{stop - 1}/{size}"}, content.body[start:stop])


def _refusal(status: int, code: str) -> Reply:
    body = f'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{code}</Code></Error>'.encode()
    return Reply(status, {"Content-Type": "application/xml"}, body)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, store: ObjectStore, port: int) -> None:
        self.store = store
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
        self.server.store.connections.add(self.client_address)
        super().setup()

    def finish(self) -> None:
        self.server.store.connections.discard(self.client_address)
        super().finish()

    def do_GET(self) -> None:
        """Answer, late and slowly as the link is."""
        store = self.server.store
        headers = {name.lower(): value for name, value in self.headers.items()}
        body = self.rfile.read(int(headers.get("content-length", 0)))
        request = Request(self.command, self.path, headers, self.client_address, body)
        store.requests.append(request)
        time.sleep(store.link.latency)
        self._send(store.mischief(request, store.answer(request)))

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
            self.server.store.link.carry(len(piece))
            self.wfile.write(piece)
        if reply.cut is not None:
            time.sleep(reply.stall)
            self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the name in http.server
        """Log nothing: `ObjectStore.requests` keeps what was asked."""


def _mapped(path: Path) -> Content:
    """Return a file's content, mapped and not read into memory."""
    with path.open("rb") as file:
        found = path.stat()
        return Content(mmap(file.fileno(), 0, access=ACCESS_READ) if found.st_size else b"", found.st_mtime)


def main() -> None:
    """Serve a folder until interrupted; the first line printed is the address."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=Path, help="served as a bucket of this folder's name")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--latency", type=float, default=0.0, help="milliseconds to the first byte")
    parser.add_argument("--mbits", type=float, default=0.0, help="of the link, per second; 0 for no limit")
    asked = parser.parse_args()
    folder: Path = asked.folder.resolve()
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    objects = {path.relative_to(folder.parent).as_posix(): _mapped(path) for path in files}
    with ObjectStore(objects, link=Link(asked.latency / 1000, asked.mbits * 1e6 / 8), port=asked.port) as store:
        print(store.url, flush=True)  # noqa: T201  # the one thing its caller waits for
        threading.Event().wait()


if __name__ == "__main__":
    main()
