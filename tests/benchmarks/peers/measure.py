"""One round of a workload with one peer, and what its processes took meanwhile (proc(5))."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Final

from tests.benchmarks.peers.peer import Server
from tests.benchmarks.peers.picture import Picture
from tests.benchmarks.peers.results import Round
from tests.benchmarks.peers.workload import Workload
from tests.resilience.processes import Watch, pss, rss

EVERY: Final = 0.02
"""Seconds between samples of memory: a process of opj_decompress lives for some tenths."""
DIGITS: Final = 5
TIMES: Final = slice(11, 15)
"""Of /proc/PID/stat, counted behind the name: user and system time, its own and that of children that have ended."""


def measured(workload: Workload, server: Server, picture: Picture, turn: int) -> Round:
    """Play a round; raises RuntimeError if a response is missing."""
    processes = server.processes
    work, read = spent(server)
    # Counting shared pages properly takes the kernel 30 ms for a gigabyte, so it is done once, afterwards.
    with Watch(processes, rss, EVERY) as watch:
        played = workload.play(server, picture, turn)
    after, read_after = spent(server)
    shared = sum(rss(pid) - pss(pid) for pid in processes())
    return Round(
        round(played.took, DIGITS),
        [round(answer.first, DIGITS) for answer in played.answers],
        [round(answer.last, DIGITS) for answer in played.answers],
        sum(answer.size for answer in played.answers),
        round(after - work, DIGITS),
        read_after - read,
        watch.peak - shared,
    )


def spent(server: Server) -> tuple[float, int]:
    """Return the seconds of processor time and the bytes read of all processes so far, children that ended included."""
    ticks, read = 0, 0
    for pid in server.processes():
        with suppress(OSError):
            fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
            ticks += sum(map(int, fields[TIMES]))
            lines = Path(f"/proc/{pid}/io").read_text(encoding="ascii").splitlines()
            read += next(int(line.split()[1]) for line in lines if line.startswith("rchar"))
    return ticks / os.sysconf("SC_CLK_TCK"), read
