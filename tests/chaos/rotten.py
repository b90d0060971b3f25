"""A plugin for tests that adds nothing but a bad disk: reads of files under a folder named `rotten` fail with EIO.

Only while a file `failing` lies in that folder. What is read in Python fails, in native libraries not.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

_pread, _preadv = os.pread, os.preadv


def _check(descriptor: int) -> None:
    folder = Path(f"/proc/self/fd/{descriptor}").readlink().parent
    if folder.name == "rotten" and (folder / "failing").exists():
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
