"""Viewers, while somebody else asks for whole pictures at full size, one after the other."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from tests.benchmarks.peers.peer import Server, asking
from tests.benchmarks.peers.picture import Picture
from tests.benchmarks.peers.viewing import Viewing
from tests.benchmarks.peers.whole_views import FULL_SIZE
from tests.benchmarks.peers.workload import Played


@dataclass(frozen=True, slots=True)
class Mixed:
    """Tiles count, whole pictures only disturb."""

    name: str = "mixed"
    title: str = "2 viewers, 6 connections each, while whole pictures are asked for"
    share: float = 0.34
    viewing: Viewing = field(default_factory=lambda: Viewing("viewers-6"))

    def play(self, server: Server, picture: Picture, turn: int) -> Played:
        """Play the viewers' sessions."""
        with disturbed(server, picture):
            return self.viewing.play(server, picture, turn)


@contextmanager
def disturbed(server: Server, picture: Picture) -> Iterator[None]:
    """Ask for whole pictures until the context ends, and wait for the last of them."""
    over = threading.Event()
    failures: list[RuntimeError | OSError] = []

    def ask() -> None:
        with asking(server, picture.name, 1) as asker:
            while not over.is_set() and not failures:
                try:
                    asker.get(FULL_SIZE)
                except (RuntimeError, OSError) as error:
                    failures.append(error)

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
    if failures:
        raise failures[0]
