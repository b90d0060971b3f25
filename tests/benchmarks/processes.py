"""Processes beside this one: a far object store, and what memory a process takes."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.benchmarks.files import FILES

LATENCY = 30
"""Milliseconds to the first byte of each answer: S3 within a region."""
MBITS = 400


@contextmanager
def far_store(mbits: float = MBITS, latency: float = LATENCY) -> Iterator[str]:
    """The URL of an object store that serves the pictures' folder as a bucket of its name, far away."""
    command = [sys.executable, "-m", "sidecar.testing.object_store", str(FILES)]
    with subprocess.Popen(
        [*command, "--latency", str(latency), "--mbits", str(mbits)], stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            url = process.stdout.readline().strip() if process.stdout else ""
            if not url:
                raise RuntimeError("the object store does not start")
            yield url
        finally:
            process.terminate()


class Memory:
    """The resident memory of a process, by the kernel's own account (proc(5))."""

    def __init__(self, pid: int | str = "self") -> None:
        self._folder = Path("/proc", str(pid))

    def begin(self) -> None:
        """Forget the peak."""
        (self._folder / "clear_refs").write_text("5", encoding="ascii")
        self._before = self._field("VmRSS")

    def grown(self) -> int:
        """Bytes from what it had at `begin` to its peak since then."""
        return self._field("VmHWM") - self._before

    def kept(self) -> int:
        """Bytes from what it had at `begin` to what it has now."""
        return self._field("VmRSS") - self._before

    def _field(self, name: str) -> int:
        lines = (self._folder / "status").read_text(encoding="ascii").splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name))
