"""Somebody who looks at an image: a seeded session of zooming and panning, over the connections of a browser."""

from __future__ import annotations

import json
import os
import random
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from http.client import HTTPConnection, HTTPResponse
from queue import SimpleQueue
from typing import Final

from tests.nginx.peers import HOST

API: Final = int(os.environ.get("VIEWERS_API", "2"))
"""Tiles are asked for in the canonical form: as `512,` in version 2, as `512,512` in version 3.

Cantaloupe 5.0 decodes what is asked for by width and height at full resolution, and then scales it.
"""
CONNECTIONS: Final = 6
"""Of each viewer, as browsers open them over HTTP/1.1."""
TILES: Final = int(os.environ.get("VIEWERS_TILES", "100"))
"""Of a session, at least."""
MOVES: Final = 500
"""An image that has fewer tiles ends the session."""
SIDE, WIDTH, HEIGHT = 512, 1600, 1000
"""Of a tile and of a viewport, in pixels."""
PATIENCE: Final = 300.0


class Viewer:
    """Connections to one picture, and somebody who looks at it."""

    def __init__(self, port: int, name: str) -> None:
        self._path = f"/iiif/{API}/{name}"
        self._free: SimpleQueue[HTTPConnection] = SimpleQueue()
        for _ in range(CONNECTIONS):
            self._free.put(HTTPConnection(HOST, port, timeout=PATIENCE))

    def get(self, words: str) -> bytes:
        """Return the body of a response; raises RuntimeError if its status is not 200."""
        connection = self._free.get()
        try:
            response = self._asked(connection, words)
            body = response.read()
        finally:
            self._free.put(connection)
        if response.status != HTTPStatus.OK:
            raise RuntimeError(f"status {response.status} for {self._path}/{words}")
        return body

    def _asked(self, connection: HTTPConnection, words: str) -> HTTPResponse:
        """Ask on a connection, or on a new one if the server has closed it meanwhile, as browsers do."""
        try:
            connection.request("GET", f"{self._path}/{words}")
            return connection.getresponse()
        except ConnectionError:
            connection.close()
            connection.request("GET", f"{self._path}/{words}")
            return connection.getresponse()

    def look(self, seed: int) -> list[float]:
        """Play a session, each viewport complete before the next; return the seconds that each tile takes."""
        info = json.loads(self.get("info.json"))
        with ThreadPoolExecutor(CONNECTIONS) as pool:
            return [
                took for view in views((info["width"], info["height"]), seed) for took in pool.map(self._time, view)
            ]

    def close(self) -> None:
        """Close all connections."""
        for _ in range(CONNECTIONS):
            self._free.get().close()

    def _time(self, words: str) -> float:
        began = time.perf_counter()
        self.get(words)
        return time.perf_counter() - began


def views(size: tuple[int, int], seed: int, tiles: int = TILES, side: int = SIDE) -> Iterator[list[str]]:
    """Yield the tiles that each move of a viewer wants, those nearest to the middle first, none of them twice.

    At least so many `tiles` in all, if the picture has them, of so many pixels a `side`.

    It begins with the whole picture; then it zooms in by two, pans by half a viewport, or zooms out by two.
    """
    draw = random.Random(seed)  # noqa: S311  # a session that can be repeated
    most = 1
    while size[0] > WIDTH * most or size[1] > HEIGHT * most:
        most *= 2
    scale, x, y = most, size[0] / 2, size[1] / 2
    seen: set[str] = set()
    for _ in range(MOVES):
        if len(seen) >= tiles:
            return
        wanted = [words for words in viewport(size, scale, x, y, side) if words not in seen]
        yield wanted
        seen.update(wanted)
        move = draw.choice(("in", "in", "pan", "pan", "pan", "out"))
        scale = {"in": max(scale // 2, 1), "out": min(scale * 2, most)}.get(move, scale)
        x = min(max(x + draw.choice((-1, 0, 1)) * WIDTH * scale / 2, 0), size[0])
        y = min(max(y + draw.choice((-1, 0, 1)) * HEIGHT * scale / 2, 0), size[1])


def viewport(size: tuple[int, int], scale: int, x: float, y: float, side: int) -> Iterator[str]:
    """Yield the tiles of a scale that a viewport around a point of the picture shows."""
    step = side * scale
    columns, rows = (
        range(int(max(at - half * scale, 0) // step) * step, int(min(at + half * scale, whole)), step)
        for at, half, whole in ((x, WIDTH // 2, size[0]), (y, HEIGHT // 2, size[1]))
    )
    places = [(column, row) for row in rows for column in columns]
    for left, top in sorted(places, key=lambda place: abs(place[0] + step / 2 - x) + abs(place[1] + step / 2 - y)):
        width, height = min(step, size[0] - left), min(step, size[1] - top)
        tall = -(-height // scale) if API > 2 else ""
        yield f"{left},{top},{width},{height}/{-(-width // scale)},{tall}/0/default.jpg"
