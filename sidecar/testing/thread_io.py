"""How many bytes the calling thread reads from files while a call runs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest

_COUNTERS: Final = Path("/proc/thread-self/io")


def bytes_read(call: Callable[[], object]) -> int:
    """Return the bytes that this thread reads by system calls while the call runs, those of other threads not counted.

    Files mapped into memory are not counted either; wake-ups of the event loop are, 8 bytes each. Skips if the system
    does not count (it needs Linux, proc_pid_io(5)).
    """
    first, second = _counted(), _counted()
    call()
    return _counted() - second - (second - first)


def _counted() -> int:
    try:
        counters = dict(line.split(": ") for line in _COUNTERS.read_text().splitlines())
    except OSError as error:
        pytest.skip(f"this system does not count what threads read: {error}")
    return int(counters["rchar"])
