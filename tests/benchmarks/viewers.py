"""Two viewers that zoom and pan: tiles a second and memory, of the sidecar and of a running Cantaloupe, in turn.

`CANTALOUPE=http://127.0.0.1:8182 python -m tests.benchmarks.viewers` asks both for the same tiles of every JP2 file in
the folder BENCH_FILES, which this Cantaloupe serves too. VIEWERS_API=3 asks for sizes as viewers do of version 3.
"""

from __future__ import annotations

import io
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median, quantiles
from typing import Final
from urllib.parse import urlsplit

import numpy as np
from PIL import Image

from tests.benchmarks import files
from tests.benchmarks.figures import Chart, Must, Report, Row, markdown
from tests.benchmarks.rounds import turns
from tests.benchmarks.sessions import API, CONNECTIONS, Viewer
from tests.nginx.servers import Sidecar
from tests.resilience.processes import MB, Watch, family, listeners, pss

ROUNDS: Final = 6
VIEWERS: Final = 2
"""At once."""
EVERY: Final = 0.05
"""Seconds between samples of memory: a process of opj_decompress lives for some tenths."""
SETTINGS: Final = 'workers = 2\nlog_level = "warning"\n[jpeg]\nsubsampling = "4:2:0"\n[filesystem]\nroot = "{}"\n'
"""Cantaloupe's subsampling; its quality, 80, is the sidecar's default."""
OURS, THEIRS = "sidecar", "Cantaloupe"
PLACE: Final = "2048,2048,1024,1024/512,/0/default.jpg"
DIFFERENCE: Final = 1.0
"""Grey levels, on the average, that two JPEGs of the same pixels may differ by."""


@dataclass(frozen=True, slots=True)
class Round:
    """What the viewers of one round saw."""

    tiles: Sequence[float]
    """Seconds from the request to the last byte."""
    took: float

    @property
    def rate(self) -> float:
        """Tiles a second."""
        return len(self.tiles) / self.took


@dataclass(frozen=True, slots=True)
class Case:
    """One picture, measured."""

    name: str
    rounds: Mapping[str, Sequence[Round]]
    memory: Mapping[str, int]
    """Bytes at the peak, by server."""

    @property
    def ratios(self) -> Sequence[float]:
        """The sidecar's tiles a second to Cantaloupe's, in each round."""
        return [ours.rate / theirs.rate for ours, theirs in zip(self.rounds[OURS], self.rounds[THEIRS], strict=True)]


def play(port: int, name: str, turn: int) -> Round:
    """Let all viewers look at a picture at once, in sessions that no other round has."""
    viewers = [Viewer(port, name) for _ in range(VIEWERS)]
    with ThreadPoolExecutor(VIEWERS) as pool:
        began = time.perf_counter()
        seen = [*pool.map(Viewer.look, viewers, range(turn * VIEWERS, (turn + 1) * VIEWERS))]
        took = time.perf_counter() - began
    for viewer in viewers:
        viewer.close()
    return Round([one for tiles in seen for one in tiles], took)


def compare(name: str, cantaloupe: int) -> Case:
    """Measure one picture with a sidecar of its own, so that none is charged with another one's memory."""
    with tempfile.TemporaryDirectory() as home:
        sidecar = Sidecar(Path(home), SETTINGS.format(files.FILES))
        try:
            return measure(name, {OURS: sidecar.port, THEIRS: cantaloupe})
        finally:
            sidecar.stop()


def measure(name: str, ports: Mapping[str, int]) -> Case:
    """Measure both servers in turn, after a round that does not count; then memory, in a round of its own."""
    check(name, ports)
    rounds: dict[str, list[Round]] = {server: [] for server in ports}
    for turn, server in turns([*ports], ROUNDS + 1):
        rounds[server].append(play(ports[server], name, turn))
        files.say(f"  {name}, {server}: {rounds[server][-1].rate:.1f} tiles/s")
    memory = {}
    for server, port in ports.items():
        with Watch(partial(family, listeners(port)), pss, EVERY) as watch:
            play(port, name, ROUNDS + 1)
        memory[server] = watch.peak
    return Case(name, {server: played[1:] for server, played in rounds.items()}, memory)


def check(name: str, ports: Mapping[str, int]) -> None:
    """Refuse to compare servers that give different pixels; raises AssertionError."""
    pixels = []
    for port in ports.values():
        viewer = Viewer(port, name)
        with Image.open(io.BytesIO(viewer.get(PLACE))) as image:
            pixels.append(np.asarray(image.convert("RGB"), int))
        viewer.close()
    difference = float(np.abs(pixels[0] - pixels[1]).mean())
    if difference > DIFFERENCE:
        raise AssertionError(f"{name}: the responses differ by {difference:.1f} grey levels")


def run(cantaloupe: str) -> Report:
    """Measure all pictures."""
    names = [path.name for path in sorted(files.FILES.glob("*.jp2")) or files.pictures()]
    cases = [compare(name, urlsplit(cantaloupe).port or 80) for name in names]
    rates = {server: [median(one.rate for one in case.rounds[server]) for case in cases] for server in (OURS, THEIRS)}
    return Report(
        f"{VIEWERS} viewers with {CONNECTIONS} connections each, version {API} of the Image API",
        ("", "tiles/s", "a tile: median, p95, ms", "ratio (lowest, highest)", "memory, MB"),
        [row for case in cases for row in rows(case)],
        Chart("tiles a second", names, rates),
        [Must(f"{case.name}: Cantaloupe's tiles/s to the sidecar's", 1 / median(case.ratios), 1.0) for case in cases],
        ["Memory: the highest PSS of all processes of a server together, in a round that is not timed."],
    )


def rows(case: Case) -> Iterator[Row]:
    """Yield a line for each server."""
    spread = f"{median(case.ratios):.1f} ({min(case.ratios):.1f}, {max(case.ratios):.1f})"
    for server, rounds in case.rounds.items():
        tiles = [one * 1000 for each in rounds for one in each.tiles]
        times = f"{median(tiles):.0f}, {quantiles(tiles, n=20)[-1]:.0f}"
        rate = median(each.rate for each in rounds)
        yield f"{case.name}: {server}", rate, times, spread if server == OURS else "", case.memory[server] / MB


def main() -> None:
    """Measure, print and keep the report; the status is 1 if Cantaloupe gives more tiles a second."""
    report = run(os.environ.get("CANTALOUPE") or sys.exit("CANTALOUPE is not set, as http://127.0.0.1:8182"))
    text = markdown(report)
    files.BENCH.mkdir(exist_ok=True)
    (files.BENCH / "viewers.md").write_text(text, encoding="utf-8")
    sys.stdout.write(text)
    sys.exit(not all(must.kept for must in report.musts))


if __name__ == "__main__":
    main()
