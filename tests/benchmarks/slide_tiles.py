"""Which tiles of a slide viewers should ask for: those stored, passed on one by one, or larger ones made of several.

`python -m tests.benchmarks.slide_tiles` plays the same sessions with each size of tiles, in turn: two viewers at once,
six connections each, until every viewport is complete.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Final

from tests.benchmarks import files
from tests.benchmarks.figures import Chart, Report, markdown
from tests.benchmarks.gathering import processor_seconds
from tests.benchmarks.rounds import turns
from tests.benchmarks.sessions import CONNECTIONS, HEIGHT, WIDTH, Viewer, views
from tests.nginx.servers import Sidecar

ROUNDS: Final = 8
VIEWERS: Final = 2
MOVES: Final = 10
STORED: Final = 240
SIDES: Final = (STORED, 2 * STORED, 4 * STORED)
SETTINGS: Final = 'workers = 2\nlog_level = "warning"\n[filesystem]\nroot = "{}"\n'


def play(port: int, turn: int, side: int) -> tuple[float, int, int]:
    """Let all viewers look at the slide; return seconds, tiles and bytes."""
    viewers = [Viewer(port, files.SLIDE) for _ in range(VIEWERS)]

    def look(viewer: Viewer, seed: int) -> tuple[int, int]:
        tiles = size = 0
        with ThreadPoolExecutor(CONNECTIONS) as pool:
            whole = (files.SLIDE_SIZE.width, files.SLIDE_SIZE.height)
            for view in islice(views(whole, seed, sys.maxsize, side), MOVES):
                bodies = [*pool.map(viewer.get, view)]
                tiles, size = tiles + len(bodies), size + sum(map(len, bodies))
        return tiles, size

    with ThreadPoolExecutor(VIEWERS) as pool:
        began = time.perf_counter()
        seen = [*pool.map(look, viewers, range(turn * VIEWERS, (turn + 1) * VIEWERS))]
        took = time.perf_counter() - began
    for viewer in viewers:
        viewer.close()
    return took, sum(tiles for tiles, _ in seen), sum(size for _, size in seen)


def run() -> Report:
    """Play all sessions with each size of tiles, in turn."""
    path = files.slide()
    taken: dict[int, list[tuple[float, int, int, float]]] = {side: [] for side in SIDES}
    with tempfile.TemporaryDirectory() as home:
        sidecar = Sidecar(Path(home), SETTINGS.format(path.parent))
        try:
            for turn, name in turns([str(side) for side in SIDES], ROUNDS + 1):
                before = processor_seconds(sidecar.port)
                played = play(sidecar.port, turn, int(name))
                taken[int(name)].append((*played, processor_seconds(sidecar.port) - before))
                files.say(f"  {name}: {played[0]:.2f} s, {played[1]} tiles, {taken[int(name)][-1][3]:.2f} s busy")
        finally:
            sidecar.stop()
    rows = {side: [median(column) for column in zip(*rounds[1:], strict=True)] for side, rounds in taken.items()}
    return Report(
        f"{VIEWERS} viewers of a slide whose tiles are {STORED} wide: {MOVES} viewports of {WIDTH} by {HEIGHT}",
        ("tiles", "s", "requests", "MB", "processor time, s"),
        [_row(side, row) for side, row in rows.items()],
        Chart(
            "s", [str(side) for side in SIDES], {"until all viewports are complete": [row[0] for row in rows.values()]}
        ),
        notes=["Medians of the rounds. At 1:1 and 1:4, tiles of 240 are those of the file, and passed on."],
    )


def _row(side: int, row: Sequence[float]) -> tuple[str, float, float, float, float]:
    seconds, requests, size, processor = row
    return str(side), seconds, requests, size / 1e6, processor


if __name__ == "__main__":
    sys.stdout.write(markdown(run()))
