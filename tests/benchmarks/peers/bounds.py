"""What the sidecar has to reach beside its peers: ratios within one run."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from statistics import median
from typing import Final

from tests.benchmarks import files
from tests.benchmarks.peers.plan import BARE, EXACT, NGINX, OURS, VIEWING
from tests.benchmarks.peers.results import Case, Ratio, Results, firsts, rates
from tests.benchmarks.peers.single_tiles import ALONE, FULL, HALF, RANDOM, STORED
from tests.benchmarks.peers.whole_views import CROWD, LARGE, WHOLE

IIPSRV, CANTALOUPE, DEEPZOOM = "iipsrv", "Cantaloupe", "DeepZoom"
MB: Final = 1e6
SESSIONS: Final[Mapping[str, tuple[float, float]]] = {
    files.SINGLE_LOSSLESS: (4.0, 6.0),
    files.TILED_LOSSLESS: (2.0, 3.5),
    files.SINGLE: (3.0, 5.0),
    files.TILED: (1.6, 3.5),
}
"""Tiles a second of viewers, to iipsrv's and to Cantaloupe's."""
EXACT_SESSIONS: Final[Mapping[str, float]] = {files.SINGLE_LOSSLESS: 2.5, files.TILED_LOSSLESS: 1.3}
TILES: Final[Mapping[str, float]] = {files.SINGLE_LOSSLESS: 2.2, files.TILED_LOSSLESS: 1.6}
SCRIPT, FIRST, WHOLES, CROWD_MB = 0.95, 8.0, 1.0, 600.0
STORED_MS, SLIDE_HALF, SLIDE_FULL, GROWTH = 1.5, 3.0, 1.5, 1.3
JP2: Final = tuple(SESSIONS)
Compare = Callable[[Case, Case], Ratio]


@dataclass(frozen=True, slots=True)
class Bound:
    """A figure, and what it has to be."""

    what: str
    wanted: float
    reached: Ratio | None
    """None if it was not measured."""
    at_most: bool = False
    unit: str = " times"

    @property
    def kept(self) -> bool:
        """Whether it was measured, and holds in the middle of the rounds."""
        if self.reached is None:
            return False
        return self.reached.middle <= self.wanted if self.at_most else self.reached.middle >= self.wanted


def bounds(results: Results) -> Iterator[Bound]:
    """Yield every bound, measured or not."""
    for name, (iipsrv, cantaloupe) in SESSIONS.items():
        label = files.LABELS[name]
        yield _against(results, label, VIEWING.name, OURS, IIPSRV, iipsrv)
        yield _against(results, label, VIEWING.name, OURS, CANTALOUPE, cantaloupe)
    for name, wanted in EXACT_SESSIONS.items():
        yield _against(results, files.LABELS[name], VIEWING.name, EXACT, IIPSRV, wanted)
    for name in JP2:
        yield _against(results, files.LABELS[name], RANDOM.name, OURS, BARE, SCRIPT)
    for name, wanted in TILES.items():
        yield _against(results, files.LABELS[name], RANDOM.name, OURS, IIPSRV, wanted)
    for name in TILES:
        yield _crowd(results, files.LABELS[name])
    for name in JP2:
        yield _against(results, files.LABELS[name], LARGE.name, OURS, IIPSRV, FIRST, firsts)
        yield _against(results, files.LABELS[name], WHOLE.name, OURS, IIPSRV, WHOLES)
    slide = files.LABELS[files.SLIDE]
    yield _against(results, slide, HALF.name, OURS, DEEPZOOM, SLIDE_HALF)
    yield _against(results, slide, FULL.name, OURS, DEEPZOOM, SLIDE_FULL)
    yield _beyond_nginx(results, slide)
    if files.LARGE:
        yield _growth(results)


def _against(
    results: Results, label: str, workload: str, ours: str, theirs: str, wanted: float, compare: Compare = rates
) -> Bound:
    pair = results.case(label, workload, ours), results.case(label, workload, theirs)
    figure = "first bytes" if compare is firsts else "responses a second"
    what = f"{label}, {workload}: {figure} of {ours} to {theirs}"
    return Bound(what, wanted, compare(pair[0], pair[1]) if pair[0] and pair[1] else None)


def _crowd(results: Results, label: str) -> Bound:
    case = results.case(label, CROWD.name, OURS)
    reached = Ratio([each.memory / MB for each in case.rounds]) if case else None
    return Bound(
        f"{label}, {CROWD.name}: memory, with all 24 responses complete", CROWD_MB, reached, at_most=True, unit=" MB"
    )


def _beyond_nginx(results: Results, label: str) -> Bound:
    ours, alone = results.case(label, STORED.name, OURS), results.case(label, STORED.name, NGINX)
    what = f"{label}, {STORED.name}: time of a tile beyond nginx's own"
    if not (ours and alone):
        return Bound(what, STORED_MS, None, at_most=True, unit=" ms")
    pairs = zip(ours.rounds, alone.rounds, strict=True)
    more = [1000 * (median(one.lasts) - median(other.lasts)) for one, other in pairs]
    return Bound(what, STORED_MS, Ratio(more), at_most=True, unit=" ms")


def _growth(results: Results) -> Bound:
    large, small = (results.case(files.LABELS[name], ALONE.name, OURS) for name in (files.GROWING[-1], files.TILED))
    what = "a tile of 1,600 MP to one of 80 MP, both in tiles"
    return Bound(what, GROWTH, Ratio([large.work / small.work]) if large and small else None, at_most=True)
