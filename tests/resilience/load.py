"""`make load`: whole images of 80 MP asked for by many at once, and how tiles fare meanwhile.

BENCH_FILES: a folder with pictures of the names that `make bench` gives them; else they are made, once.
"""

from __future__ import annotations

import re
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from itertools import count, islice
from pathlib import Path
from statistics import median
from typing import Final

from rich.console import Console
from rich.markdown import Markdown

from tests.benchmarks.figures import Chart, Must, Report, Row, markdown
from tests.benchmarks.files import BENCH, FILES, SINGLE, TILED, single, tiled
from tests.nginx.peers import HOST, PATIENCE, ask
from tests.resilience.processes import MB, Watch, pss, rss
from tests.resilience.site import Site

REQUESTS, AT_ONCE = 24, 12
LARGE: Final = "full/3000,/0/default.jpg"
SIDE, WIDTH, HEIGHT = 512, 10_000, 8_000
TILES = 40
"""As many tiles are asked for while nothing else is."""
PAUSE = 0.1
"""Seconds between two tiles: somebody looks around."""
MOST_MEMORY, MOST_FIRST, MOST_TILE, MOST_LATE = 700.0, 1.0, 3.0, 20.0
"""MB, seconds, times, milliseconds."""
FIRST = 2
"""How many answers are the first: those that need not wait for a core."""
END_OF_JPEG: Final = b"\xff\xd9"
LATE: Final = "sidecar_loop_late_seconds"


@dataclass(frozen=True, slots=True)
class Answered:
    """One answer: seconds to its first byte and to its last, and the status of a whole picture."""

    first: float
    last: float
    status: int
    """0 if it broke off."""

    @property
    def whole(self) -> bool:
        """Whether it is the requested picture."""
        return self.status == HTTPStatus.OK


def answer(port: int, target: str, patience: float = PATIENCE) -> Answered:
    """Ask, and take the time."""
    began, first = time.perf_counter(), float("inf")
    connection = HTTPConnection(HOST, port, timeout=patience)
    try:
        connection.request("GET", target)
        response = connection.getresponse()
        head = response.read(1)
        first = time.perf_counter() - began
        body = head + response.read()
        picture = response.headers["Content-Type"] == "image/jpeg" and body.endswith(END_OF_JPEG)
        status = response.status if picture or response.status != HTTPStatus.OK else 0
    except (OSError, HTTPException):
        status = 0
    finally:
        connection.close()
    return Answered(first, time.perf_counter() - began, status)


def tiles() -> Iterator[str]:
    """URLs of tiles of the two pictures in turn, each another one as long as there are any, without end."""
    places = [(x, y) for y in range(0, HEIGHT - SIDE, SIDE) for x in range(0, WIDTH - SIDE, SIDE)]
    for turn in count():
        x, y = places[turn * 7 % len(places)]
        yield f"/iiif/3/{(SINGLE, TILED)[turn % 2]}/{x},{y},{SIDE},{SIDE}/{SIDE},/0/default.jpg"


def delays(site: Site) -> dict[float, float]:
    """How many of the event loops' delays kept to each bound, in seconds; read at one moment, the last is infinite."""
    found = re.findall(LATE + r'_bucket{le="(.+?)"} (.+)', ask(site.sidecar.port, "/sidecar/metrics").text)
    return {float(bound): float(count) for bound, count in found}


def quantile(before: Mapping[float, float], after: Mapping[float, float], share: float) -> float:
    """The bound, in milliseconds, that so large a share of the delays between two moments keeps to."""
    more = {bound: number - before[bound] for bound, number in sorted(after.items())}
    return next(bound for bound, number in more.items() if number >= share * more[float("inf")]) * 1000


def run() -> Report:
    """Measure it all."""
    single()
    tiled()
    with tempfile.TemporaryDirectory() as home, Site(Path(home), FILES, "log_level = 'warning'") as site:
        views = tiles()
        for target in islice(views, 20):
            answer(site.port, target)
        idle = [answer(site.port, target) for target in islice(views, TILES)]
        before, calm = sum(map(pss, site.processes)), delays(site)
        with Watch(lambda: site.processes, pss, 0.1) as memory, ThreadPoolExecutor(AT_ONCE) as crowd:
            began = time.perf_counter()
            asked = [
                crowd.submit(answer, site.port, f"/iiif/3/{(SINGLE, TILED)[turn % 2]}/{LARGE}", 300.0)
                for turn in range(REQUESTS)
            ]
            busy = []
            while not all(one.done() for one in asked):
                busy.append(answer(site.port, next(views)))
                time.sleep(PAUSE)
            seconds = time.perf_counter() - began
        large = [one.result() for one in asked]
        late = quantile(calm, delays(site), 0.999), site.sidecar.metric("sidecar_loop_longest_late_seconds") * 1000
        most = sum(rss(pid, "VmHWM") for pid in site.processes)
        return _report(large, idle, busy, (before, memory.peak, most), late, seconds)


def _report(
    large: Sequence[Answered],
    idle: Sequence[Answered],
    busy: Sequence[Answered],
    memory: tuple[int, int, int],
    late: tuple[float, float],
    seconds: float,
) -> Report:
    before, peak, most = (size / MB for size in memory)
    firsts, lasts = sorted(one.first for one in large), sorted(one.last for one in large)
    calm, loaded = (median(one.last for one in tiles) * 1000 for tiles in (idle, busy))
    rows: list[Row] = [
        (
            "whole images by status",
            ", ".join(f"{n} x {status}" for status, n in Counter(x.status for x in large).items()),
        ),
        ("all of them, s", seconds),
        (
            "first bytes: the first, the second, median, last, s",
            ", ".join(f"{value:.2f}" for value in (*firsts[:FIRST], median(firsts), firsts[-1])),
        ),
        ("last bytes: median, last, s", f"{median(lasts):.2f}, {lasts[-1]:.2f}"),
        ("tiles answered meanwhile", f"{sum(one.whole for one in busy)} of {len(busy)}"),
        ("a tile, idle: median, ms", calm),
        ("a tile, meanwhile: median, worst, ms", f"{loaded:.0f}, {max(one.last for one in busy) * 1000:.0f}"),
        ("memory before (PSS of master and workers), MB", before),
        ("memory at its peak (PSS, sampled), MB", peak),
        ("highest RSS of each process ever, summed, MB", most),
        ("event loop late: p99.9 at most, the most, ms", f"{late[0]:.0f}, {late[1]:.0f}"),
    ]
    return Report(
        f"Load: {REQUESTS} times {LARGE} of 80 MP, {AT_ONCE} at once, two workers",
        ("figure", "reached"),
        rows,
        Chart("ms", ["a tile, median"], {"idle": [calm], "under load": [loaded]}),
        [
            Must("answers missing or broken", sum(not one.whole for one in (*large, *idle, *busy)), 0),
            Must("memory at its peak (PSS)", peak, MOST_MEMORY, " MB"),
            Must("time to the first byte of the first answers", firsts[FIRST - 1], MOST_FIRST, " s"),
            Must("a tile under load, times idle, medians", loaded / calm, MOST_TILE),
            Must("event loop late, p99.9", late[0], MOST_LATE, " ms"),
        ],
    )


def main() -> None:
    """Measure, print and keep the report; the status is 1 if a target is missed."""
    report = run()
    text = markdown(report)
    BENCH.mkdir(exist_ok=True)
    (BENCH / "load.md").write_text(text, encoding="utf-8")
    Console(width=120).print(Markdown(text))
    sys.exit(not all(must.kept for must in report.musts))


if __name__ == "__main__":
    main()
