"""Windows of 512² from an object store far away: with the packet index known, unknown, and without one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Final

import numpy as np
from sidecar_jp2.decoder import Jp2Decoder
from sidecar_jp2.openjpeg.codec import OpenJpeg
from sidecar_jp2.openjpeg.library import bind

from sidecar.plugin import Size
from sidecar.registry import Registry
from tests.benchmarks import files
from tests.benchmarks.figures import Chart, Must, Report, Row
from tests.benchmarks.link import connect, rounds_of_waiting
from tests.benchmarks.processes import LATENCY, MBITS, far_store
from tests.benchmarks.rounds import turns
from tests.benchmarks.worker import Threads, answer, load, new_service, threads

SIDE = 512
SCALES = (1, 4, 16, 64)
ROUNDS = 7
SHARE = 0.05
ROUNDS_WARM, ROUNDS_COLD = 3, 10
WARM, COLD, NONE = "index known", "index unknown", "no index"


@dataclass(frozen=True, slots=True)
class Trip:
    """What one answer took."""

    first: float
    """Seconds to its first byte."""
    total: float
    requests: int
    size: int
    """Bytes fetched."""
    rounds: int


@dataclass(frozen=True, slots=True)
class Case:
    """Windows of one scale of one file."""

    picture: str
    """The file's name."""
    name: str
    file_size: int
    trips: Mapping[str, Sequence[Trip]]

    def typical(self, kind: str, what: Callable[[Trip], float]) -> float:
        """The median of something."""
        return median(map(what, self.trips[kind]))

    def worst(self, kind: str, what: Callable[[Trip], float]) -> float:
        """The largest of something."""
        return max(map(what, self.trips[kind]))

    def speedup(self, kind: str) -> float:
        """How many times as long it takes without an index, by the median of rounds."""
        pairs = zip(self.trips[NONE], self.trips[kind], strict=True)
        return median(none.total / this.total for none, this in pairs)


def run() -> Report:
    """Measure all scales of the two pictures."""
    with far_store() as url, threads() as own:
        cases = [measure(own, url, path, scale) for path in (files.single(), files.tiled()) for scale in SCALES]
    return Report(
        f"Tile windows from an object store, {LATENCY} ms and {MBITS} Mbit/s away",
        ("512² of", "", "first byte, ms", "total, ms", "times faster", "requests", "MB", "of the file", "rounds"),
        [row(case, kind) for case in cases for kind in (WARM, COLD, NONE)],
        Chart(
            "ms to the last byte",
            [case.name for case in cases],
            {kind: [case.typical(kind, lambda trip: trip.total * 1000) for case in cases] for kind in KINDS},
        ),
        [must for case in cases if case.picture not in files.IN_TILES for must in musts(case)],
        [
            "A small view of many tiles takes a range of each, so many requests at once as a source may have.",
            "Each request is the first that a worker makes of the object: finding it is one of the rounds.",
            "Times faster: than without an index, which fetches the file; ratios of the same round, median.",
        ],
    )


def row(case: Case, kind: str) -> Row:
    """A line of the table."""
    size = case.typical(kind, lambda trip: trip.size)
    return (
        case.name,
        kind,
        case.typical(kind, lambda trip: trip.first * 1000),
        case.typical(kind, lambda trip: trip.total * 1000),
        case.speedup(kind),
        int(case.typical(kind, lambda trip: trip.requests)),
        size / 1e6,
        f"{size / case.file_size:.1%}",
        int(case.worst(kind, lambda trip: trip.rounds)),
    )


def musts(case: Case) -> Sequence[Must]:
    """What has to hold of a case of one tile."""
    share = case.worst(WARM, lambda trip: trip.size) / case.file_size
    return (
        Must(f"{case.name}: largest share of the file, {WARM}", share * 100, SHARE * 100, " %"),
        Must(f"{case.name}: rounds, {WARM}", case.worst(WARM, lambda trip: trip.rounds), ROUNDS_WARM),
        Must(f"{case.name}: rounds, {COLD}", case.worst(COLD, lambda trip: trip.rounds), ROUNDS_COLD),
    )


def _cold(own: Threads, _: Registry) -> Registry:
    return load(own)


def _warm(_: Threads, registry: Registry) -> Registry:
    return registry


def _none(_: Threads, registry: Registry) -> Registry:
    plain = Jp2Decoder(OpenJpeg(bind()))
    return Registry((), [plain], registry.encoders)


KINDS: Final[Mapping[str, Callable[[Threads, Registry], Registry]]] = {WARM: _warm, COLD: _cold, NONE: _none}


def measure(own: Threads, url: str, path: Path, scale: int) -> Case:
    """Ask for the same windows in all ways, in turn."""
    registry = load(own)
    size = _size(own, url, path, registry)
    places = [window(size, scale, turn) for turn in range(ROUNDS)]
    for words in places:
        ask(own, url, path, words, registry)  # now the index knows these windows
    trips: dict[str, list[Trip]] = {kind: [] for kind in KINDS}
    for turn, kind in turns([*KINDS], ROUNDS):
        trips[kind].append(ask(own, url, path, places[turn], KINDS[kind](own, registry)))
    return Case(path.name, f"{files.label(path)}, 1:{scale}", path.stat().st_size, trips)


def _size(own: Threads, url: str, path: Path, registry: Registry) -> Size:
    source, _ = connect(url)
    with closing(source):
        service = new_service(own, registry, [source])
        return service.info(service.blob(path.name)).size


def window(size: Size, scale: int, turn: int) -> str:
    """A place for each round, as `region/size/rotation/quality.format`; the same every time."""
    width, height = min(SIDE * scale, size.width), min(SIDE * scale, size.height)
    x, y = np.random.default_rng(turn).random(2)
    left, top = int(x * (size.width - width)), int(y * (size.height - height))
    return f"{left},{top},{width},{height}/{-(-width // scale)},/0/default.jpg"


def ask(own: Threads, url: str, path: Path, words: str, registry: Registry) -> Trip:
    """One answer of a worker that knows the object's index at most: no block, no connection."""
    source, noted = connect(url)
    service = new_service(own, registry, [source])
    with closing(source):
        begin = perf_counter()
        with closing(answer(service, path.name, words)) as body:
            next(body)
            first = perf_counter() - begin
            for _ in body:
                pass
            total = perf_counter() - begin
    size = sum(asked.size for asked in noted.requests)
    return Trip(first, total, len(noted.requests), size, rounds_of_waiting(noted.requests))
