"""How much memory there is: the cgroup's limit where one is set, else the machine's."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

_LIMITS: Final = (
    Path("/sys/fs/cgroup/memory.max"),  # cgroup v2
    Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),  # cgroup v1
)
_SHARE: Final = 0.5
"""Of all memory: the rest is for the interpreter, its libraries, the page cache that files are read through, nginx."""


def total() -> int:
    """Bytes of memory that all processes of this machine or container may use."""
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return min([machine, *(limit for path in _LIMITS if (limit := _read(path)) is not None)])


def budget(setting: int, workers: int) -> int:
    """Bytes that the work of one worker may take: as set, else its part of the share of all memory."""
    return setting or int(total() * _SHARE / workers)


def _read(path: Path) -> int | None:
    try:
        return int(path.read_text(encoding="ascii"))
    except (OSError, ValueError):  # not there, or `max`
        return None
