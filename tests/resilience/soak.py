"""`make soak`: the memory of all processes over SOAK_MINUTES of mixed load, drawn, and flat once they are warm.

Flat: between the first and the last third of the time after warm-up the median grows by no more than a little, and so
does the line through the second half (Theil-Sen: the median of the slopes between samples, which peaks do not bend).
"""

from __future__ import annotations

import os
import random
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Final

import numpy as np

from tests.benchmarks.files import BENCH
from tests.nginx.peers import ask
from tests.resilience.known_answers import JP2S, SLIDE, TILES, WHOLES, truths
from tests.resilience.load_clients import GOOD, Crowd, Tally
from tests.resilience.processes import MB, Watch, rss
from tests.resilience.site import Site

IMAGES: Final = Path(__file__).parents[1] / "data" / "images"
WARM_UP: Final = 0.25
"""Of the time: caches fill, and the allocator finds its size."""
MOST_SAMPLES: Final = 600
GROWTH: Final = 0.05
"""What may come on top, of the memory there is: the allocator's ups and downs."""

Samples = Sequence[tuple[float, int]]


@dataclass(frozen=True, slots=True)
class Trend:
    """How memory goes after warm-up."""

    median: float
    """Bytes."""
    ratio: float
    """The median of the last third to that of the first."""
    slope: float
    """Bytes per second, through the second half of all."""
    drift: float
    """What the slope comes to over the second half, as a part of the median."""

    def flat(self, growth: float = GROWTH) -> bool:
        """Whether it does not grow by more than so much of itself."""
        return self.ratio <= 1 + growth and self.drift <= growth

    def __str__(self) -> str:
        per_hour = self.slope * 3600 / MB
        return f"median {self.median / MB:.0f} MB, last third {self.ratio:.3f} of the first, {per_hour:+.1f} MB an hour"


def trend(samples: Samples) -> Trend:
    """Measure samples of (seconds, bytes)."""
    times, sizes = np.array(samples, float)[:: -(-len(samples) // MOST_SAMPLES)].T
    warm = sizes[times >= WARM_UP * times[-1]]
    first, *_, last = np.array_split(warm, 3)
    half = times >= times[-1] / 2
    slope = _slope(times[half], sizes[half])
    middle = float(np.median(warm))
    ratio = float(np.median(last) / np.median(first))
    return Trend(middle, ratio, slope, slope * float(times[-1]) / 2 / middle)


def _slope(
    times: np.ndarray[tuple[int], np.dtype[np.float64]], sizes: np.ndarray[tuple[int], np.dtype[np.float64]]
) -> float:
    """The Theil-Sen estimator (P. K. Sen, "Estimates of the regression coefficient based on Kendall's tau", 1968)."""
    one, other = np.triu_indices(len(times), 1)
    return float(np.median((sizes[other] - sizes[one]) / (times[other] - times[one])))


@contextmanager
def wanderer(port: int) -> Iterator[None]:
    """A client who never asks for the same twice: images that are not there, and odd windows of those that are."""
    over, draw = threading.Event(), random.Random(0)  # noqa: S311  # a walk that can be repeated

    def wander() -> None:
        while not over.wait(0.02):
            x, y, name = draw.randrange(700), draw.randrange(500), draw.choice(JP2S)
            window = (
                f"{name}/{x},{y},{draw.randint(64, 300)},{draw.randint(64, 300)}/{draw.randint(16, 64)},/0/default.jpg"
            )
            with suppress(OSError, HTTPException):
                ask(port, f"/iiif/3/{draw.choice((window, f'missing-{draw.random()}.jp2/info.json'))}")

    thread = threading.Thread(target=wander)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def soak(seconds: float, home: Path) -> tuple[Samples, Tally]:
    """Load a site for so long; its memory, and what became of the questions."""
    folder = home / "images"
    folder.mkdir(parents=True)
    for name in (*JP2S, SLIDE):
        shutil.copy(IMAGES / name, folder)
    settings = 'log_level = "error"\nreader_cache_size = 8\n[openslide]\nsuffixes = ["svs"]'
    with Site(home / "site", folder, settings) as site:
        known = truths(site, folder, [*TILES, *WHOLES])
        tiles, wholes = ([question.target for question in some] for some in (TILES, WHOLES))
        crowd = Crowd(site.port, known)
        processes = site.processes
        with (
            Watch(lambda: processes, rss, 0.2) as memory,
            wanderer(site.port),
            crowd.asking(tiles, tiles, wholes, leaving=wholes) as tally,
        ):
            time.sleep(seconds)
        assert site.processes == processes, "a worker has died"
        site.rests()
    return memory.samples, tally


def draw(samples: Samples, path: Path) -> None:
    """Draw memory over time."""
    from matplotlib.figure import Figure  # noqa: PLC0415  # it takes a second that a failing run need not wait for

    figure = Figure((8, 4), layout="constrained")
    axes = figure.add_subplot()
    times, sizes = np.array(samples, float).T
    axes.plot(times / 60, sizes / MB, linewidth=0.6)
    axes.axvline(WARM_UP * times[-1] / 60, color="black", linestyle="--", linewidth=0.8)
    axes.set_ylim(bottom=0)
    axes.set_xlabel("minutes; dashed: warm")
    axes.set_ylabel("RSS of master and workers, MB")
    axes.set_title(str(trend(samples)), loc="left", fontsize=9)
    axes.spines[["top", "right"]].set_visible(False)
    path.parent.mkdir(exist_ok=True)
    figure.savefig(path)


def main() -> None:
    """Soak; the status is 1 if memory grows or a response was wrong."""
    minutes = float(os.environ.get("SOAK_MINUTES") or 10)
    with tempfile.TemporaryDirectory() as home:
        samples, tally = soak(minutes * 60, Path(home))
    draw(samples, BENCH / "soak.png")
    found = trend(samples)
    asked = sum(tally.verdicts.values())
    sys.stdout.write(f"{found}\n{asked} answers, {len(tally.wrong)} wrong, {len(tally.unanswered)} unanswered\n")
    sys.stdout.write(f"drawn in {BENCH / 'soak.png'}\n")
    sys.exit(not (found.flat() and not tally.wrong and {*tally.verdicts} <= {*GOOD}))


if __name__ == "__main__":
    main()
