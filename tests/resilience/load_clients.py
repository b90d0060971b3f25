"""Clients that send requests all the time while things break, and check every response."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from enum import Enum
from http.client import HTTPException

from tests.nginx.peers import Answer, ask, slow_client
from tests.resilience.site import cantaloupes

ATTEMPTS = 40
PAUSE = 0.1


class Verdict(Enum):
    """What a response was."""

    RIGHT = "the sidecar's, with the right bytes"
    CANTALOUPES = "the stand-in's, whole and of this URL"
    REFUSED = "an error that says so"
    BROKEN = "broken off, and seen to be"
    WRONG = "a 200 with other bytes"


GOOD = (Verdict.RIGHT, Verdict.CANTALOUPES)


def judge(answer: Answer, target: str, truth: bytes) -> Verdict:
    """Compare a response that is whole by HTTP with the right one."""
    if answer.status >= 500:
        return Verdict.REFUSED
    if answer.status == 200 and answer.body == cantaloupes(target):
        return Verdict.CANTALOUPES
    return Verdict.RIGHT if answer.status == 200 and answer.body == truth else Verdict.WRONG


def verdict(port: int, target: str, truth: bytes) -> Verdict:
    """Ask once."""
    try:
        return judge(ask(port, target), target, truth)
    except (OSError, HTTPException):
        return Verdict.BROKEN


@dataclass
class Tally:
    """The results of all requests."""

    verdicts: Counter[Verdict] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    unanswered: list[str] = field(default_factory=list)
    """URLs without a right response after many attempts."""
    left: int = 0
    """Responses that their clients did not wait for."""


class Crowd:
    """Clients in threads of their own."""

    def __init__(self, port: int, truths: Mapping[str, bytes]) -> None:
        self._port, self._truths = port, truths
        self._over = threading.Event()
        self.tally = Tally()

    @contextmanager
    def asking(self, *targets: Sequence[str], leaving: Sequence[str] = ()) -> Iterator[Tally]:
        """Run a client for each list of URLs, and one that leaves midway, until the context ends."""
        self._over.clear()
        with ThreadPoolExecutor(len(targets) + 1) as pool:
            running = [pool.submit(self._ask, random.Random(seed), each) for seed, each in enumerate(targets)]  # noqa: S311  # a shuffle that can be repeated
            if leaving:
                running.append(pool.submit(self._leave, random.Random(-1), leaving))  # noqa: S311  # as above
            try:
                yield self.tally
            finally:
                self._over.set()
        for client in running:
            client.result()

    def _ask(self, draw: random.Random, targets: Sequence[str]) -> None:
        while not self._over.is_set():
            target = draw.choice(targets)
            if not any(self._attempt(target) for _ in range(ATTEMPTS)):
                self.tally.unanswered.append(target)

    def _attempt(self, target: str) -> bool:
        """Ask once, and wait a little if that failed."""
        found = verdict(self._port, target, self._truths[target])
        self.tally.verdicts[found] += 1
        if found is Verdict.WRONG:
            self.tally.wrong.append(target)
        if found not in GOOD:
            time.sleep(PAUSE)
        return found in GOOD

    def _leave(self, draw: random.Random, targets: Sequence[str]) -> None:
        """Ask, read a part or nothing, and disconnect."""
        while not self._over.is_set():
            with suppress(OSError), slow_client(self._port, draw.choice(targets)) as client:
                if draw.random() < 0.5:
                    client.recv(draw.choice((1, 1000, 100_000)))
                else:
                    time.sleep(draw.random() * 0.2)
            self.tally.left += 1
