"""Memory that is not Python's, seen from Python.

A ctypes array would show it as well, but ctypes makes a class for each length, and a class refers to itself: every
request would leave some for the collector.
"""

from __future__ import annotations

import ctypes
from typing import Final

_WRITABLE: Final = 0x200
"""PyBUF_WRITE."""
_view = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.c_void_p, ctypes.c_ssize_t, ctypes.c_int)(
    ("PyMemoryView_FromMemory", ctypes.pythonapi)
)


def view(address: int, size: int) -> memoryview:
    """So many bytes from an address on, to read and to write, as long as whoever owns them keeps them."""
    found: memoryview = _view(address, size, _WRITABLE)
    return found
