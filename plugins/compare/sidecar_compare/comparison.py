"""Running a comparison: several requests at once, in bounded memory, into one result."""

from __future__ import annotations

import heapq
import math
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from sidecar_compare.answered import Answered
from sidecar_compare.documented import REASONS
from sidecar_compare.findings import Difference, Finding, Outcome, find
from sidecar_compare.images import Thumbnails
from sidecar_compare.requests import Request
from sidecar_compare.servers import Server, send_to_both
from sidecar_compare.tolerance import Tolerance

PAGE_BYTES = 1_400_000
"""What all thumbnails of a page may take, so that the page stays below two megabytes."""


@dataclass(frozen=True, slots=True)
class Speed:
    """The response times of a server in seconds, over all requests that both servers answered."""

    mean: float
    median: float
    p95: float


@dataclass(frozen=True, slots=True)
class DifferingField:
    """A field that differs: in how many requests, and the difference in the first of them."""

    name: str
    count: int
    example: Difference


@dataclass(frozen=True)
class Comparison:
    """The result of a comparison."""

    findings: Sequence[Finding]
    """In the order of the requests."""
    worst: Sequence[tuple[Finding, Thumbnails]]
    """The image pairs that differ most, worst first."""

    @cached_property
    def counts(self) -> Counter[Outcome]:
        return Counter(finding.outcome for finding in self.findings)

    @property
    def same_bytes(self) -> int:
        """Number of responses with identical bodies; those that Cantaloupe made for both servers are among them."""
        return sum(finding.same_bytes for finding in self.findings)

    @property
    def fine(self) -> bool:
        """Whether both servers answered every request, and nothing differs beyond the tolerance."""
        return not self.problems

    @cached_property
    def problems(self) -> Sequence[Finding]:
        """The findings that are different or failed, in the order of the requests."""
        return [finding for finding in self.findings if finding.outcome in (Outcome.DIFFERENT, Outcome.FAILED)]

    @cached_property
    def news(self) -> Sequence[Finding]:
        """The problems without those whose every difference is documented."""
        return [finding for finding in self.problems if not finding.documented]

    @cached_property
    def documented(self) -> Sequence[tuple[str, int, str]]:
        """The documented differences that were found: name, number of requests, reason; the most frequent first."""
        names = Counter(
            name for finding in self.problems for name in {each.documented for each in finding.differences} - {""}
        )
        return [(name, count, REASONS[name]) for name, count in names.most_common()]

    @cached_property
    def answered(self) -> Counter[Answered]:
        """Who answered the requests that were sent to the sidecar, and why; those without a response left out."""
        return Counter(finding.answered for finding in self.findings if finding.outcome is not Outcome.FAILED)

    @cached_property
    def fields(self) -> Sequence[DifferingField]:
        """The fields that differ and are not documented, the most frequent first."""
        counts: Counter[str] = Counter()
        examples: dict[str, Difference] = {}
        for finding in self.problems:
            for difference in finding.differences:
                if not difference.documented:
                    counts[difference.field] += 1
                    examples.setdefault(difference.field, difference)
        return [DifferingField(name, count, examples[name]) for name, count in counts.most_common()]

    def speeds(self, *, warm: bool) -> Sequence[Speed]:
        """Return the speeds of Cantaloupe and of the sidecar in the first round, or in all later ones if `warm`.

        Empty if there are no such rounds.
        """
        rounds = slice(1, None) if warm else slice(0, 1)
        times = [[time for finding in self.findings for time in finding.seconds[side][rounds]] for side in (0, 1)]
        return [Speed(float(np.mean(taken)), *np.percentile(taken, [50, 95]).tolist()) for taken in times if taken]


def run(
    requests: Iterable[Request],
    servers: Sequence[Server],
    tolerance: Tolerance,
    *,
    jobs: int,
    rounds: int,
    worst: int,
    done: Callable[[], None],
) -> Comparison:
    """Send every request to both servers (Cantaloupe, the sidecar), `jobs` at a time; call `done` after each request.

    Bodies are freed as soon as they are compared; thumbnails are kept of the `worst` image pairs only.
    """
    worst_pairs = _WorstPairs(worst)

    most = PAGE_BYTES // max(1, worst)

    def compare(index: int, request: Request) -> tuple[Finding, Thumbnails | None]:
        replies = send_to_both(request, servers, rounds, second_first=bool(index % 2))
        finding, pair = find(request, replies, tolerance)
        return finding, pair.thumbnails(most) if pair and worst_pairs.admits(finding) else None

    findings = []
    with ThreadPoolExecutor(jobs) as pool:
        tasks = (pool.submit(compare, *numbered) for numbered in enumerate(requests))
        for finding, thumbnails in _in_order(tasks, ahead=2 * jobs):
            findings.append(finding)
            worst_pairs.add(finding, thumbnails)
            done()
    return Comparison(findings, worst_pairs.sorted)


def _in_order(
    tasks: Iterator[Future[tuple[Finding, Thumbnails | None]]], ahead: int
) -> Iterator[tuple[Finding, Thumbnails | None]]:
    """Yield the results in order; at most `ahead` tasks are started whose results are not yet taken."""
    started: deque[Future[tuple[Finding, Thumbnails | None]]] = deque()
    for task in tasks:
        started.append(task)
        if len(started) >= ahead:
            yield started.popleft().result()
    while started:
        yield started.popleft().result()


class _WorstPairs:
    """The image pairs that differ most. One thread adds to it; any thread may call `admits`."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._kept: list[tuple[tuple[bool, float], int, Finding, Thumbnails]] = []
        self._count = 0

    def admits(self, finding: Finding) -> bool:
        """Return whether the pair may be among the worst; if not, it needs no thumbnails."""
        return len(self._kept) < self._size or (self._size > 0 and self._kept[0][0] < _severity(finding))

    def add(self, finding: Finding, thumbnails: Thumbnails | None) -> None:
        if thumbnails and self.admits(finding):
            self._count -= 1  # of pairs that differ equally the first stays
            push = heapq.heappush if len(self._kept) < self._size else heapq.heapreplace
            push(self._kept, (_severity(finding), self._count, finding, thumbnails))

    @property
    def sorted(self) -> Sequence[tuple[Finding, Thumbnails]]:
        return [(finding, thumbnails) for _, _, finding, thumbnails in sorted(self._kept, reverse=True)]


def _severity(finding: Finding) -> tuple[bool, float]:
    news = finding.outcome is Outcome.DIFFERENT and not finding.documented
    return news, finding.distance.mean if finding.distance else math.inf
