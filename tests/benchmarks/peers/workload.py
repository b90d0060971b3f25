"""What all peers are asked for, the same in the same round."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

from tests.benchmarks.peers.client import Answer
from tests.benchmarks.peers.peer import Asker, Server
from tests.benchmarks.peers.picture import Picture


@dataclass(frozen=True, slots=True)
class Played:
    """What clients saw in one round."""

    answers: Sequence[Answer]
    took: float
    """Seconds from the first request to the last byte."""


class Workload(Protocol):
    """A kind of use."""

    @property
    def name(self) -> str:
        """A word, by which it is chosen."""

    @property
    def title(self) -> str:
        """As tables show it."""

    @property
    def share(self) -> float:
        """The part of the usual rounds that it is played for, at least one."""

    def play(self, server: Server, picture: Picture, turn: int) -> Played:
        """Ask; another `turn` asks for other parts or sizes."""


def all_at_once(asker: Asker, words: Sequence[str], connections: int) -> Played:
    """Ask for all of it, as many at a time as there are connections."""
    asker.prepare(words)
    with ThreadPoolExecutor(connections) as pool:
        began = time.perf_counter()
        answers = [*pool.map(asker.get, words)]
        return Played(answers, time.perf_counter() - began)
