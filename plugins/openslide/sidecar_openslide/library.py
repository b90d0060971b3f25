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
        # What openslide-python calls itself, before it takes alpha out and makes pictures of Pillow's.
        self._low, self._osr = library.module.lowlevel, handle._osr  # noqa: SLF001  # see above
        self._read_region = self._low._read_region  # noqa: SLF001  # see above
        self._read_associated_image = self._low._read_associated_image  # noqa: SLF001  # see above
        with library.errors_as(Unsupported):
            self.properties: Mapping[str, str] = {**handle.properties}
            self.sizes: Sequence[Size] = [Size(*size) for size in handle.level_dimensions]
            self.downsamples: Sequence[float] = handle.level_downsamples
            # Of no pixels: openslide-python hands the profile out, as it is in the file, with each region.
            self.icc: bytes | None = handle.read_region((0, 0), 0, (0, 0)).info.get("icc_profile")

    def read(self, level: int, x: int, y: int, size: Size) -> Scan:
        """Return pixels of a level as OpenSlide makes them, from a place in pixels of level 0. Raises DecodeError."""
        scan = np.zeros((size.height, size.width), np.uint32)
        with self._library.errors_as(DecodeError):
            self._read_region(self._osr, _first(scan), x, y, level, size.width, size.height)
        return scan

    def associated_size(self, name: str) -> Size | None:
        """Return the size of an image beside its own; None if there is none of that name. Raises Unsupported."""
        with self._library.errors_as(Unsupported):
            if name not in self._low.get_associated_image_names(self._osr):
                return None
            return Size(*self._low.get_associated_image_dimensions(self._osr, name))

    def read_associated(self, name: str, size: Size) -> Scan:
        """Return an image beside its own, all of it. Raises DecodeError, if it has another size too."""
        scan = np.zeros((size.height, size.width), np.uint32)
        with self._library.errors_as(DecodeError):
            # OpenSlide is not told how much room there is.
            if Size(*self._low.get_associated_image_dimensions(self._osr, name)) != size:
                raise DecodeError(f"its {name} has no longer {size.width} x {size.height} pixels")
            self._read_associated_image(self._osr, name, _first(scan))
        return scan

    def associated_profile(self, name: str) -> bytes | None:
        """Return the ICC profile of an image beside its own. Raises Unsupported."""
        with self._library.errors_as(Unsupported):
            found: bytes | None = self._low.read_associated_image_icc_profile(self._osr, name)
        return found

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


def _first(scan: Scan) -> Any:
    """Return a pointer to the first pixel."""
    return ctypes.byref(ctypes.c_uint32.from_buffer(scan.data))


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
