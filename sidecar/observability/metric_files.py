"""The files in which workers share their metrics, on a disk that may be full.

prometheus_client makes its files longer without writing to them, and maps them into memory. Such a file has no blocks
on the disk yet (ftruncate(2)): the kernel looks for one when a page is first written, and ends the process with SIGBUS
if there is none (mmap(2)). So blocks are allocated first (posix_fallocate(3)). If that fails, the metrics stay in this
worker's own memory, where no other worker finds them, and the log says so once.
"""

from __future__ import annotations

import mmap
import os
from pathlib import Path
from typing import IO, Any, Final

from prometheus_client import mmap_dict, values

from sidecar.observability.logging import log

_FIRST: Final = 1 << 16
"""Bytes of a new file: as many as prometheus_client gives it."""
_AROUND_KEY: Final = 64
"""More bytes than a value takes besides its key."""
_problems: list[str] = []
"""Why metrics are not shared, since logs are set up after the first metrics are made; the first one is logged."""
_is_reported = False


class AllocatedDict(mmap_dict.MmapedDict):
    """prometheus_client's dictionary, in a file whose every byte is on the disk, or else in memory."""

    _f: Any
    _m: Any
    _capacity: int
    _used: int

    def __init__(self, filename: str, read_mode: bool = False) -> None:  # noqa: FBT001, FBT002  # the base's signature
        """Open the file at a path, or make it. `read_mode`: it exists, and is only read."""
        if read_mode or _is_made(filename):
            super().__init__(filename, read_mode)  # type: ignore[no-untyped-call]  # it has no annotations
        else:
            with _in_memory() as file:
                super().__init__(f"/proc/self/fd/{file.fileno()}")  # type: ignore[no-untyped-call]  # as above

    def _init_value(self, key: str) -> None:
        """Write a new value; make room for it first."""
        if self._used + len(key.encode()) + _AROUND_KEY > self._capacity:
            try:
                os.posix_fallocate(self._f.fileno(), self._capacity, self._capacity)
            except OSError as error:
                self._leave(error)
        super()._init_value(key)  # type: ignore[no-untyped-call]  # it has no annotations

    def _leave(self, error: OSError) -> None:
        """Go on in memory; what the file has so far stays there."""
        _problems.append(str(error))
        file = _in_memory()
        file.write(self._m[:])
        file.flush()
        self._f.close()
        self._f, self._m = file, mmap.mmap(file.fileno(), self._capacity)


def _is_made(filename: str) -> bool:
    """Return whether a file is there, all of it; makes it if it is not."""
    try:
        with Path(filename).open("ab") as file:
            os.posix_fallocate(file.fileno(), 0, max(_FIRST, file.tell()))
    except OSError as error:
        _problems.append(str(error))
        Path(filename).unlink(missing_ok=True)
        return False
    return True


def _in_memory() -> IO[bytes]:
    return os.fdopen(os.memfd_create("metrics"), "w+b")


def allocate() -> None:
    """Let prometheus_client use such files; called before the first metric is made."""
    vars(values)["MmapedDict"] = AllocatedDict  # the one place where it can be changed


def report() -> None:
    """Log that metrics are not shared, once for each worker."""
    global _is_reported  # noqa: PLW0603  # as much a state of the process as its files
    if _problems and not _is_reported:
        _is_reported = True
        log.error("this worker's metrics are not shared: their files cannot be written", problem=_problems[0])
