"""What takes part: a server behind nginx, or something that stands for one; each of them is a module of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from tests.benchmarks.files import BENCH
from tests.benchmarks.peers.client import Answer, Connections

JPEG2000, SLIDE = "jp2", "slide"
"""Kinds of pictures."""
QUALITY: Final = 80
PLACE: Final = BENCH / "peers"
"""Where peers are installed that are in no lock file."""


class Asker(Protocol):
    """Asks one server for one picture."""

    def prepare(self, words: Sequence[str]) -> None:
        """Make ready what is not to be measured; servers have nothing to do."""

    def get(self, words: str) -> Answer:
        """Ask for `region/size/rotation/quality.format`, as many at once as there are connections."""

    def close(self) -> None:
        """End the connections."""


@dataclass(frozen=True, slots=True)
class Server:
    """A peer that serves."""

    ask: Callable[[str, int], Asker]
    """Picture's name, number of connections."""
    processes: Callable[[], Sequence[int]]
    """Those whose memory and time counts: all but nginx's."""


class Peer(Protocol):
    """A server that can be started."""

    @property
    def name(self) -> str:
        """As tables show it."""

    @property
    def kinds(self) -> Sequence[str]:
        """The kinds of pictures that it reads."""

    @property
    def missing(self) -> str:
        """What has to be done before it can take part; empty if nothing."""

    @property
    def version(self) -> str:
        """Of it and of what it decodes with."""

    def serve(self, home: Path, images: Path) -> AbstractContextManager[Server]:
        """Serve a folder of pictures, with what it keeps in another one."""


@contextmanager
def asking(server: Server, name: str, connections: int) -> Iterator[Asker]:
    """Provide connections to a server until the context ends."""
    asker = server.ask(name, connections)
    try:
        yield asker
    finally:
        asker.close()


def behind(port: int, processes: Callable[[], Sequence[int]]) -> Server:
    """Return the server that is reached through nginx at a port."""
    return Server(lambda name, connections: Connections(port, name, connections), processes)
