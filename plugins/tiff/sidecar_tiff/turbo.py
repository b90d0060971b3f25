"""libjpeg-turbo: whole or at a half, a quarter, an eighth, by the calls that its versions 2 and 3 share.

Straight into rows of a larger array, which PyTurboJPEG has no argument for; hence ctypes.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from ctypes import c_char_p, c_int, c_ulong, c_void_p
from typing import Final

from sidecar_turbojpeg.library import path_of

from sidecar.plugin import DecodeError, Pixels, StartError

_RGB: Final = 0
"""TJPF_RGB of turbojpeg.h."""
_FATAL: Final = 1
"""TJERR_FATAL. Others are warnings, such as bytes that are too many: pictures are shown all the same."""


class Turbo:
    """The loaded library. Any number of threads may decode at once."""

    def __init__(self, path: str = "") -> None:
        """Load the library at a path, or the system's. Raises StartError if there is none that serves."""
        found = path_of(path)
        try:
            library = ctypes.CDLL(found)
            self._init = library.tjInitDecompress
            self._init.argtypes, self._init.restype = [], c_void_p
            self._decompress = library.tjDecompress2
            self._decompress.argtypes = [c_void_p, c_char_p, c_ulong, c_void_p, *[c_int] * 5]
            self._text = library.tjGetErrorStr2
            self._text.argtypes, self._text.restype = [c_void_p], c_char_p
            self._code = library.tjGetErrorCode
            self._code.argtypes = [c_void_p]
            self._destroy = library.tjDestroy
            self._destroy.argtypes = [c_void_p]
        except (OSError, AttributeError) as error:
            raise StartError(f"the TurboJPEG library {found} does not serve: {error}") from error

    @contextmanager
    def session(self) -> Iterator[Session]:
        """Lend what decodes tiles one after the other. Raises DecodeError."""
        handle = self._init()
        if not handle:
            raise DecodeError("libjpeg-turbo: no memory")
        try:
            yield Session(self, handle)
        finally:
            self._destroy(handle)

    def decode(self, handle: int, jpeg: bytes, into: Pixels) -> None:
        """Decode a file; `into` has the size of the whole, of a half, a quarter or an eighth. Raises DecodeError."""
        height, width, _ = into.shape
        status = self._decompress(handle, jpeg, len(jpeg), into.ctypes.data, width, into.strides[0], height, _RGB, 0)
        if status and self._code(handle) == _FATAL:
            raise DecodeError(f"libjpeg-turbo: {self._text(handle).decode(errors='replace')}")


class Session:
    """Decodes in one thread."""

    def __init__(self, turbo: Turbo, handle: int) -> None:
        self._turbo = turbo
        self._handle = handle

    def decode(self, jpeg: bytes, into: Pixels) -> None:
        """Decode a file into an array whose pixels are adjacent within rows. Raises DecodeError."""
        self._turbo.decode(self._handle, jpeg, into)
