"""Viewers that zoom and pan, some at a time, each over the connections of a browser."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import chain
from typing import Final

from tests.benchmarks.peers.client import Answer
from tests.benchmarks.peers.peer import Asker, Server, asking
from tests.benchmarks.peers.picture import Picture
from tests.benchmarks.peers.workload import Played
from tests.benchmarks.sessions import views

TILES: Final = 40
"""Of a session, at least: the whole picture, and about six moves."""
BROWSER, AT_ONCE = 6, 24
"""Connections of a browser over HTTP/1.1; requests that it sends at once over HTTP/2: all of a viewport."""


@dataclass(frozen=True, slots=True)
class Viewing:
    """Sessions of some viewers at once."""

    name: str
    viewers: int = 2
    connections: int = BROWSER
    share: float = 1.0

    @property
    def title(self) -> str:
        """Who looks."""
        who = f"{self.viewers} viewers" if self.viewers > 1 else "1 viewer"
        return f"{who}, {self.connections} connections each"

    def play(self, server: Server, picture: Picture, turn: int) -> Played:
        """Let all of them look, in sessions that no other turn has."""
        with ExitStack() as stack, ThreadPoolExecutor(self.viewers) as pool:
            askers = [stack.enter_context(asking(server, picture.name, self.connections)) for _ in range(self.viewers)]
            began = time.perf_counter()
            seen = pool.map(
                lambda number: self._look(askers[number], picture, turn * self.viewers + number), range(self.viewers)
            )
            answers = [*chain.from_iterable(seen)]
            return Played(answers, time.perf_counter() - began)

    def _look(self, asker: Asker, picture: Picture, seed: int) -> Sequence[Answer]:
        """Play a session, each viewport complete before the next."""
        size = picture.size.width, picture.size.height
        with ThreadPoolExecutor(self.connections) as pool:
            return [answer for view in views(size, seed, TILES) for answer in pool.map(asker.get, view)]
