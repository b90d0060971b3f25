"""What was measured, as it is kept in `.bench/peers.json`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median, quantiles
from typing import Final

from pydantic import TypeAdapter


@dataclass(frozen=True, slots=True)
class Round:
    """One round of one workload with one peer."""

    took: float
    """Seconds, all responses together."""
    firsts: Sequence[float]
    """Seconds to the first byte of each response."""
    lasts: Sequence[float]
    size: int
    """Bytes of all bodies."""
    work: float
    """Seconds of processor time of the peer's processes."""
    read: int
    """Bytes that they have read from files, pipes and sockets by read(2) and the like."""
    memory: int
    """Bytes at the peak, of all of them together."""

    @property
    def rate(self) -> float:
        """Responses a second."""
        return len(self.lasts) / self.took


@dataclass(frozen=True, slots=True)
class Case:
    """All rounds of one workload with one picture and one peer."""

    picture: str
    """Its label."""
    workload: str
    peer: str
    rounds: Sequence[Round]

    @property
    def rate(self) -> float:
        """Responses a second, in the middle of the rounds."""
        return median(each.rate for each in self.rounds)

    @property
    def first(self) -> float:
        """Seconds to the first byte, median of all responses."""
        return median(first for each in self.rounds for first in each.firsts)

    @property
    def last(self) -> float:
        """Seconds to the last byte, median of all responses."""
        return median(last for each in self.rounds for last in each.lasts)

    @property
    def late(self) -> float:
        """Seconds to the last byte that 95 % of the responses keep to."""
        lasts = [last for each in self.rounds for last in each.lasts]
        return quantiles(lasts, n=20, method="inclusive")[-1] if len(lasts) > 1 else lasts[0]

    @property
    def work(self) -> float:
        """Seconds of processor time for a response."""
        return median(each.work / len(each.lasts) for each in self.rounds)

    @property
    def read(self) -> float:
        """Bytes read for a response."""
        return median(each.read / len(each.lasts) for each in self.rounds)

    @property
    def memory(self) -> int:
        """Bytes at the peak of all rounds."""
        return max(each.memory for each in self.rounds)


@dataclass(frozen=True, slots=True)
class Ratio:
    """How two peers compare: within each round, since machines slow down for whole rounds."""

    rounds: Sequence[float]

    @property
    def middle(self) -> float:
        """The median."""
        return median(self.rounds)

    @property
    def spread(self) -> tuple[float, float]:
        """The lowest and the highest round."""
        return min(self.rounds), max(self.rounds)


@dataclass(frozen=True, slots=True)
class Results:
    """A whole run."""

    machine: str
    when: str
    """The day, as 2026-03-01."""
    peers: Mapping[str, str]
    """Versions, by name."""
    missing: Mapping[str, str]
    """What has to be done before others can take part, by name."""
    cases: list[Case] = field(default_factory=list)

    def case(self, picture: str, workload: str, peer: str) -> Case | None:
        """Return a case, if it was measured."""
        wanted = (picture, workload, peer)
        return next((each for each in self.cases if (each.picture, each.workload, each.peer) == wanted), None)


def rates(ours: Case, theirs: Case) -> Ratio:
    """Return how many times as many responses a second we give, round by round."""
    pairs = zip(ours.rounds, theirs.rounds, strict=True)
    return Ratio([one.rate / other.rate for one, other in pairs])


def firsts(ours: Case, theirs: Case) -> Ratio:
    """Return how many times as early our first bytes come, round by round."""
    pairs = zip(ours.rounds, theirs.rounds, strict=True)
    return Ratio([median(other.firsts) / median(one.firsts) for one, other in pairs])


KEPT: Final = TypeAdapter(Results)


def keep(results: Results, path: Path) -> None:
    """Write a run to a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(KEPT.dump_json(results, indent=1))


def kept(path: Path) -> Results:
    """Read a run from a file. Raises pydantic's ValidationError, OSError."""
    return KEPT.validate_json(path.read_bytes())
