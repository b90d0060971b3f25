"""The memory that plans say they take, and what a process of its own was seen to take."""

from __future__ import annotations

import ctypes
import subprocess
import sys
from collections import deque
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from sidecar_filesystem.settings import FilesystemSettings

from sidecar.plugin import Config
from sidecar.registry import Plugins
from sidecar.render.service import ImageService
from tests.benchmarks import files
from tests.benchmarks.figures import Chart, Must, Report
from tests.benchmarks.processes import Memory
from tests.benchmarks.worker import SETTINGS, answer, new_service, plan, threads

TILE = "2048,2048,512,512/max/0/default.jpg"
REGION = "0,0,4096,6144/max/0/default.jpg"
WHOLE, WHOLE_PNG = "full/max/0/default.jpg", "full/max/0/default.png"
QUARTER = "full/!2000,2000/0/default.jpg"
WARM_UP = "0,0,4096,4096/max/0/default.jpg"
"""Fills what a worker keeps once: packet indexes, OpenSlide's cache of tiles."""
WORDS = (TILE, QUARTER, REGION, WHOLE, WHOLE_PNG)


@dataclass(frozen=True, slots=True)
class Case:
    """One answer."""

    name: str
    estimate: int
    """Bytes."""
    measured: int

    @property
    def share(self) -> float:
        """Of the estimate that was taken."""
        return self.measured / self.estimate


def run() -> Report:
    """Measure all answers of all pictures."""
    cases = [measure(path, words) for path in (*files.pictures(), files.slide()) for words in WORDS]
    return Report(
        "Memory of answers: what plans say, and what was seen",
        ("", "estimate, MB", "measured, MB", "measured ÷ estimate"),
        [(case.name, case.estimate / 1e6, case.measured / 1e6, case.share) for case in cases],
        Chart(
            "MB",
            [case.name for case in cases],
            {
                "estimate": [case.estimate / 1e6 for case in cases],
                "measured": [case.measured / 1e6 for case in cases],
            },
        ),
        [Must(f"{case.name}: measured in estimates", case.share, 1.0) for case in cases],
        ["Measured: VmHWM less VmRSS before, in a process that has made another large answer of the same picture."],
    )


def measure(path: Path, words: str) -> Case:
    """Make one answer in a process of its own."""
    command = [sys.executable, "-m", "tests.benchmarks.estimates", str(path), words]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    estimate, measured = map(int, said.split())
    return Case(f"{files.label(path)}, {words.replace('/0/default', '')}", estimate, measured)


def main(arguments: Sequence[str]) -> None:
    """Say the estimate of an answer and what it took."""
    path, words = Path(arguments[0]), arguments[1]
    with threads() as own:
        registry = Plugins().load(Config.of(SETTINGS, FilesystemSettings(root=str(path.parent))), own.small)
        service = new_service(own, registry, registry.sources)
        make(service, path.name, WARM_UP)
        estimate = plan(service, path.name, words).plan.peak_bytes
        # What is free already would not show again.
        ctypes.CDLL(None).malloc_trim(0)
        memory = Memory()
        memory.begin()
        make(service, path.name, words)
        sys.stdout.write(f"{estimate} {memory.grown()}\n")


def make(service: ImageService, name: str, words: str) -> None:
    """Make a response, and keep nothing."""
    with closing(answer(service, name, words)) as body:
        deque(body, maxlen=0)


if __name__ == "__main__":
    main(sys.argv[1:])
