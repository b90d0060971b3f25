"""What was measured of each recipe, as it is kept beside the plots."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Final

from pydantic import TypeAdapter

KEPT: Final = Path(__file__).parents[1] / "results" / "encoding.json"
FULL, EIGHTH = "a tile at 1:1", "a tile at 1:8"
EXACT, WHOLE, FIRST = "a tile at 1:1 of all bits", "1024 px wide", "the first tile of a file"
"""What is asked for."""
UNKNOWN, KNOWN = "index unknown", "index known"
"""Whether the packets of a file have been found before."""


@dataclass(frozen=True, slots=True)
class Fetch:
    """What one tile takes from an object store."""

    rounds: int
    """Requests that wait for each other, the longest chain."""
    size: int
    """Bytes."""


@dataclass(frozen=True, slots=True)
class Case:
    """One encoded file."""

    recipe: str
    """Its title."""
    size: int
    """Bytes of the file."""
    error: float
    """Mean squared error of its samples, in grey levels; 0 if it is lossless."""
    jpeg_error: float
    """The same of the JPEG tiles that are made of it."""
    times: Mapping[str, Sequence[float]]
    """Seconds of processor time, by what is asked for; a value for each round."""
    fetches: Mapping[str, Sequence[Fetch]]
    """By what is asked for; empty if it is handed over."""

    def milliseconds(self, kind: str) -> float:
        """The median of all rounds."""
        return median(self.times[kind]) * 1000

    def ratio(self, kind: str, base: Case) -> float:
        """How many times as long as the base, round by round; the median."""
        return median(one / other for one, other in zip(self.times[kind], base.times[kind], strict=True))


@dataclass(frozen=True, slots=True)
class Results:
    """A whole run."""

    machine: str
    when: str
    """The day, as 2026-03-01."""
    pixels: int
    """Of the picture."""
    base: str
    """The title of the recipe that others are compared with."""
    missing: Sequence[str]
    """Titles of recipes whose encoder was not there."""
    cases: list[Case] = field(default_factory=list)

    @property
    def reference(self) -> Case:
        """The base, measured."""
        return next(case for case in self.cases if case.recipe == self.base)


_ADAPTER: Final = TypeAdapter(Results)


def keep(results: Results, path: Path = KEPT) -> None:
    """Write a run to a file."""
    path.write_bytes(_ADAPTER.dump_json(results, indent=1) + b"\n")


def kept(path: Path = KEPT) -> Results:
    """Read a run from a file. Raises pydantic's ValidationError, OSError."""
    return _ADAPTER.validate_json(path.read_bytes())
