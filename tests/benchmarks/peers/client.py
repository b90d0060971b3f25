"""A client that keeps its connections, and takes the time of each response to its first byte and to its last."""

from __future__ import annotations

import time
from collections.abc import Sequence
from http import HTTPStatus
from http.client import HTTPConnection
from queue import SimpleQueue
from typing import Final, NamedTuple

from tests.nginx.peers import HOST

PATIENCE: Final = 300.0
PIECE: Final = 1 << 16
API: Final = 2
"""Widths are asked for alone: by width and height, Cantaloupe 5.0 scales what it has decoded at full resolution."""


class Answer(NamedTuple):
    """Seconds from the request to the first byte of the body and to the last, and its bytes."""

    first: float
    last: float
    size: int


class Connections:
    """Kept connections to one server, for one picture."""

    def __init__(self, port: int, name: str, count: int) -> None:
        self._path, self._count = f"/iiif/{API}/{name}", count
        self._free: SimpleQueue[HTTPConnection] = SimpleQueue()
        for _ in range(count):
            self._free.put(HTTPConnection(HOST, port, timeout=PATIENCE))

    def prepare(self, words: Sequence[str]) -> None:
        """Do nothing: servers are asked as they are."""

    def get(self, words: str) -> Answer:
        """Return the times of a response; raises RuntimeError if its status is not 200 or it is empty."""
        answer, _ = self.read(words)
        return answer

    def read(self, words: str) -> tuple[Answer, bytes]:
        """Return the body too."""
        connection = self._free.get()
        try:
            began = time.perf_counter()
            connection.request("GET", f"{self._path}/{words}")
            response = connection.getresponse()
            pieces = [response.read(1)]
            first = time.perf_counter() - began
            while piece := response.read(PIECE):
                pieces.append(piece)
            last = time.perf_counter() - began
        finally:
            self._free.put(connection)
        body = b"".join(pieces)
        if response.status != HTTPStatus.OK or not body:
            raise RuntimeError(f"status {response.status}, {len(body)} bytes for {self._path}/{words}")
        return Answer(first, last, len(body)), body

    def close(self) -> None:
        """Close them, once nobody uses them any more."""
        for _ in range(self._count):
            self._free.get().close()
