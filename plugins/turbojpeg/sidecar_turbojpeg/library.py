"""libjpeg-turbo: one call that compresses pixels with a restart marker after every MCU row, for both its APIs.

A restart resets the entropy coder (ITU-T T.81 E.1.4), so that the scans of strips can be joined. PyTurboJPEG has no
argument for it. The 2.x library reads it from the environment; the 3.x library no longer does and wants a parameter,
which `tj3Set` takes: hence ctypes there, which works beside any PyTurboJPEG.
"""

from __future__ import annotations

import ctypes
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from ctypes import POINTER, c_char_p, c_int, c_size_t, c_void_p
from ctypes.util import find_library
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Protocol

import numpy as np
import turbojpeg

from sidecar.plugin import EncodeError, Pixels, StartError
from sidecar_turbojpeg.segments import DRI, SOF0, segment

_REMEDY = "install the package libturbojpeg0 (Debian, Ubuntu), or set SIDECAR_JPEG_LIBRARY to its path"
_COMPRESS = 0  # TJINIT_COMPRESS
_QUALITY, _SUBSAMPLING, _RESTART_ROWS = 3, 4, 19  # TJPARAM_*, turbojpeg.h 3.0


@dataclass(frozen=True, slots=True)
class Options:
    """The parameters of a compression, in the numbers of turbojpeg.h."""

    quality: int
    pixel_format: int
    """TJPF_*."""
    subsampling: int
    """TJSAMP_*."""


class Compressor(Protocol):
    """A loaded library."""

    major: ClassVar[int]
    """The major version, which is part of what decides the bytes."""

    def __call__(self, pixels: Pixels, options: Options) -> bytes:
        """Return a baseline JPEG with a restart interval of one MCU row. Safe in any thread; releases the GIL.

        `pixels` are contiguous. Raises EncodeError.
        """
        ...


class _Turbo(turbojpeg.TurboJPEG):  # type: ignore[misc]  # it has no annotations
    """PyTurboJPEG, except for how it copies the result: through a ctypes array.

    That copies twice, and leaves the array's class to the collector: there is one for each length, and it is a cycle.
    """

    def _TurboJPEG__copy_from_buffer(self, address: int, size: int) -> bytes:  # noqa: N802  # its private method
        return ctypes.string_at(address, size)


class Turbo2:
    """libjpeg-turbo 2.x through PyTurboJPEG 1.8."""

    major: ClassVar[int] = 2

    def __init__(self, path: str) -> None:
        # The library asks the environment at each call, and so do other threads: it is set once and stays. The
        # other variables it knows make several scans, or tables of each strip's own, which cannot be joined.
        os.environ["TJ_RESTART"] = "1"
        for name in ("TJ_ARITHMETIC", "TJ_OPTIMIZE", "TJ_PROGRESSIVE"):
            os.environ.pop(name, None)
        self._turbo = _Turbo(path)

    def __call__(self, pixels: Pixels, options: Options) -> bytes:
        with _failures():
            jpeg: bytes = self._turbo.encode(
                pixels,
                quality=options.quality,
                pixel_format=options.pixel_format,
                jpeg_subsample=options.subsampling,
                flags=turbojpeg.TJFLAG_ACCURATEDCT,  # the only DCT that 3.x uses
            )
            return jpeg


class Turbo3:
    """libjpeg-turbo 3.x by the C functions of turbojpeg.h."""

    major: ClassVar[int] = 3

    def __init__(self, path: str) -> None:
        turbo = ctypes.CDLL(path)
        self._init = turbo.tj3Init
        self._init.argtypes, self._init.restype = [c_int], c_void_p
        self._set = turbo.tj3Set
        self._set.argtypes, self._set.restype = [c_void_p, c_int, c_int], c_int
        self._compress = turbo.tj3Compress8
        self._compress.argtypes = [
            *(c_void_p, c_void_p, c_int, c_int, c_int, c_int),
            *(POINTER(c_void_p), POINTER(c_size_t)),
        ]
        self._compress.restype = c_int
        self._error = turbo.tj3GetErrorStr
        self._error.argtypes, self._error.restype = [c_void_p], c_char_p
        self._free = turbo.tj3Free
        self._free.argtypes, self._free.restype = [c_void_p], None
        self._destroy = turbo.tj3Destroy
        self._destroy.argtypes, self._destroy.restype = [c_void_p], None

    def __call__(self, pixels: Pixels, options: Options) -> bytes:
        with _failures(), self._handle() as handle:
            for parameter, value in (
                (_QUALITY, options.quality),
                (_SUBSAMPLING, options.subsampling),
                (_RESTART_ROWS, 1),
            ):
                self._check(handle, self._set(handle, parameter, value))
            return self._run(handle, pixels, options.pixel_format)

    def _run(self, handle: int, pixels: Pixels, pixel_format: int) -> bytes:
        height, width = pixels.shape[:2]
        jpeg, size = c_void_p(), c_size_t()
        try:
            status = self._compress(handle, pixels.ctypes.data, width, 0, height, pixel_format, jpeg, size)
            self._check(handle, status)
            return ctypes.string_at(jpeg, size.value)
        finally:
            self._free(jpeg)

    @contextmanager
    def _handle(self) -> Iterator[int]:
        handle = self._init(_COMPRESS)
        if not handle:
            raise OSError(self._text(None))
        try:
            yield handle
        finally:
            self._destroy(handle)

    def _check(self, handle: int, status: int) -> None:
        if status:
            raise OSError(self._text(handle))

    def _text(self, handle: int | None) -> str:
        text: bytes = self._error(handle)
        return text.decode(errors="replace")


@contextmanager
def _failures() -> Iterator[None]:
    """Map everything that PyTurboJPEG and ctypes raise to EncodeError."""
    try:
        yield
    except (OSError, RuntimeError, TypeError, ValueError, MemoryError, ctypes.ArgumentError) as error:
        raise EncodeError(f"libjpeg-turbo: {error}") from error


def load(path: str = "") -> Compressor:
    """Load the library at a path, or the system's. Raises StartError if there is none that can be used."""
    path = path_of(path)
    try:
        modern = hasattr(ctypes.CDLL(path), "tj3Init")
        compress: Compressor = Turbo3(path) if modern else Turbo2(path)
        _try(compress)
    except (OSError, RuntimeError, AttributeError, EncodeError) as error:
        reason = str(error).partition("\n")[0]
        raise StartError(f"the TurboJPEG library {path} does not serve: {reason}; {_REMEDY}") from error
    return compress


def path_of(path: str) -> str:
    """Return the path of the library that is set, or of the system's. Raises StartError if there is none."""
    return path or _find()


def _find() -> str:
    usual = (path for path in turbojpeg.DEFAULT_LIB_PATHS.get(platform.system(), ()) if Path(path).exists())
    found: str | None = find_library("turbojpeg") or next(usual, None)
    if found is None:
        raise StartError(f"there is no TurboJPEG library; {_REMEDY}")
    return found


def _try(compress: Compressor) -> None:
    """Report whether it writes baseline JPEG with restart intervals: forks like MozJPEG do not. Raises EncodeError."""
    grey = Options(80, turbojpeg.TJPF_GRAY, turbojpeg.TJSAMP_GRAY)
    jpeg = compress(np.zeros((16, 8, 1), np.uint8), grey)
    for marker in (SOF0, DRI):
        segment(jpeg, marker)
