"""Views of native memory.

A ctypes array would do as well, but ctypes makes a class for each length, and classes are reference cycles: every
request would leave some for the garbage collector.
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
    """Return a writable view of `size` bytes at an address. It is valid as long as the owner keeps the memory."""
    found: memoryview = _view(address, size, _WRITABLE)
    return found
