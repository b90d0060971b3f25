"""Running a comparison: several pairs at once, in bounded memory, into one result."""

from __future__ import annotations

import heapq
import math
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from sidecar.compare.pixels import Pictures
from sidecar.compare.requests import Wanted
from sidecar.compare.servers import Server, ask_both
from sidecar.compare.verdicts import Difference, Outcome, Tolerance, Verdict, judge


@dataclass(frozen=True, slots=True)
class Speed:
    """Seconds that a server took, over all requests that both answered."""

    mean: float
    median: float
    p95: float


@dataclass(frozen=True)
class Comparison:
    """All that came of a comparison."""

    verdicts: Sequence[Verdict]
    worst: Sequence[tuple[Verdict, Pictures]]
    """The pairs of pictures farthest apart, worst first."""

    @cached_property
    def counts(self) -> Counter[Outcome]:
        """How many requests came to each outcome."""
        return Counter(verdict.outcome for verdict in self.verdicts)

    @property
    def same_bytes(self) -> int:
        """How many answers were the same byte for byte: what Cantaloupe itself answered on both ways is among them."""
        return sum(verdict.same_bytes for verdict in self.verdicts)

    @property
    def fine(self) -> bool:
        """Whether nothing differs beyond the tolerance, and everything was answered."""
        return not self.counts[Outcome.DIFFERENT] and not self.counts[Outcome.FAILED]

    @cached_property
    def troubled(self) -> Sequence[Verdict]:
        """What is not fine, in the order of the requests."""
        return [verdict for verdict in self.verdicts if verdict.outcome in (Outcome.DIFFERENT, Outcome.FAILED)]

    @cached_property
    def fields(self) -> Sequence[tuple[str, int, Verdict, Difference]]:
        """Each field that differs: how often, and the first pair where it does; the most frequent first."""
        counts: Counter[str] = Counter()
        first: dict[str, tuple[Verdict, Difference]] = {}
        for verdict in self.troubled:
            for difference in verdict.differences:
                counts[difference.field] += 1
                first.setdefault(difference.field, (verdict, difference))
        return [(field, count, *first[field]) for field, count in counts.most_common()]

    def speeds(self, *, warm: bool) -> Sequence[Speed]:
        """Cantaloupe's and the sidecar's: the first time each URL was asked, or the later times; empty without any."""
        rounds = slice(1, None) if warm else slice(0, 1)
        asked = [[time for pair in self.verdicts for time in pair.seconds[side][rounds]] for side in (0, 1)]
        return [Speed(float(np.mean(taken)), *np.percentile(taken, [50, 95]).tolist()) for taken in asked if taken]


def run(
    wanted: Iterable[Wanted],
    servers: Sequence[Server],
    tolerance: Tolerance,
    *,
    jobs: int,
    rounds: int,
    worst: int,
    done: Callable[[], None],
) -> Comparison:
    """Ask both servers (Cantaloupe, the sidecar) everything, `jobs` pairs at a time; `done` is called after each pair.

    Bodies live no longer than their pair is judged; pictures are kept of the `worst` pairs only.
    """
    gallery = _Gallery(worst)

    def compare(index: int, request: Wanted) -> tuple[Verdict, Pictures | None]:
        replies = ask_both(request, servers, rounds, second_first=bool(index % 2))
        verdict, couple = judge(request, replies, tolerance)
        return verdict, couple.pictures() if couple and gallery.admits(verdict) else None

    verdicts = []
    with ThreadPoolExecutor(jobs) as pool:
        tasks = (pool.submit(compare, *numbered) for numbered in enumerate(wanted))
        for verdict, pictures in _in_order(tasks, ahead=2 * jobs):
            verdicts.append(verdict)
            gallery.add(verdict, pictures)
            done()
    return Comparison(verdicts, gallery.pictures)


def _in_order(
    tasks: Iterator[Future[tuple[Verdict, Pictures | None]]], ahead: int
) -> Iterator[tuple[Verdict, Pictures | None]]:
    """The results in order; no more than `ahead` tasks are begun before theirs are taken."""
    begun: deque[Future[tuple[Verdict, Pictures | None]]] = deque()
    for task in tasks:
        begun.append(task)
        if len(begun) >= ahead:
            yield begun.popleft().result()
    while begun:
        yield begun.popleft().result()


class _Gallery:
    """The pictures of the pairs farthest apart. Filled by one thread; `admits` may be asked by any."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._kept: list[tuple[tuple[bool, float], int, Verdict, Pictures]] = []
        self._count = 0

    def admits(self, verdict: Verdict) -> bool:
        """Whether the pair may come among the worst: spares the work of making pictures for nothing."""
        return len(self._kept) < self._size or (self._size > 0 and self._kept[0][0] < _badness(verdict))

    def add(self, verdict: Verdict, pictures: Pictures | None) -> None:
        if pictures and self.admits(verdict):
            self._count -= 1  # of equally bad pairs the first stays
            push = heapq.heappush if len(self._kept) < self._size else heapq.heapreplace
            push(self._kept, (_badness(verdict), self._count, verdict, pictures))

    @property
    def pictures(self) -> Sequence[tuple[Verdict, Pictures]]:
        return [(verdict, pictures) for _, _, verdict, pictures in sorted(self._kept, reverse=True)]


def _badness(verdict: Verdict) -> tuple[bool, float]:
    return verdict.outcome is Outcome.DIFFERENT, verdict.distance.mean if verdict.distance else math.inf
