"""How much memory there is, and how glibc keeps it: the smallest limit of the process's cgroups, else the machine's.

Limits are set anywhere on the way from the process's own cgroup to the root, by systemd, a container runtime or
Kubernetes, and which part of that tree is visible depends on the namespace (cgroups(7), cgroup_namespaces(7)).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

_SHARE: Final = 0.5
"""Of all memory: the rest is for the interpreter, its libraries, the page cache that files are read through, nginx."""


ALLOCATOR: Final = {
    # One arena for each decoder thread lets memory grow without a leak; two are enough here.
    "MALLOC_ARENA_MAX": "2",
    # OpenJPEG asks for the same large blocks for every tile: kept, their pages need not be mapped and zeroed anew.
    # glibc takes no mmap threshold above 32 MiB (mallopt(3)).
    "MALLOC_MMAP_THRESHOLD_": str(32 * 2**20),
    # What a tile takes is kept, what a piece of a large answer takes on top is given back (`make bench ONLY=f`).
    "MALLOC_TRIM_THRESHOLD_": str(32 * 2**20),
}
"""For glibc, which reads them before any of our code runs."""


def total(root: Path = Path("/")) -> int:
    """Return the bytes of memory that all processes of this machine or container may use. `root`: of the filesystem."""
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    # memory.max is `max` if there is no limit, memory.limit_in_bytes (v1) a number beyond any machine.
    names = ("memory.max", "memory.limit_in_bytes")
    limits = (_read(place / name) for place in _places(root) for name in names)
    return min([machine, *(int(limit) for limit in limits if limit.isdecimal())])


def budget(setting: int, workers: int, kept: int = 0) -> int:
    """Return the bytes that all responses of one worker may take.

    That is what is set, else its part of a share of all memory, without the bytes `kept` between responses; at least
    half of it is for responses.
    """
    every = _every(setting, workers)
    return max(every - kept, every // 2)


def kept_part(setting: int, workers: int, kept: int) -> float:
    """Return which part of the bytes that are to be `kept` between responses fits in beside the budget, 1 for all."""
    rest = _every(setting, workers) - budget(setting, workers, kept)
    return rest / kept if kept > rest else 1.0


def _every(setting: int, workers: int) -> int:
    return setting or int(total() * _SHARE / workers)


def oom_kills(root: Path = Path("/")) -> int:
    """Return how many processes the kernel has killed for lack of memory in this process's cgroup; 0 if unknown."""
    for place in _places(root):
        for name in ("memory.events", "memory.oom_control"):
            for line in _read(place / name).splitlines():
                key, _, count = line.partition(" ")
                if key == "oom_kill":
                    return int(count)
    return 0


def _places(root: Path) -> Iterator[Path]:
    """Return the folders of the memory cgroups that this process is in, its own first, then those around it."""
    for line in _read(root / "proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers == "" or "memory" in controllers.split(","):
            for top, mounted in _mounts(root, v1=bool(controllers)):
                # In a namespace or container the path may lie outside what is mounted: then the mount is the place.
                inside = Path(path).is_relative_to(top) and ".." not in Path(path).parts
                own = mounted / Path(path).relative_to(top) if inside else mounted
                yield own
                yield from (place for place in own.parents if place.is_relative_to(mounted))


def _mounts(root: Path, *, v1: bool) -> Iterator[tuple[Path, Path]]:
    """(what is mounted, where) of the memory hierarchy; proc_pid_mountinfo(5) says how the lines are made."""
    for line in _read(root / "proc/self/mountinfo").splitlines():
        before, _, after = line.partition(" - ")
        kind, _, options = after.split(" ", 2)
        if (kind == "cgroup" and "memory" in options.split(",")) if v1 else kind == "cgroup2":
            fields = before.split(" ")
            yield Path(fields[3]), root / fields[4].lstrip("/")


def _read(path: Path) -> str:
    with suppress(OSError, UnicodeDecodeError):
        return path.read_text(encoding="ascii").strip()
    return ""
