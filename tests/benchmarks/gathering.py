"""Viewers whose tiles are decoded with their neighbours, and viewers whose tiles are decoded one by one, in turn.

`python -m tests.benchmarks.gathering` plays the same sessions with two sidecars, for every JP2 file in the folder
BENCH_FILES. VIEWERS_TILES says how long a session is, GATHERING_ROUNDS how often all is repeated. Beside tiles a second
it shows when tiles of an idle server come, alone and six at once, what a tile takes of a processor, and for how many
tiles a decode was made.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path
from statistics import median, quantiles
from typing import Final

from tests.benchmarks import files
from tests.benchmarks.figures import Chart, Report, Row, markdown
from tests.benchmarks.rounds import turns
from tests.benchmarks.sessions import CONNECTIONS, SIDE, Viewer
from tests.benchmarks.viewers import VIEWERS, Round, play
from tests.nginx.servers import Sidecar
from tests.resilience.processes import family, listeners

ROUNDS: Final = int(os.environ.get("GATHERING_ROUNDS", "4"))
SETTINGS: Final = 'workers = {}\nlog_level = "warning"\ngathered_pixels = {}\n[jpeg]\nsubsampling = "4:2:0"\n'
ROOT: Final = '[filesystem]\nroot = "{}"\n'
WORKERS: Final = int(os.environ.get("GATHERING_WORKERS", "1"))
ALONE, GATHERED = "each alone", "gathered"
PIXELS: Final = {ALONE: 0, GATHERED: int(os.environ.get("GATHERED_PIXELS", str(2 * 2**20)))}
BURSTS: Final = 3
"""Six tiles at once, in each round."""
FIRSTS: Final = 8
"""First tiles of an idle server, in each round."""


class Case:
    """One picture, measured."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.rounds: dict[str, list[Round]] = {server: [] for server in PIXELS}
        self.firsts: dict[str, list[float]] = {server: [] for server in PIXELS}
        self.bursts: dict[str, list[tuple[float, float]]] = {server: [] for server in PIXELS}
        self.work: dict[str, list[float]] = {server: [] for server in PIXELS}
        """Processor seconds for a tile, in each round."""
        self.together: dict[str, str] = {}

    def ratios(self) -> Sequence[float]:
        """Tiles a second, gathered to alone, in each round."""
        pairs = zip(self.rounds[GATHERED], self.rounds[ALONE], strict=True)
        return [gathered.rate / alone.rate for gathered, alone in pairs]


def first(port: int, name: str, turn: int) -> list[float]:
    """Ask an idle server for tiles, one after the other; the seconds that each takes."""
    viewer, took = Viewer(port, name), []
    for number in range(FIRSTS):
        place = (turn * FIRSTS + number) * 5 % 112
        began = time.perf_counter()
        viewer.get(f"{place % 14 * 512},{place // 14 * 512},512,512/512,/0/default.jpg")
        took.append(time.perf_counter() - began)
    viewer.close()
    return took


def burst(port: int, name: str, turn: int) -> tuple[float, float]:
    """Ask an idle server for six neighbours at once; seconds until the first and until the last of them."""
    viewer = Viewer(port, name)
    left, top = turn % 5 * 3 * SIDE, turn % 7 * 2 * SIDE
    places = [
        f"{left + x * SIDE},{top + y * SIDE},{SIDE},{SIDE}/{SIDE},/0/default.jpg" for y in (0, 1) for x in range(3)
    ]
    began = time.perf_counter()

    def ask(words: str) -> float:
        viewer.get(words)
        return time.perf_counter() - began

    with ThreadPoolExecutor(CONNECTIONS) as pool:
        came = sorted(pool.map(ask, places))
    viewer.close()
    return came[0], came[-1]


def measure(name: str) -> Case:
    """Measure both in turn, after a round that does not count."""
    case = Case(name)
    with ExitStack() as stack:
        servers = {server: start(stack, pixels) for server, pixels in PIXELS.items()}
        for turn, server in turns([*servers], ROUNDS + 1):
            port = servers[server].port
            time.sleep(0.5)
            firsts = first(port, name, turn)
            bursts = [burst(port, name, BURSTS * turn + number) for number in range(BURSTS)]
            before = processor_seconds(port)
            played = play(port, name, turn)
            work = (processor_seconds(port) - before) / len(played.tiles)
            if turn:
                case.bursts[server] += bursts
                case.work[server].append(work)
                case.firsts[server] += firsts
                case.rounds[server].append(played)
            files.say(f"  {name}, {server}: {played.rate:.1f} tiles/s, first {median(firsts) * 1000:.0f} ms")
        case.together = {server: together(sidecar) for server, sidecar in servers.items()}
    return case


def start(stack: ExitStack, pixels: int) -> Sidecar:
    """Start a sidecar."""
    home = Path(stack.enter_context(tempfile.TemporaryDirectory()))
    sidecar = Sidecar(home, SETTINGS.format(WORKERS, pixels) + ROOT.format(files.FILES))
    stack.callback(sidecar.stop)
    return sidecar


def together(sidecar: Sidecar) -> str:
    """How many requests a decode was made for, on the average, and the pixels decoded for each one asked for."""
    decodes, asked = sidecar.metric("sidecar_decode_requests_count"), sidecar.metric("sidecar_asked_pixels_total")
    if not decodes:
        return ""
    requests, decoded = sidecar.metric("sidecar_decode_requests_sum"), sidecar.metric("sidecar_decoded_pixels_total")
    before = sidecar.metric("sidecar_decoded_before_total")
    return f"{requests / decodes:.1f}, {decoded / asked:.2f}; {before:.0f} decoded before"


def processor_seconds(port: int) -> float:
    """The processor time of a server's processes so far (proc_pid_stat(5))."""
    ticks = 0
    for pid in family(listeners(port)):
        with suppress(OSError):
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def rows(case: Case) -> list[Row]:
    """A line for each server."""
    found: list[Row] = []
    ratios = case.ratios()
    for server, rounds in case.rounds.items():
        tiles = [one * 1000 for each in rounds for one in each.tiles]
        spread = f"{median(ratios):.2f} ({min(ratios):.2f}, {max(ratios):.2f})" if server == GATHERED else ""
        times = f"{median(tiles):.0f}, {quantiles(tiles, n=20)[-1]:.0f}"
        rate, one = median(each.rate for each in rounds), median(case.firsts[server]) * 1000
        came = ", ".join(f"{median(each) * 1000:.0f}" for each in zip(*case.bursts[server], strict=True))
        found.append(
            (
                f"{case.name}: {server}",
                rate,
                spread,
                median(case.work[server]) * 1000,
                times,
                one,
                came,
                case.together[server],
            )
        )
    return found


def run(names: Sequence[str]) -> Report:
    """Measure some pictures."""
    cases = [measure(name) for name in names]
    rates: Mapping[str, list[float]] = {
        server: [median(one.rate for one in case.rounds[server]) for case in cases] for server in PIXELS
    }
    return Report(
        f"{VIEWERS} viewers with {CONNECTIONS} connections each, {WORKERS} workers",
        (
            "",
            "tiles/s",
            "ratio",
            "processor, ms a tile",
            "a tile: median, p95, ms",
            "idle, ms",
            "six at once: first, last, ms",
            "requests a decode, pixels decoded",
        ),
        [row for case in cases for row in rows(case)],
        Chart("tiles a second", [*names], rates),
        [],
        [],
    )


def main() -> None:
    """Measure and print; names of files limit it to these."""
    names = sys.argv[1:] or [path.name for path in sorted(files.FILES.glob("*.jp2")) or files.pictures()]
    sys.stdout.write(markdown(run(names)))


if __name__ == "__main__":
    main()
