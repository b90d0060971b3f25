"""OpenSlide, its errors mapped to ours: the only module that knows openslide-python."""

from __future__ import annotations

import ctypes
import importlib
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from sidecar.plugin import DecodeError, SidecarError, Size, StartError, Unsupported

# 4.0.1 mends CVE-2026-48977 (a crafted Ventana file writes where it likes) and CVE-2026-54604 (pixels of memory that
# was never written).
_OLDEST: Final = (4, 0, 1)
_INSTALL: Final = "pip install 'openslide-bin>=4.0.1'"

Scan: TypeAlias = NDArray[np.uint32]
"""Shape (rows, columns), alpha in the highest bits, then red, green and blue, alpha multiplied in (openslide.h)."""


class Slide:
    """An open slide. Reading from several threads at once is safe, closing is not (openslide.h)."""

    def __init__(self, library: Library, handle: Any) -> None:
        self._library = library
        self._handle = handle
        with library.errors_as(Unsupported):
            self.properties: Mapping[str, str] = {**handle.properties}
            self.sizes: Sequence[Size] = [Size(*size) for size in handle.level_dimensions]
            self.downsamples: Sequence[float] = handle.level_downsamples
            # Of no pixels: openslide-python hands the profile out, as it is in the file, with each region.
            self.icc: bytes | None = handle.read_region((0, 0), 0, (0, 0)).info.get("icc_profile")

    def read(self, level: int, x: int, y: int, size: Size) -> Scan:
        """Return pixels of a level as OpenSlide makes them, from a place in pixels of level 0. Raises DecodeError."""
        scan = np.zeros((size.height, size.width), np.uint32)
        first = ctypes.byref(ctypes.c_uint32.from_buffer(scan.data))
        # What openslide-python's read_region calls, before it takes alpha out and makes a picture of Pillow's.
        read, handle = self._library.module.lowlevel._read_region, self._handle._osr  # noqa: SLF001  # see above
        with self._library.errors_as(DecodeError):
            read(handle, first, x, y, level, size.width, size.height)
        return scan

    def close(self) -> None:
        """Close the files. Once only."""
        self._handle.close()


@dataclass(frozen=True, slots=True)
class Library:
    """The loaded library, and the one cache of decoded tiles that all its slides share.

    OpenSlide's own default is a cache of 32 MiB for each handle.
    """

    module: Any
    cache: Any
    cache_bytes: int

    def open(self, path: Path) -> Slide:
        """Open a slide of any format. Raises Unsupported: another decoder may read what OpenSlide refuses."""
        with self.errors_as(Unsupported):
            handle = self.module.OpenSlide(str(path))
            handle.set_cache(self.cache)
        return Slide(self, handle)

    @contextmanager
    def errors_as(self, kind: type[SidecarError]) -> Iterator[None]:
        """Map what OpenSlide raises to an error of ours."""
        try:
            yield
        except self.module.OpenSlideError as error:
            raise kind(f"OpenSlide: {error}") from error


def load(cache_bytes: int) -> Library:
    """Load the library. Raises StartError if it is missing or of an unsafe version."""
    try:
        module = importlib.import_module("openslide")
    except (ImportError, OSError) as error:
        raise StartError(f"OpenSlide is missing ({error}): {_INSTALL}") from error
    version = module.__library_version__
    if _numbers(version) < _OLDEST:
        oldest = ".".join(map(str, _OLDEST))
        raise StartError(f"OpenSlide {version} has known security holes, {oldest} is needed: {_INSTALL}")
    return Library(module, module.OpenSlideCache(cache_bytes), cache_bytes)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(map(int, re.findall(r"\d+", version)[:3]))
