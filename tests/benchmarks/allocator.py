"""Allocators under a worker: what it holds before, while and after it is busy, and what tiles cost meanwhile.

glibc's, as `sidecar serve` sets it, with and without its giving memory back (`sidecar.server.heap`); jemalloc and
mimalloc, preloaded, with decay. Debian has them as libjemalloc2 and libmimalloc2.0; what is not installed is left out.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from statistics import median
from typing import Final

from tests.benchmarks import files
from tests.benchmarks.figures import Chart, Must, Report, Row
from tests.benchmarks.rounds import turns
from tests.benchmarks.sessions import Viewer
from tests.nginx.servers import Sidecar
from tests.resilience.load import answer
from tests.resilience.processes import MB, Watch, pss, spent

ROUNDS: Final = int(os.environ.get("ALLOCATOR_ROUNDS", "3"))
VIEWERS: Final = 2
"""At once, one for each picture."""
LARGE: Final = 4
"""Whole pictures asked for at once, after the tiles and while others are asked for."""
WHOLE: Final = "full/3000,/0/default.jpg"
THUMBNAIL: Final = "full/!200,200/0/default.jpg"
RETURN: Final = 30.0
"""Seconds after the last response within which memory has to come back."""
MOST_KEPT: Final = 1.5
"""Times what a worker held when it had started."""
SETTINGS: Final = """
workers = 1
log_level = "warning"
queue_timeout = 300
first_byte_timeout = 300
total_timeout = 600
[filesystem]
root = "{}"
"""
"""Nobody is refused because the machine is busy."""
LIBRARIES: Final = Path("/usr/lib")
OURS: Final = "glibc, given back"
UNTRIMMED: Final = "from sidecar.server import heap\nheap.trim = lambda: None\n"
"""As sitecustomize.py, which Python imports at its start: nothing is given back."""
JEMALLOC: Final = "background_thread:true,narenas:4,dirty_decay_ms:5000,muzzy_decay_ms:0"
MIMALLOC: Final = {"MIMALLOC_DECOMMIT_DELAY": "5000", "MIMALLOC_SEGMENT_DECOMMIT_DELAY": "5000"}


@dataclass(frozen=True, slots=True)
class Allocator:
    """How a worker is started with an allocator."""

    environment: Mapping[str, str] = field(default_factory=dict)
    library: str = ""
    """Preloaded; empty for glibc's own."""
    customized: str = ""
    """The text of a sitecustomize.py."""

    @property
    def place(self) -> Path | None:
        """The library that is to be preloaded; None if it is not installed."""
        return next(iter(sorted(LIBRARIES.glob(f"*/{self.library}"))), None) if self.library else None

    @property
    def usable(self) -> bool:
        """Whether it is installed."""
        return not self.library or self.place is not None


ALLOCATORS: Final[Mapping[str, Allocator]] = {
    OURS: Allocator(),
    "glibc, kept": Allocator(customized=UNTRIMMED),
    "jemalloc": Allocator({"MALLOC_CONF": JEMALLOC}, "libjemalloc.so.2"),
    "mimalloc": Allocator(MIMALLOC, "libmimalloc.so.2"),
}


@dataclass(frozen=True, slots=True)
class Cost:
    """What one worker did and held. Memory in bytes, PSS."""

    rate: float
    """Tiles a second."""
    milliseconds: float
    """Processor time of a tile, the kernel's included."""
    faults: float
    """Pages that the kernel had to map for a tile (minor faults, proc_pid_stat(5))."""
    started: float
    peak: float
    kept: float
    """When `RETURN` is over."""
    took: float
    """Seconds from the last response until it held `MOST_KEPT` of the start; `RETURN` if it never did."""

    @property
    def ratio(self) -> float:
        """What it kept to what it held at the start."""
        return self.kept / self.started


def run() -> Report:
    """Measure all allocators that are installed, in turn."""
    usable = {name: allocator for name, allocator in ALLOCATORS.items() if allocator.usable}
    costs: dict[str, list[Cost]] = {name: [] for name in usable}
    paths = files.single(), files.tiled()
    for turn, name in turns([*usable], ROUNDS):
        with started(usable[name]) as sidecar:
            costs[name].append(measured(sidecar, [path.name for path in paths], turn))
        files.say(f"  {name}: {costs[name][-1]}")
    middles = {name: middle(each) for name, each in costs.items()}
    absent = [allocator.library for allocator in ALLOCATORS.values() if not allocator.usable]
    return Report(
        "A worker's allocator",
        ("", "tiles/s", "processor time, ms", "page faults", "started, MB", "peak", "after 30 s", "back within, s"),
        [row(name, cost) for name, cost in middles.items()],
        Chart("MB", [*middles], {what: [getattr(one, what) / MB for one in middles.values()] for what in HELD}),
        [Must(f"{OURS}: memory after {RETURN:.0f} s to that at the start", middles[OURS].ratio, MOST_KEPT)],
        [
            f"{VIEWERS} viewers, whose tiles are timed; then {LARGE} whole pictures of 3000 pixels and thumbnails.",
            "Tiles: processor time and page faults of one, in the worker. Medians of rounds that take turns.",
            *(f"Not installed: {library}" for library in absent),
        ],
    )


HELD: Final = ("started", "peak", "kept")


def row(name: str, cost: Cost) -> Row:
    """Return the line of an allocator."""
    held = (getattr(cost, what) / MB for what in HELD)
    return name, cost.rate, cost.milliseconds, cost.faults, *held, cost.took


def middle(costs: Sequence[Cost]) -> Cost:
    """Return the median of each figure."""
    return Cost(*(median(getattr(cost, figure) for cost in costs) for figure in Cost.__slots__))


@contextmanager
def started(allocator: Allocator) -> Iterator[Sidecar]:
    """Run a sidecar of one worker with an allocator."""
    with tempfile.TemporaryDirectory() as home:
        environment = dict(allocator.environment)
        if allocator.place:
            environment["LD_PRELOAD"] = str(allocator.place)
        if allocator.customized:
            (Path(home) / "sitecustomize.py").write_text(allocator.customized, encoding="utf-8")
            environment["PYTHONPATH"] = os.pathsep.join(filter(None, (home, os.environ.get("PYTHONPATH"))))
        sidecar = Sidecar(Path(home), SETTINGS.format(files.FILES), environment=environment)
        try:
            yield sidecar
        finally:
            sidecar.stop()


def measured(sidecar: Sidecar, names: Sequence[str], turn: int) -> Cost:
    """Load a worker that has just started, and let it rest."""
    worker = sidecar.workers()[0]
    before = pss(worker)
    with Watch(lambda: (worker,), pss, 0.1) as watch:
        tiles = timed(sidecar.port, worker, names, turn)
        mixed(sidecar.port, names)
    kept, took = rested(worker, before * MOST_KEPT)
    return Cost(*tiles, before, watch.peak, kept, took)


def timed(port: int, worker: int, names: Sequence[str], turn: int) -> tuple[float, float, float]:
    """Let viewers look at the pictures, once to warm up; return the rate, and a tile's milliseconds and page faults."""
    for counts in (False, True):
        viewers = [Viewer(port, name) for name in names]
        seeds = [2 * VIEWERS * turn + VIEWERS * counts + number for number in range(VIEWERS)]
        before, began = spent(worker), time.perf_counter()
        with ThreadPoolExecutor(VIEWERS) as pool:
            tiles = sum(map(len, pool.map(Viewer.look, viewers, seeds)))
        took, after = time.perf_counter() - began, spent(worker)
        for viewer in viewers:
            viewer.close()
    return tiles / took, (after.seconds - before.seconds) * 1000 / tiles, (after.faults - before.faults) / tiles


def mixed(port: int, names: Sequence[str]) -> None:
    """Ask for whole pictures at once, and for thumbnails beside them."""
    wanted = [f"/iiif/3/{names[turn % len(names)]}/{WHOLE}" for turn in range(LARGE)]
    wanted += [f"/iiif/3/{name}/{THUMBNAIL}" for name in names]
    with ThreadPoolExecutor(len(wanted)) as crowd:
        if not all(one.whole for one in crowd.map(partial(answer, port, patience=300.0), wanted)):
            raise RuntimeError("a response is missing")


def rested(worker: int, enough: float) -> tuple[int, float]:
    """Wait until memory has to be back; return the bytes then, and the seconds until it was `enough` for good."""
    began, took = time.monotonic(), 0.0
    while (now := time.monotonic() - began) < RETURN:
        time.sleep(0.25)
        if pss(worker) > enough:
            took = min(now + 0.25, RETURN)
    return pss(worker), took
