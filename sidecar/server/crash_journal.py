"""Which images were in progress when a worker crashed.

Native code that reads untrusted files may crash, and ends its process with it. So each worker keeps a journal of the
images that its native threads work on, in memory mapped from a file, which outlives the process. When a worker ends,
gunicorn's master, which loads no native code, reads its journal. An image is quarantined if it was the only one in
progress, or was in progress at two crashes.

Only crashes that native code can cause count: those by SIGSEGV, SIGBUS, SIGFPE, SIGILL and SIGABRT, which
`faulthandler` has written down, and kills by the kernel when the cgroup is out of memory. A SIGKILL from an operator or
an orchestrator quarantines nothing; nor does gunicorn's SIGABRT to a worker whose event loop stands still, which ends
it in order, unless native code that keeps the GIL is what holds it up.
"""

from __future__ import annotations

import faulthandler
import mmap
import os
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sidecar.limits import memory_limit
from sidecar.limits.quarantine import DIGEST_SIZE, Quarantine, digest

_SLOT: Final = DIGEST_SIZE
_SLOTS: Final = 1024
_FREE: Final = bytes(_SLOT)


class CrashJournal:
    """The images that a worker's native threads work on. Safe to use from any thread."""

    def __init__(self, folder: Path, pid: int) -> None:
        """Begin an empty journal; faults are written to a file beside it. Raises OSError if there is no place."""
        self._path, self._fault_path = _paths(folder, pid)
        # How often the kernel had killed for memory before stands first.
        content = memory_limit.oom_kills().to_bytes(_SLOT, "big") + bytes(_SLOT * _SLOTS)
        with self._path.open("w+b") as file:
            # A page of a mapped file that is not on the disk would end the process if the disk is full (mmap(2)).
            os.posix_fallocate(file.fileno(), 0, len(content))
            file.write(content)
            file.flush()
            self._page = mmap.mmap(file.fileno(), len(content))
        self._fault = self._fault_path.open("wb")
        self._watching = False
        self._free = deque(range(_SLOT, len(content), _SLOT))

    def watch_faults(self) -> None:
        """Write down which fatal signal ends the process, and where; called after others have set handlers."""
        faulthandler.enable(self._fault)
        self._watching = True

    @contextmanager
    def recorded(self, image: str) -> Iterator[None]:
        """Record an image while native code works on it; '' is no image."""
        try:
            slot = self._free.popleft() if image else 0
        except IndexError:  # more at once than there are slots: better not recorded than not done
            slot = 0
        if not slot:
            yield
            return
        self._page[slot : slot + _SLOT] = digest(image)
        try:
            yield
        finally:
            self._page[slot : slot + _SLOT] = _FREE
            self._free.append(slot)

    def close(self) -> None:
        """End the journal: the worker ends in order, and no image is suspected of what happens from here on."""
        if self._watching:
            faulthandler.disable()
        self._fault.close()
        for path in (self._path, self._fault_path):
            path.unlink(missing_ok=True)


def _paths(folder: Path, pid: int) -> tuple[Path, Path]:
    return folder / f"{pid}.journal", folder / f"{pid}.fault"


@dataclass(frozen=True, slots=True)
class CrashReport:
    """What a worker's journal shows."""

    fault: str
    """What ended the worker; empty if no native code did."""
    in_progress: int
    """Images that were in progress."""
    quarantined: int
    """Those of them that are handed over from now on."""


def examine_crash(folder: Path, pid: int, quarantine: Quarantine) -> CrashReport:
    """Read the journal of a worker that has ended, and quarantine the images that crashed it. Runs in the master."""
    journal, fault_path = _paths(folder, pid)
    fault, page = "", b""
    with suppress(FileNotFoundError):
        fault = fault_path.read_text(encoding="utf-8", errors="replace")
        page = journal.read_bytes()
    for path in (journal, fault_path):
        path.unlink(missing_ok=True)
    if not fault and page and memory_limit.oom_kills() > int.from_bytes(page[:_SLOT], "big"):
        fault = "out of memory"
    quarantine.expire()
    if not fault:
        return CrashReport("", 0, 0)
    slots = (page[at : at + _SLOT] for at in range(_SLOT, len(page), _SLOT))
    images = {slot for slot in slots if slot != _FREE}
    # Each becomes a suspect, also the one that was alone.
    culprits = [image for image in images if quarantine.suspect(image) or len(images) == 1]
    for image in culprits:
        quarantine.add(image)
    return CrashReport(fault, len(images), len(culprits))
