"""Viewers whose image is one worker's, and viewers whose tiles are scattered over all workers, in turn, through nginx.

`python -m tests.benchmarks.affinity` plays the same sessions with two sidecars, for each JP2 file in the folder
BENCH_FILES: one image for all viewers, and a copy for each. VIEWERS_TILES says how long a session is, AFFINITY_ROUNDS
how often all is repeated, AFFINITY_VIEWERS how many look at once. Beside tiles a second it shows what a tile takes of a
processor, how many processors the workers kept busy, and how often what was known of an image was found again.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Final

from tests.benchmarks import files
from tests.benchmarks.figures import Chart, Report, Row, markdown
from tests.benchmarks.gathering import processor_seconds, together
from tests.benchmarks.rounds import turns
from tests.benchmarks.sessions import CONNECTIONS, Viewer
from tests.nginx.peers import HOST, ask
from tests.nginx.servers import Nginx, Sidecar, free_port

ROUNDS: Final = int(os.environ.get("AFFINITY_ROUNDS", "4"))
VIEWERS: Final = int(os.environ.get("AFFINITY_VIEWERS", "2"))
WORKERS: Final = len(os.sched_getaffinity(0))
SETTINGS: Final = 'workers = {}\nlog_level = "warning"\n[jpeg]\nsubsampling = "4:2:0"\n[filesystem]\nroot = "{}"\n'
SCATTERED, HASHED = "scattered", "the same worker"
_LOOKUPS: Final = re.compile(r'sidecar_cache_lookups_total\{cache="(\w+)",result="(\w+)"\} ([0-9.e+]+)')


@dataclass(frozen=True, slots=True)
class Server:
    """A sidecar, and an nginx in front."""

    sidecar: Sidecar
    port: int


@dataclass(frozen=True, slots=True)
class Round:
    """What the viewers of one round got, and what it took."""

    tiles: int
    took: float
    processor: float
    """Seconds of all workers."""


def start(stack: ExitStack, folder: Path, *, hashed: bool) -> Server:
    """Start a sidecar and its nginx."""
    home = Path(stack.enter_context(tempfile.TemporaryDirectory()))
    sidecar = Sidecar(home, SETTINGS.format(WORKERS, folder))
    stack.callback(sidecar.stop)
    slots = [f"127.1.0.{number + 1}:{sidecar.port}" for number in range(WORKERS)]
    found = slots if hashed else [f"{HOST}:{sidecar.port}"]
    nginx = stack.enter_context(Nginx(home / "nginx", sidecar.port, free_port(), slots=found))
    return Server(sidecar, nginx.port)


def play(server: Server, names: Sequence[str], turn: int) -> Round:
    """Let all viewers look at once, in sessions that no other round has."""
    viewers = [Viewer(server.port, names[number % len(names)]) for number in range(VIEWERS)]
    used = processor_seconds(server.sidecar.port)
    with ThreadPoolExecutor(VIEWERS) as pool:
        began = time.perf_counter()
        seen = [*pool.map(Viewer.look, viewers, range(turn * VIEWERS, (turn + 1) * VIEWERS))]
        took = time.perf_counter() - began
    for viewer in viewers:
        viewer.close()
    return Round(sum(map(len, seen)), took, processor_seconds(server.sidecar.port) - used)


def measure(folder: Path, names: Sequence[str]) -> Mapping[str, tuple[list[Round], str, str]]:
    """Measure both in turn, after a round that does not count."""
    with ExitStack() as stack:
        servers = {name: start(stack, folder, hashed=name == HASHED) for name in (SCATTERED, HASHED)}
        rounds: dict[str, list[Round]] = {name: [] for name in servers}
        for turn, name in turns([*servers], ROUNDS + 1):
            rounds[name].append(play(servers[name], names, turn))
            last = rounds[name][-1]
            files.say(f"  {len(names)} of {names[0]}, {name}: {last.tiles / last.took:.1f} tiles/s")
        return {
            name: (rounds[name][1:], together(server.sidecar), found_again(server.sidecar))
            for name, server in servers.items()
        }


def found_again(sidecar: Sidecar) -> str:
    """Return the part of what was looked up in each cache that was there."""
    counts: dict[str, dict[str, float]] = {}
    for cache, result, count in _LOOKUPS.findall(ask(sidecar.port, "/sidecar/metrics").text):
        counts.setdefault(cache, {})[result] = float(count)
    parts = {cache: found.get("hit", 0) / sum(found.values()) for cache, found in counts.items() if sum(found.values())}
    misses = {cache: found.get("miss", 0) for cache, found in counts.items()}
    return ", ".join(
        f"{cache} {part * 100:.1f} % ({misses[cache]:.0f} missed)" for cache, part in sorted(parts.items())
    )


def rows(label: str, measured: Mapping[str, tuple[list[Round], str, str]]) -> list[Row]:
    """Return a line for each way."""
    found: list[Row] = []
    pairs = [*zip(measured[HASHED][0], measured[SCATTERED][0], strict=True)]
    ratios = [(one.tiles / one.took) / (other.tiles / other.took) for one, other in pairs]
    for name, (rounds, decodes, again) in measured.items():
        found.append(
            (
                f"{label}: {name}",
                median(each.tiles / each.took for each in rounds),
                f"{median(ratios):.2f} ({min(ratios):.2f}, {max(ratios):.2f})" if name == HASHED else "",
                median(each.processor / each.tiles for each in rounds) * 1000,
                f"{median(each.processor / each.took for each in rounds):.2f}",
                decodes,
                again,
            )
        )
    return found


def run(pictures: Sequence[str]) -> Report:
    """Measure some pictures."""
    lines: list[Row] = []
    rates: dict[str, list[float]] = {SCATTERED: [], HASHED: []}
    labels: list[str] = []
    for picture in pictures:
        with tempfile.TemporaryDirectory(dir=files.FILES) as made:
            folder = Path(made)
            names = [f"{number}_{picture}" for number in range(VIEWERS)]
            for name in names:
                shutil.copy(files.FILES / picture, folder / name)
            for label, some in ((f"{picture}, one image", names[:1]), (f"{picture}, {VIEWERS} images", names)):
                measured = measure(folder, some)
                lines += rows(label, measured)
                labels.append(label)
                for name, (rounds, _, _) in measured.items():
                    rates[name].append(median(each.tiles / each.took for each in rounds))
    return Report(
        f"{VIEWERS} viewers with {CONNECTIONS} connections each, {WORKERS} workers behind nginx",
        ("", "tiles/s", "ratio", "processor, ms a tile", "processors busy", "requests a decode", "found in caches"),
        lines,
        Chart("tiles a second", labels, rates),
        [],
        [],
    )


def main() -> None:
    """Measure and print; names of files limit it to these."""
    names = sys.argv[1:] or [path.name for path in sorted(files.FILES.glob("*.jp2")) or files.pictures()]
    sys.stdout.write(markdown(run(names)))


if __name__ == "__main__":
    main()
