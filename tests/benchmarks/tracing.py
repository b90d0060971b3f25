"""What traces cost: processor time and time of a tile, without them and with them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Final

from tests.benchmarks import files
from tests.benchmarks.figures import Chart, Must, Report
from tests.benchmarks.rounds import turns
from tests.nginx.collector import over_http
from tests.nginx.peers import ask
from tests.nginx.servers import REPOSITORY, Sidecar

IMAGES: Final = REPOSITORY / "tests" / "data" / "images"
TILE: Final = "/iiif/3/tiled_512.jp2/{},512,512,512/512,/0/default.jpg"
"""A small image, whose tiles take little: the worst case for what is the same for each request."""
OFF, AGAIN, ON = KINDS = "off", "off, again", "on"
ROUNDS: Final = 20
TILES: Final = 30
"""In each round."""
MOST: Final = 1.03
"""Times the processor time of a tile without traces."""


@dataclass(slots=True)
class Taken:
    """Of one server."""

    processor: list[float] = field(default_factory=list)
    """Milliseconds of a tile, by round."""
    tile: list[float] = field(default_factory=list)
    """Milliseconds that a client waits, by tile."""


def run() -> Report:
    """Ask three servers in turn: two without traces, which shows what is noise, and one with."""
    taken = {name: Taken() for name in KINDS}
    with ExitStack() as stack:
        collector = stack.enter_context(over_http())
        endpoint = f"http://127.0.0.1:{collector.port}"
        servers = {name: stack.enter_context(_served(name, endpoint if name == ON else "")) for name in KINDS}
        for name in KINDS:
            _round(servers[name], Taken())
        for _, name in turns(KINDS, ROUNDS):
            _round(servers[name], taken[name])
    rows = [(name, median(each.processor), median(each.tile)) for name, each in taken.items()]
    pairs = zip(taken[ON].processor, taken[OFF].processor, taken[AGAIN].processor, strict=True)
    share = median(2 * on / (off + again) for on, off, again in pairs)
    return Report(
        "Traces",
        ("", "processor time of a tile, ms", "a client waits, ms"),
        rows,
        Chart("ms", KINDS, {"processor": [row[1] for row in rows], "client": [row[2] for row in rows]}),
        [Must("processor time with traces against without", share, MOST, " times")],
    )


def _round(server: Sidecar, taken: Taken) -> None:
    (worker,) = server.workers()
    before = _used(worker)
    for number in range(TILES):
        began = perf_counter()
        answer = ask(server.port, TILE.format(number % 3 * 512))
        taken.tile.append((perf_counter() - began) * 1e3)
        assert answer.status == 200
    taken.processor.append((_used(worker) - before) / TILES)


def _used(pid: int) -> float:
    """Milliseconds of a processor that a process has used: its threads' first fields in schedstat (proc(5))."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e6


@contextmanager
def _served(name: str, endpoint: str) -> Iterator[Sidecar]:
    folder = files.BENCH / "tracing" / name.replace(", ", "-")
    folder.mkdir(parents=True, exist_ok=True)
    toml = f'workers = 1\nthreads = 1\ndecoded_cache_bytes = 0\nlog_level = "error"\n[filesystem]\nroot = "{IMAGES}"\n'
    server = Sidecar(folder, toml, environment={"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint})
    try:
        yield server
    finally:
        server.stop()
