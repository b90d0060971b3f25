"""The figures of the README: `python plugins/filesystem/tests/measure_filesystem.py FOLDER IDENTIFIER`."""

from __future__ import annotations

import sys
from time import perf_counter_ns

from sidecar_filesystem import FilesystemSettings, FilesystemSource
from sidecar_filesystem.place import locate

from sidecar.plugin import ByteRange, run_inline

ROUNDS = 2000


def main(folder: str, identifier: str) -> None:
    """Print the least time of a look-up and of a read of 20 ranges, in microseconds, without a change of threads."""
    place = locate(FilesystemSettings(root=folder))
    assert place is not None
    source = FilesystemSource(place, run_inline)
    blob = source.find(identifier)
    assert blob is not None
    ranges = [ByteRange(start, start + 500) for start in range(0, 20_000, 1000)]
    for name, call in (("find", lambda: source.find(identifier)), ("read", lambda: blob.read(ranges))):
        times = []
        for _ in range(ROUNDS):
            start = perf_counter_ns()
            call()
            times.append(perf_counter_ns() - start)
        sys.stdout.write(f"{name}: {min(times) / 1000:.0f} µs, median {sorted(times)[ROUNDS // 2] / 1000:.0f}\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
