"""The native libraries that are loaded into this process, with the versions that they state themselves."""

from __future__ import annotations

import ctypes
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Final, NamedTuple

_MAPS: Final = Path("/proc/self/maps")
_NAME: Final = re.compile(r"lib(openjp2|openslide|turbojpeg|jpeg|openjph|png\d*|tiff)\b[-.\w]*\.so[.\d]*$")
_TITLES: Final[Mapping[str, str]] = {
    "openjp": "OpenJPEG",
    "openslide": "OpenSlide",
    "turbojpeg": "TurboJPEG",
    "jpeg": "libjpeg",
    "openjph": "OpenJPH",
    "png": "libpng",
    "tiff": "libtiff",
}
_ASKED: Final[Mapping[str, str]] = {
    "openjp": "opj_version",
    "openslide": "openslide_get_version",
    "tiff": "TIFFGetVersion",
}
"""Functions without arguments that return the version, or a text that has it (openjpeg.h, openslide.h, tiffio.h)."""
# libjpeg-turbo has no such function; this is the first line that its programs print (jversion.h).
_TURBO: Final = ("turbojpeg", "jpeg")
_STATED: Final = re.compile(rb"libjpeg-turbo version (\d+(?:\.\d+)+)")
_NUMBER: Final = re.compile(r"\d+(?:\.\d+)+")


class NativeLibrary(NamedTuple):
    """A library, as it is loaded."""

    title: str
    version: str
    """As it states it; empty if it states none."""
    file: str
    """Its file's own name, links resolved."""


def native_libraries() -> list[NativeLibrary]:
    """Return those that codecs are made of; several of one kind if plugins and packages bring their own."""
    return sorted({_library(path) for path in mapped() if _NAME.search(path.name)})


def mapped() -> Iterator[Path]:
    """Yield the files that are mapped into this process (proc_pid_maps(5))."""
    with suppress(OSError):
        lines = _MAPS.read_text(encoding="utf-8", errors="replace").splitlines()
        yield from {Path(line.split(maxsplit=5)[5]) for line in lines if line.count("/") and "/" in line}


@cache
def _library(path: Path) -> NativeLibrary:
    found = _NAME.search(path.name)
    kind, file = found[1].rstrip("0123456789") if found else "", path.resolve().name
    if kind in _ASKED:
        return NativeLibrary(_TITLES[kind], _told(path, _ASKED[kind]), file)
    if kind in _TURBO and (stated := _written(path)):
        return NativeLibrary("libjpeg-turbo", stated, file)
    # The number in a file's name is that of the interface, which here is the version, too.
    number = _NUMBER.search(file.partition(".so")[2]) if kind == "openjph" else None
    return NativeLibrary(_TITLES[kind], number[0] if number else "", file)


def _told(path: Path, function: str) -> str:
    with suppress(OSError, AttributeError):
        ask = getattr(ctypes.CDLL(str(path)), function)
        ask.restype = ctypes.c_char_p
        number = _NUMBER.search((ask() or b"").decode("ascii", "replace"))
        return number[0] if number else ""
    return ""


def _written(path: Path) -> str:
    with suppress(OSError):
        found = _STATED.search(path.read_bytes())
        return found[1].decode("ascii") if found else ""
    return ""
