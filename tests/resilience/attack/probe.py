"""Somebody who looks at another image all the time, through nginx, and notices everything."""

from __future__ import annotations

import multiprocessing
import time
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Final, Self

from tests.resilience.attack.attack import Watched
from tests.resilience.attack.wire import fetch
from tests.resilience.site import cantaloupes

EVERY: Final = 0.05
SOURCE: Final = "127.0.0.2"
PATIENCE: Final = 20.0

Seen = list[tuple[str, float]]


class Probe:
    """Asks for one tile again and again, in a process of its own, which no attacker slows down."""

    def __init__(self, port: int, target: str, truth: bytes) -> None:
        """`truth`: the bytes while nothing happens."""
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_watch, args=(theirs, port, target, truth), daemon=True)
        self._theirs = theirs

    def __enter__(self) -> Self:
        self._process.start()
        self._theirs.close()
        self._pipe.recv()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._pipe.close()
        self._process.kill()
        self._process.join()

    def taken(self) -> Watched:
        """Return what was seen since the last call, the answer that is waited for at this moment included."""
        self._pipe.send(None)
        seen: Seen = self._pipe.recv()
        words = [word for word, _ in seen]
        return Watched(
            asked=len(seen),
            lost=words.count("lost"),
            wrong=words.count("wrong"),
            handed_over=words.count("handed over"),
            latest=max((seconds for _, seconds in seen), default=0.0),
        )


def _watch(pipe: Connection, port: int, target: str, truth: bytes) -> None:
    handed_over, seen = cantaloupes(target), Seen()
    pipe.send(None)
    while True:
        reply = fetch(port, target, source=SOURCE, patience=PATIENCE)
        if reply.status != 200:
            word = "lost"
        elif reply.body == truth:
            word = "right"
        else:
            word = "handed over" if reply.body == handed_over else "wrong"
        seen.append((word, reply.seconds))
        if pipe.poll():
            pipe.recv()
            pipe.send(seen)
            seen = Seen()
        time.sleep(EVERY)
