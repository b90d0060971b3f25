"""Memory that the allocator keeps is given back: when much has come together, and when there is nothing to do."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass

import pytest

from sidecar.limits.memory_limit import ALLOCATOR
from sidecar.server import heap
from sidecar.server.heap import Heap

MIB = 2**20
HOLES = """
from sidecar.server import heap
blocks = [bytearray(60_000) for _ in range(2000)]
del blocks[::2]
before = heap.resident()
heap.trim()
print(before - heap.resident())
"""


@dataclass
class Process:
    """A process whose allocator keeps some bytes."""

    used: int = 70 * MIB
    kept: int = 0
    promised: int = 1
    busy: bool = False
    trims: int = 0

    def give_back(self) -> None:
        """Give back what is kept."""
        self.kept = 0
        self.trims += 1


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Return a clock whose one number can be set."""
    now = [0.0]
    monkeypatch.setattr(heap, "monotonic", lambda: now[0])
    return now


def watched(process: Process) -> Heap:
    """Return the heap of a process."""
    return Heap(
        lambda: process.promised,
        lambda: process.busy,
        measure=lambda: process.used + process.kept,
        give_back=process.give_back,
    )


def test_much_is_given_back_while_requests_are_under_way(clock: list[float]) -> None:
    """What is promised to responses may be in use; what is far above that is not, and is given back now and then."""
    process = Process(promised=100 * MIB)
    found = watched(process)
    process.used, process.kept = 170 * MIB, 60 * MIB
    clock[0] = 10.0
    found.check()
    assert process.trims == 0
    process.used, process.promised = 70 * MIB, 1
    process.kept = 70 * MIB
    found.check()
    assert (process.trims, process.kept) == (1, 0)
    process.kept = 70 * MIB
    clock[0] += 2
    found.check()
    assert process.trims == 1
    clock[0] += 2
    found.check()
    assert process.trims == 2


def test_what_is_needed_is_not_asked_for_again(clock: list[float]) -> None:
    """Caches that have filled are given back once in vain, not every time."""
    process = Process()
    found = watched(process)
    process.used += 100 * MIB
    for second in range(10, 20):
        clock[0] = float(second)
        found.check()
    assert process.trims == 1


def test_a_quiet_worker_gives_back_the_rest(clock: list[float]) -> None:
    """Ten seconds after the last response all is given back, and again while images are measured, but no more then."""
    process = Process()
    found = watched(process)
    process.kept = 20 * MIB
    clock[0] = 20.0
    found.check()
    assert process.trims == 0
    process.promised, process.busy = 0, True
    clock[0] = 29.0
    found.check()
    assert process.trims == 0
    clock[0] = 30.0
    found.check()
    assert (process.trims, process.kept) == (1, 0)
    process.busy = False
    trims = []
    for second in range(31, 80):
        clock[0] = float(second)
        found.check()
        trims.append(process.trims)
    assert trims == [1] * 9 + [2] * 40


def test_memory_that_grows_in_a_quiet_worker_is_given_back(clock: list[float]) -> None:
    """What came together between two checks is seen by the memory that there is."""
    process = Process(promised=0)
    found = watched(process)
    for second, kept in ((20.0, 4 * MIB), (40.0, 9 * MIB)):
        clock[0], process.kept = second, kept
        found.check()
    assert (process.trims, process.kept) == (1, 0)


def test_holes_are_given_back() -> None:
    """Half of many blocks, each between two others that are in use, are the system's again."""
    found = subprocess.run(
        [sys.executable, "-c", HOLES], env={**ALLOCATOR}, capture_output=True, text=True, check=True, timeout=60
    )
    assert int(found.stdout) > 20 * MIB
