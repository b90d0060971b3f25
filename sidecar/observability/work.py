"""What is done for one request, stage by stage: summed up where the work is, read when the request is over.

A request's work goes with its context: into native threads (`sidecar.limits.threads`) and greenlets of its own
(`sidecar.render.task`), since gevent begins each greenlet with an empty one.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from threading import Lock
from typing import Final, Literal, TypeAlias

from gevent.monkey import get_original

Stage: TypeAlias = Literal["wait", "index", "fetch", "decode", "encode", "proxy"]
STAGES: Final[Mapping[Stage, str]] = {
    "wait": "waiting for memory, from the request for it until it is granted, and for a processor",
    "index": "opening the image, and finding out which of its bytes a window takes",
    "fetch": "reading the bytes of windows from the source; files on this machine are read while they are decoded",
    "decode": "decoding pieces of the image in native threads, possibly for several requests at once",
    "encode": "scaling, converting and encoding strips in native threads",
    "proxy": "waiting for Cantaloupe's first byte, if the sidecar itself asks it",
}
"""What is timed, in the order of a request."""
# gevent's locks are between greenlets, and these are held by native threads, for a microsecond.
_new_lock = get_original("_thread", "allocate_lock")
Note: TypeAlias = Mapping[str, int | str]


@dataclass(frozen=True, slots=True)
class Sample:
    """One of the pieces of work that a stage consists of. Times in nanoseconds of `time.perf_counter_ns`."""

    began: int
    ended: int
    number: int
    """Which one of the stage, from 1."""
    note: Note


@dataclass(slots=True)
class StageTime:
    """How long a stage took. Times in nanoseconds of `time.perf_counter_ns`."""

    first: int
    """When it first began."""
    last: int = 0
    """When it last ended."""
    busy: int = 0
    """The time of all its pieces together; pieces overlap."""
    count: int = 0
    samples: list[Sample] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Link:
    """That something was done for a request in the course of another one."""

    anchor: object
    """Where in the other's trace, see `sidecar.observability.tracing.anchor`."""
    stage: Stage | None
    """The stage that was done there; None: all of it."""


class Work:
    """What is done for a request. Safe in any thread."""

    def __init__(self) -> None:
        self.epoch = time.time_ns() - time.perf_counter_ns()
        """What makes a time of the clock out of one of `time.perf_counter_ns`."""
        self.stages: dict[Stage, StageTime] = {}
        self.source = self.decoder = self.encoder = ""
        """Names of the plugins, as far as the request has got to them."""
        self.read = 0
        """Bytes of the image that were read for its windows."""
        self.size = 0
        """Bytes of the whole image, if windows of it were read."""
        self.tallies: dict[str, int] = {}
        """What plugins have counted, see `sidecar.observability.counted`."""
        self.samples = False
        """Whether single pieces are kept: the first, the second, the fourth, the eighth and so on."""
        self.links: list[Link] = []
        """What was done for it in the course of others; only if these are traced."""
        self._lock: Lock = _new_lock()

    def add(self, stage: Stage, began: int, ended: int, note: Note) -> None:
        """Add one piece of work."""
        with self._lock:
            time = self.stages.setdefault(stage, StageTime(began))
            time.first, time.last = min(time.first, began), max(time.last, ended)
            time.busy += ended - began
            time.count += 1
            if self.samples and note and not time.count & (time.count - 1):
                time.samples.append(Sample(began, ended, time.count, note))

    def tally(self, name: str, count: int) -> None:
        """Count something under a name."""
        with self._lock:
            self.tallies[name] = self.tallies.get(name, 0) + count

    def milliseconds(self) -> dict[str, float]:
        """Return the time of each stage so far, from the first beginning to the last end, in their order."""
        with self._lock:
            spans = {stage: time.last - time.first for stage, time in self.stages.items()}
        return {stage: round(spans[stage] / 1e6, 1) for stage in STAGES if stage in spans}

    def spans(self, since: int) -> list[tuple[Stage, float, float]]:
        """Return each stage so far with its first beginning and last end, in milliseconds after `since`."""
        with self._lock:
            found = {stage: (time.first - since, time.last - since) for stage, time in self.stages.items()}
        return [
            (each, round(found[each][0] / 1e6, 1), round(found[each][1] / 1e6, 1)) for each in STAGES if each in found
        ]


CURRENT: Final[ContextVar[Work | None]] = ContextVar("work", default=None)
"""The work of the request that runs."""


def source_of(default: str) -> str:
    """Return the name of the source of the image that is worked on, if it is known."""
    work = CURRENT.get()
    return (work.source if work else "") or default
