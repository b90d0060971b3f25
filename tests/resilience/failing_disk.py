"""A plugin for tests that makes a disk fail: reads of files in a folder named `bad_disk` raise EIO.

They do so only while that folder has a file `failing`. Reads in Python fail, those in native libraries do not.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

SIDECAR_API = 1
_pread, _preadv = os.pread, os.preadv


def _check(descriptor: int) -> None:
    folder = Path(f"/proc/self/fd/{descriptor}").readlink().parent
    if folder.name == "bad_disk" and (folder / "failing").exists():
        raise OSError(errno.EIO, os.strerror(errno.EIO))


def pread(descriptor: int, count: int, offset: int, /) -> bytes:
    """As os.pread, from a bad disk."""
    _check(descriptor)
    return _pread(descriptor, count, offset)


def preadv(descriptor: int, buffers: Any, offset: int, flags: int = 0, /) -> int:
    """As os.preadv, from a bad disk."""
    _check(descriptor)
    return _preadv(descriptor, buffers, offset, flags)


os.pread, os.preadv = pread, preadv
