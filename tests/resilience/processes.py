"""What processes take, by the kernel's own account (proc(5)): memory and file descriptors."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

MB = 1e6


def pss(pid: int) -> int:
    """Bytes of resident memory, shared pages divided among those who share them; 0 for a process that is gone."""
    with suppress(OSError):
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines()
        return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:")) * 1024
    return 0


def rss(pid: int, field: str = "VmRSS") -> int:
    """Bytes of resident memory, or with `VmHWM` the most there ever were; 0 for a process that is gone."""
    with suppress(OSError):
        lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
        return sum(int(line.split()[1]) for line in lines if line.startswith(f"{field}:")) * 1024
    return 0


class Spent(NamedTuple):
    """What a process has had of the machine since its start."""

    seconds: float
    """Of the processors, in the kernel too."""
    faults: int
    """Pages that the kernel has mapped without reading a disk."""


def spent(pid: int) -> Spent:
    """Return what a process has used, by proc_pid_stat(5)."""
    # The name in parentheses may have spaces; the first field after it is the third of all.
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return Spent(sum(map(int, fields[11:13])) / os.sysconf("SC_CLK_TCK"), int(fields[7]))


def descriptors(pid: int) -> list[str]:
    """What each open file descriptor leads to, sorted; numbers of sockets and pipes are left out."""
    found = []
    for path in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):
            found.append(str(path.readlink()).partition(":[")[0])
    return sorted(found)


class Watch:
    """Samples the memory of some processes together, in a thread, while its context lasts."""

    def __init__(self, pids: Callable[[], Iterable[int]], measure: Callable[[int], int], every: float) -> None:
        """`pids` is asked anew for each sample; `every`: seconds."""
        self._pids, self._measure, self._every = pids, measure, every
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.samples: list[tuple[float, int]] = []
        """Seconds since the beginning, bytes."""

    def __enter__(self) -> Self:
        self._began = time.monotonic()
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._over.set()
        self._thread.join()

    @property
    def peak(self) -> int:
        """The largest sample."""
        return max((size for _, size in self.samples), default=0)

    def _run(self) -> None:
        while not self._over.wait(self._every):
            size = sum(map(self._measure, self._pids()))
            self.samples.append((time.monotonic() - self._began, size))


def family(pids: Sequence[int]) -> list[int]:
    """Return processes and their descendants, whichever threads started them (proc(5))."""
    found = [*pids]
    for parent in found:
        for path in Path(f"/proc/{parent}/task").glob("*/children"):
            try:
                children = [int(child) for child in path.read_text(encoding="ascii").split()]
            except OSError:
                continue
            found += (child for child in children if child not in found)
    return found


def listeners(port: int) -> list[int]:
    """Return the processes that listen on a port, of those whose descriptors this user may see (proc(5))."""
    lines = [line.split() for name in ("tcp", "tcp6") for line in Path("/proc/net", name).read_text().splitlines()]
    sockets = {f"socket:[{line[9]}]" for line in lines if line[3] == "0A" and line[1].endswith(f":{port:04X}")}
    found = set()
    for descriptor in Path("/proc").glob("[0-9]*/fd/*"):
        try:
            if str(descriptor.readlink()) in sockets:
                found.add(int(descriptor.parts[2]))
        except OSError:
            continue
    return sorted(found)
