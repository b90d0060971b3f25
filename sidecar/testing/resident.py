"""The peak of this process's resident memory while a call runs: native allocations, which tracemalloc cannot see."""

from __future__ import annotations

import ctypes
import gc
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest

SLACK: Final = 4 * 2**20
"""Bytes by which the system's figures are off: pages counted late, huge pages, tables that a library makes once."""
_STATUS: Final = Path("/proc/self/status")
_RESET: Final = Path("/proc/self/clear_refs")
_ATTEMPTS: Final = 3


def growth(call: Callable[[], object], enough: float) -> int:
    """Return by how many bytes resident memory grew at most while the call ran: the least of a few attempts.

    What other parts of the process allocate at the same time only adds, so the first attempt with `enough` bytes or
    fewer is the last. Skips if the system cannot reset the peak (it needs Linux, proc_pid_clear_refs(5)).
    """
    return min(_attempts(call, enough))


def _attempts(call: Callable[[], object], enough: float) -> list[int]:
    found: list[int] = []
    while len(found) < _ATTEMPTS and min(found, default=enough + 1) > enough:
        before = _reset()
        call()
        found.append(_kilobytes("VmHWM") * 1024 - before)
    return found


def _reset() -> int:
    """Let the peak be what is resident now, with all free memory given back, and return that."""
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc's
    if trim:
        trim(0)
    try:
        _RESET.write_text("5")
    except OSError as error:
        pytest.skip(f"this system cannot reset the peak of resident memory: {error}")
    return _kilobytes("VmRSS") * 1024


def _kilobytes(field: str) -> int:
    for line in _STATUS.read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1])
    pytest.skip(f"this system does not report {field}")
