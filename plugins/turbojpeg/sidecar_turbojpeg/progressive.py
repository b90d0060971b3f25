"""Progressive JPEG: a baseline file whose coefficients are written anew in several scans (ITU-T T.81 G), without loss.

`tjTransform` of libjpeg-turbo 2 and 3 does it. Its copy has neither restart markers nor the file's other tables.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from ctypes import POINTER, Structure, byref, c_char_p, c_int, c_ulong, c_void_p
from typing import Final, TypeAlias

import turbojpeg

from sidecar.plugin import EncodeError, StartError

Rewrite: TypeAlias = Callable[[bytes], bytes]
"""Returns a baseline file as a progressive one with the same pixels. Safe in any thread; raises EncodeError."""


class _Transform(Structure):
    """`tjtransform` of turbojpeg.h: no cropping, no operation, but these options."""

    _fields_ = (
        *((name, c_int) for name in ("x", "y", "width", "height", "operation", "options")),
        ("data", c_void_p),
        ("filter", c_void_p),
    )


_OPTIONS: Final = turbojpeg.TJXOPT_PROGRESSIVE | turbojpeg.TJXOPT_COPYNONE


def load_progressive(path: str) -> Rewrite:
    """Return the transformation by the library at a path. Raises StartError if it has none."""
    try:
        turbo = ctypes.CDLL(path)
        init, run, free, destroy = turbo.tjInitTransform, turbo.tjTransform, turbo.tjFree, turbo.tjDestroy
        error = turbo.tjGetErrorStr2
    except (OSError, AttributeError) as failure:
        raise StartError(f"{path}: {failure}; set SIDECAR_JPEG_PROGRESSIVE_PIXELS=0") from failure
    init.argtypes, init.restype = [], c_void_p
    run.argtypes = [
        *(c_void_p, c_char_p, c_ulong, c_int),
        *(POINTER(c_void_p), POINTER(c_ulong), POINTER(_Transform), c_int),
    ]
    run.restype = c_int
    free.argtypes, free.restype = [c_void_p], None
    destroy.argtypes, destroy.restype = [c_void_p], c_int
    error.argtypes, error.restype = [c_void_p], c_char_p

    def rewrite(jpeg: bytes) -> bytes:
        made, size = c_void_p(), c_ulong()
        handle = init()
        try:
            transform = _Transform(options=_OPTIONS)
            if not handle or run(handle, jpeg, len(jpeg), 1, byref(made), byref(size), byref(transform), 0):
                raise EncodeError(f"libjpeg-turbo: {error(handle).decode(errors='replace')}")
            return ctypes.string_at(made, size.value)
        finally:
            free(made)
            if handle:
                destroy(handle)

    return rewrite
