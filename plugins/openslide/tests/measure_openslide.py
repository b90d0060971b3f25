"""The figures of the README: `python plugins/openslide/tests/measure_openslide.py`."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter

import numpy as np
from sidecar_openslide import OpenSlideDecoder
from sidecar_openslide.library import load
from sidecar_openslide.sample import make

from sidecar.plugin import Rect, run_inline
from sidecar.testing.contracts.decoder import read
from sidecar.testing.fakes import on_disk

ROUNDS = 15
SIZES = {"whole.svs": (8192, 6144), "odd.svs": (8203, 6151)}


def least(call: Callable[[], object]) -> float:
    """Milliseconds of the fastest of several calls."""
    times = []
    for _ in range(ROUNDS):
        start = perf_counter()
        call()
        times.append(perf_counter() - start)
    return min(times) * 1000


def say(line: str) -> None:
    """Print a line."""
    sys.stdout.write(f"{line}\n")


def measure_times(path: Path, cache_bytes: int) -> None:
    """Print what opening and reading 512 by 512 pixels take."""
    blob = on_disk(path)
    decoder = OpenSlideDecoder(load(cache_bytes), ["svs"], run_inline)
    say(f"{path.name}, cache of {cache_bytes} bytes: open {least(lambda: decoder.open(blob).close()):.1f} ms")
    reader = decoder.open(blob)
    for level in (0, 1):
        for x in (512, 700):
            time = least(lambda: read(reader, blob, level, Rect(x, x, 512, 512)))  # noqa: B023  # called at once
            say(f"  level {level}, 512 x 512 at {x}: {time:.1f} ms")
    reader.close()


def measure_memory(path: Path, side: int) -> None:
    """Print the peak of resident memory that one read takes beside its pixels; in a process of its own."""
    blob = on_disk(path)
    reader = OpenSlideDecoder(load(0), ["svs"], run_inline).open(blob)
    read(reader, blob, 0, Rect(0, 0, 16, 16))
    pixels = np.ones((side, side, 3), np.uint8)
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    before = resident("VmRSS")
    reader.read(reader.window(0, Rect(0, 0, side, side)), [], pixels)
    say(f"  {side} x {side}: {(resident('VmHWM') - before) / side**2:.1f} bytes a pixel")
    reader.close()


def resident(field: str) -> int:
    """Bytes, by the kernel's own account."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(field))


def main(arguments: Sequence[str]) -> None:
    """Measure all, or the memory of one read."""
    if arguments:
        measure_memory(Path(arguments[0]), int(arguments[1]))
        return
    with TemporaryDirectory() as folder:
        for name, (width, height) in SIZES.items():
            make(Path(folder, name), width, height)
            for cache_bytes in (2**26, 0):
                measure_times(Path(folder, name), cache_bytes)
        for side in ("512", "1024", "4096"):
            subprocess.run([sys.executable, __file__, Path(folder, "whole.svs"), side], check=True)


if __name__ == "__main__":
    main(sys.argv[1:])
