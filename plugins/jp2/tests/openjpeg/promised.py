"""Opens files and reads windows of them, each within the memory that its level promises: a child of the tests.

Arguments: the folder, the bytes of address space beyond the promise, and an expression to evaluate under the limit.
Writes a line of JSON for each window.
"""

from __future__ import annotations

import ctypes
import json
import math
import resource
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from sidecar_jp2.decoder import Jp2Decoder
from sidecar_jp2.extract.extractor import IndexedExtractor
from sidecar_jp2.hollow import Hollow
from sidecar_jp2.index.index_cache import IndexCache
from sidecar_jp2.openjpeg.codec import OpenJpeg
from sidecar_jp2.openjpeg.library import bind
from sidecar_jp2.reader import Jp2Reader
from sidecar_jp2.testing import read

from sidecar.plugin import Blob, Level, Rect, run_inline
from sidecar.testing.fakes import MemoryBlob

CODEC = OpenJpeg(bind())
SIDE = 1500
RESIDENT = 8 * 2**20
"""Bytes by which the system's figures are off."""


def field(name: str) -> int:
    """Return a figure of this process in bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:"))


def in_pieces(level: Level, region: Rect) -> float:
    """Return the area of the pieces of the level's grid that a region touches, at most."""
    if level.grid is None:
        return level.size.area
    width, height = level.grid.width, level.grid.height
    wide, high = (math.ceil(side / step) + 1 for side, step in ((region.width, width), (region.height, height)))
    return min(level.size.area, wide * width * high * height)


def windows(levels: tuple[Level, ...]) -> Iterator[tuple[int, Rect]]:
    """Return a pixel and a larger window of the finest and of the coarsest level."""
    for number in sorted({0, len(levels) - 1}):
        size = levels[number].size
        for side in (1, SIDE):
            yield number, Rect(0, 0, min(size.width, side), min(size.height, side))


def promise(level: Level, region: Rect) -> int:
    """Return the bytes that reading a region may take, those of its pixels and of the codestream included."""
    decoding = level.fixed_bytes + level.pixel_bytes * in_pieces(level, region)
    return int(decoding + level.coded_bytes * level.size.area) + 3 * region.size.area


def opened(blob: Blob) -> tuple[Jp2Reader, IndexCache]:
    """Open a file, with an index of its own."""
    indexes = IndexCache(run_inline, 1 << 25)
    return Jp2Decoder(CODEC, extractors=partial(IndexedExtractor, indexes)).open(blob), indexes


def report(path: Path, slack: int, instead: str) -> None:
    """Read the windows of a file, and write what each promised and took."""
    blob = MemoryBlob(path.name, path.read_bytes())
    reader, indexes = opened(blob)
    for number, region in windows(reader.info.levels):
        promised = promise(reader.info.levels[number], region)
        ctypes.CDLL(None).malloc_trim(0)
        resource.setrlimit(resource.RLIMIT_AS, (field("VmSize") + promised + slack, resource.RLIM_INFINITY))
        if instead:
            eval(instead)  # noqa: S307  # the test's own
        Path("/proc/self/clear_refs").write_text("5")
        before = field("VmRSS")
        read(reader, blob, number, region)
        # Indexes have memory of their own.
        taken = field("VmHWM") - before - indexes.nbytes - RESIDENT
        resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        found = {"name": path.name, "level": number, "taken": max(0, taken), "promised": promised}
        sys.stdout.write(json.dumps(found) + "\n")


def main() -> None:
    """Read the windows of all files."""
    small = MemoryBlob("small.j2k", Hollow(size=(64, 64)).codestream)
    read(opened(small)[0], small)  # the first time loads what is loaded once
    for path in sorted(Path(sys.argv[1]).iterdir()):
        report(path, int(sys.argv[2]), "".join(sys.argv[3:]))


main()
