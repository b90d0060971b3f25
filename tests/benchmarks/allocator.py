"""What the settings that `sidecar serve` makes of glibc's allocator are worth: time, page faults, memory kept."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, Final

from sidecar.limits.memory_limit import ALLOCATOR
from sidecar.plugin import Buffer, ImageReader, Rect, Window
from sidecar.testing.fakes import MemoryBlob, on_disk
from sidecar.testing.reading import pixels_of
from tests.benchmarks import files
from tests.benchmarks.figures import Chart, Report
from tests.benchmarks.processes import Memory
from tests.benchmarks.rounds import turns
from tests.benchmarks.worker import Threads, load, new_service, threads

SETTINGS: Final[Mapping[str, Mapping[str, str]]] = {
    "glibc's own": {},
    "sidecar serve": ALLOCATOR,
    "256 MiB kept": {**ALLOCATOR, "MALLOC_TRIM_THRESHOLD_": str(256 * 2**20)},
}
"""What a process begins with."""
WORK: Final = {
    "tiles of 512": (0, [Rect(512 * x, 512 * y, 512, 512) for y in range(2, 6) for x in range(2, 10)]),
    "pieces of 2 MP": (1, [Rect(2048 * x, 1024 * y, 2048, 1024) for y in range(3) for x in range(2)]),
}
"""Levels and regions, decoded by as many threads as there are cores."""
ROUNDS: Final = 3


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one decode, on the average; `kept`: of the process, when all are done."""

    milliseconds: float
    """Processor time, the kernel's included."""
    faults: float
    """Pages that the kernel had to map."""
    kept: float
    """Bytes."""


def run() -> Report:
    """Measure both pictures with all settings."""
    rows = [
        (f"{files.label(path)}, {work}: {name}", cost.milliseconds, cost.faults, cost.kept / 1e6)
        for path in (files.single(), files.tiled())
        for work, costs in measured(path).items()
        for name, cost in costs.items()
    ]
    return Report(
        "The allocator's settings",
        ("", "processor time, ms", "page faults", "memory kept, MB"),
        rows,
        Chart("MB", [str(row[0]) for row in rows], {"memory kept": [float(row[3]) for row in rows]}),
        notes=["One decode; memory kept: what the process has grown by when all of them are done. Medians of rounds."],
    )


def measured(path: Path) -> dict[str, dict[str, Cost]]:
    """By work and settings; each round in processes of their own."""
    found: dict[str, dict[str, list[Cost]]] = {work: {name: [] for name in SETTINGS} for work in WORK}
    for _, name in turns([*SETTINGS], ROUNDS):
        for work in WORK:
            found[work][name].append(apart(path, work, SETTINGS[name]))
    return {work: {name: middle(costs) for name, costs in each.items()} for work, each in found.items()}


def middle(costs: Sequence[Cost]) -> Cost:
    """The median of each figure."""
    return Cost(*(median(getattr(cost, figure) for cost in costs) for figure in Cost.__slots__))


def apart(path: Path, work: str, settings: Mapping[str, str]) -> Cost:
    """Do the work in a new process."""
    environment = {**{name: value for name, value in os.environ.items() if name not in ALLOCATOR}, **settings}
    command = [sys.executable, "-m", "tests.benchmarks.allocator", str(path), work]
    said = subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout
    return Cost(*map(float, said.split()))


def main(arguments: Sequence[str]) -> None:
    """Do the work here and say what it cost."""
    local, (level, regions) = on_disk(Path(arguments[0])), WORK[arguments[1]]
    with threads() as own, new_service(own, load(own)).renderer.readers.lease(local) as image:
        [*decoded(own, local, image.reader, level, regions[:1])]
        memory, before = Memory(), resource.getrusage(resource.RUSAGE_SELF)
        memory.begin()
        each = len([*decoded(own, local, image.reader, level, regions)])
        after = resource.getrusage(resource.RUSAGE_SELF)
        seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        faults = after.ru_minflt - before.ru_minflt
        sys.stdout.write(f"{seconds * 1000 / each} {faults / each} {memory.kept()}\n")


def decoded(
    own: Threads, blob: MemoryBlob, reader: ImageReader[Any], level: int, regions: Sequence[Rect]
) -> Iterator[tuple[int, ...]]:
    """The shapes of the regions, whose pixels are dropped."""

    def shape(window: Window, data: Sequence[Buffer]) -> tuple[int, ...]:
        return pixels_of(reader, window, data).shape

    windows = [reader.window(level, region) for region in regions]
    pending = [own.bulk.spawn(shape, window, blob.read(window.ranges)) for window in windows]
    yield from (each.get() for each in pending)


if __name__ == "__main__":
    main(sys.argv[1:])
