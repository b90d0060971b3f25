"""A stand-in for AWS Lambda's runtime API, which hands out events and takes answers, whole or as they stream.

`/2018-06-01/runtime/…` is what a runtime asks (AWS Lambda Developer Guide, "Using the Lambda runtime API"), and
`/2020-01-01/extension/…` what extensions ask, such as the AWS Lambda Web Adapter ("Using the Lambda Extensions API").
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from queue import Queue
from types import TracebackType
from typing import Any, Final, Self
from uuid import uuid4

from tests.nginx.peers import HOST, PATIENCE

_RUNTIME: Final = "/2018-06-01/runtime"
_EXTENSIONS: Final = "/2020-01-01/extension"
_SEPARATOR: Final = b"\0" * 8
"""Between the head of a streamed answer, which is JSON, and its body."""


@dataclass(frozen=True)
class Returned:
    """What a runtime has sent for an event."""

    kind: str
    """`response`, or `error`; of the start: `init/error`."""
    headers: Mapping[str, str]
    """By lower-case name."""
    body: bytes
    first: float
    """Seconds from the event to the first byte."""
    last: float
    """Seconds from the event to the last byte."""

    @property
    def answer(self) -> Mapping[str, Any]:
        """A whole answer, or an error."""
        made: Mapping[str, Any] = json.loads(self.body)
        return made

    @property
    def streams(self) -> bool:
        """Whether it came as a stream."""
        return self.headers.get("lambda-runtime-function-response-mode") == "streaming"

    @property
    def streamed(self) -> tuple[Mapping[str, Any], bytes]:
        """Head and body of a streamed answer."""
        head, _, body = self.body.partition(_SEPARATOR)
        return json.loads(head), body


class RuntimeApi:
    """The API for one environment; events are handed out one after the other."""

    def __init__(self) -> None:
        self.events: Queue[tuple[bytes, str]] = Queue()
        self.returned: Queue[Returned] = Queue()
        self.waits = threading.Event()
        """Set when the runtime asks for its first event: it has started."""
        self.handed_out = 0.0
        self._server = _Server(self)

    @property
    def address(self) -> str:
        """For AWS_LAMBDA_RUNTIME_API."""
        return f"{HOST}:{self._server.server_address[1]}"

    def invoke(self, event: Mapping[str, Any], trace: str = "") -> Returned:
        """Have an event answered. `trace`: for _X_AMZN_TRACE_ID."""
        self.events.put((json.dumps(event).encode(), trace))
        return self.returned.get(timeout=PATIENCE)

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, api: RuntimeApi) -> None:
        self.api = api
        super().__init__((HOST, 0), _Handler)

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: runtimes are ended while they wait."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def do_GET(self) -> None:
        """Hand out the next event; extensions wait for ever, since the environment does not end."""
        api = self.server.api
        if self.path.startswith(_EXTENSIONS):
            threading.Event().wait()
        api.waits.set()
        event, trace = api.events.get()
        api.handed_out = time.monotonic()
        headers = {
            "Content-Type": "application/json",
            "Lambda-Runtime-Aws-Request-Id": str(uuid4()),
            "Lambda-Runtime-Deadline-Ms": str(int((time.time() + 60) * 1000)),
            "Lambda-Runtime-Invoked-Function-Arn": "arn:aws:lambda:eu-west-1:1:function:images",
        }
        self._reply(200, event, {**headers, "Lambda-Runtime-Trace-Id": trace} if trace else headers)

    def do_POST(self) -> None:
        """Take an answer, an error, or an extension's registration."""
        api = self.server.api
        if self.path.startswith(_EXTENSIONS):
            self._body()
            about = {"functionName": "images", "functionVersion": "$LATEST", "handler": ""}
            self._reply(200, json.dumps(about).encode(), {"Lambda-Extension-Identifier": str(uuid4())})
            return
        body, first = self._body()
        kind = self.path.removeprefix(f"{_RUNTIME}/").partition("/")
        name = kind[2] if kind[0] == "init" else kind[2].rpartition("/")[2]
        headers = {key.lower(): value for key, value in self.headers.items()}
        began = api.handed_out
        self._reply(202, b'{"status":"OK"}', {})
        api.returned.put(
            Returned(
                "init/error" if kind[0] == "init" else name, headers, body, first - began, time.monotonic() - began
            )
        )

    def _body(self) -> tuple[bytes, float]:
        """Return the body of a request, and when its first byte came (RFC 9112 §7.1)."""
        if "chunked" not in self.headers.get("Transfer-Encoding", ""):
            length = int(self.headers.get("Content-Length", 0))
            return self.rfile.read(length), time.monotonic()
        body, first = bytearray(), 0.0
        while size := int(self.rfile.readline().partition(b";")[0], 16):
            body += self.rfile.read(size)
            first = first or time.monotonic()
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass
        return bytes(body), first

    def _reply(self, status: int, body: bytes, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the name in http.server
        """Say nothing."""
