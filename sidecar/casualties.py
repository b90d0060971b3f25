"""Images that have crashed a worker, remembered for a while by all workers and handed over meanwhile.

Native code that reads what strangers made may crash, and takes its process with it. So each worker keeps a notebook of
the images that its native threads are busy with, in memory mapped from a file, which outlives any death. When a
worker dies, gunicorn's master, which loads no native code, holds an inquest: an image is a casualty when it was the
only one in the notebook, or was there at two deaths; the innocent beside it were there once.

Only deaths that native code can cause count: those by SIGSEGV, SIGBUS, SIGFPE, SIGILL and SIGABRT, which
`faulthandler` has written down, and by the kernel when the cgroup is out of memory. A SIGKILL from an operator or an
orchestrator accuses nobody; nor does gunicorn's SIGABRT to a worker whose loop stands still, which ends it in order,
unless native code that keeps the GIL is what holds it up.
"""

from __future__ import annotations

import faulthandler
import hashlib
import mmap
import os
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sidecar import memory
from sidecar.errors import Casualty

FOLDER: Final = "IIIF_SIDECAR_RUNTIME"
"""The variable by which the master tells its workers the folder they share."""

_SLOT: Final = 16
_SLOTS: Final = 1024
_FREE: Final = bytes(_SLOT)


def digest(image: str) -> bytes:
    """What stands for an image (its etag) in notebooks and names of files."""
    return hashlib.blake2b(image.encode("utf-8", "surrogatepass"), digest_size=_SLOT).digest()


class Notebook:
    """What a worker's native threads are busy with. Safe to use from any thread."""

    def __init__(self, folder: Path, pid: int) -> None:
        """Open it anew, and let faults be written down beside it."""
        self._path, self._fault_path = _paths(folder, pid)
        # How often the kernel had killed for memory before stands first.
        content = memory.oom_kills().to_bytes(_SLOT, "big") + bytes(_SLOT * _SLOTS)
        self._path.write_bytes(content)
        with self._path.open("r+b") as file:
            self._page = mmap.mmap(file.fileno(), len(content))
        self._fault = self._fault_path.open("wb")
        self._watching = False
        self._free = deque(range(_SLOT, len(content), _SLOT))

    def watch_faults(self) -> None:
        """Write down on which of the fatal signals the process dies, and where it was; after others set handlers."""
        faulthandler.enable(self._fault)
        self._watching = True

    @contextmanager
    def noted(self, image: str) -> Iterator[None]:
        """Note an image while native code works on it; '' is no image."""
        try:
            slot = self._free.popleft() if image else 0
        except IndexError:  # more at once than there are lines: better not noted than not done
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
        """The worker ends as it should: nobody is to blame for what happens from here on."""
        if self._watching:
            faulthandler.disable()
        self._fault.close()
        for path in (self._path, self._fault_path):
            path.unlink(missing_ok=True)


def _paths(folder: Path, pid: int) -> tuple[Path, Path]:
    return folder / f"{pid}.notebook", folder / f"{pid}.fault"


class Casualties:
    """The images that are handed over: files whose name is the image and whose time is that of the death."""

    def __init__(self, folder: Path | None, seconds: float) -> None:
        """`seconds`: how long they are; without a folder, or with 0, none is ever."""
        self._folder = (folder / "casualties") if folder and seconds else None
        self._suspects = (folder / "suspects") if folder and seconds else None
        self._seconds = seconds

    def check(self, image: str) -> None:
        """Raise Casualty for an image that is one."""
        if self._folder and self._recent(self._folder / digest(image).hex()):
            raise Casualty("this image has lately crashed or blocked the decoder")

    def add(self, image: bytes) -> None:
        """Hand over an image (its digest) from now on."""
        if self._folder:
            _touch(self._folder / image.hex())

    def suspect(self, image: bytes) -> bool:
        """Note an image that was there when a worker died; whether it had been before, and so is a casualty."""
        if not self._suspects:
            return False
        path = self._suspects / image.hex()
        again = self._recent(path)
        _touch(path)
        return again

    def forget(self) -> None:
        """Remove what is no longer handed over."""
        for place in filter(None, (self._folder, self._suspects)):
            for path in place.glob("*"):
                if not self._recent(path):
                    path.unlink(missing_ok=True)

    def _recent(self, path: Path) -> bool:
        try:
            return time.time() - path.stat().st_mtime < self._seconds
        except FileNotFoundError:
            return False


def _touch(path: Path) -> None:
    # What cleans up temporary folders removes empty ones.
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()


@dataclass(frozen=True, slots=True)
class Verdict:
    """What an inquest found."""

    fault: str
    """What the worker died of; empty where no native code is to blame."""
    busy: int
    """How many images were being worked on."""
    guilty: int
    """How many of them are handed over from now on."""


def inquest(folder: Path, pid: int, casualties: Casualties) -> Verdict:
    """Find out why a worker is gone and which images had to do with it. Runs in the master."""
    notebook, fault_path = _paths(folder, pid)
    fault, page = "", b""
    with suppress(FileNotFoundError):
        fault = fault_path.read_text(encoding="utf-8", errors="replace")
        page = notebook.read_bytes()
    for path in (notebook, fault_path):
        path.unlink(missing_ok=True)
    if not fault and page and memory.oom_kills() > int.from_bytes(page[:_SLOT], "big"):
        fault = "out of memory"
    casualties.forget()
    if not fault:
        return Verdict("", 0, 0)
    lines = (page[at : at + _SLOT] for at in range(_SLOT, len(page), _SLOT))
    busy = {line for line in lines if line != _FREE}
    # Each is noted as a suspect, also the one that is alone.
    guilty = [image for image in busy if casualties.suspect(image) or len(busy) == 1]
    for image in guilty:
        casualties.add(image)
    return Verdict(fault, len(busy), len(guilty))


def folder() -> Path | None:
    """The folder that master and workers share; None outside gunicorn."""
    found = os.environ.get(FOLDER)
    return Path(found) if found else None
