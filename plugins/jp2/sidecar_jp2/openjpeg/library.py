"""The choice of OpenJPEG: the newer of the system's library and the copy in Pillow's wheel, bound through glymur."""

from __future__ import annotations

import ctypes
import importlib
import os
import sys
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from ctypes.util import find_library
from pathlib import Path
from types import ModuleType
from typing import Final

import PIL

from sidecar.plugin import StartError

Version = tuple[int, ...]
OLDEST: Version = (2, 5, 0)
"""Older versions have no strict mode: they fill truncated data with grey and report nothing."""
MISSING = (
    "no OpenJPEG of version 2.5 or later can be loaded: install the Debian package libopenjp2-7, or Pillow from a "
    "wheel of PyPI (pip install pillow), which carries one, or name a library in SIDECAR_JP2_LIBRARY"
)

_IN_MEMORY: Final = "/dev/shm"  # noqa: S108  # a folder is made in it, as in the other place


def bind(chosen: str = "") -> ModuleType:
    """Return `glymur.lib.openjp2`, bound to the library at the path `chosen`, or to the newest that loads.

    glymur binds once in a process: if it was imported before, its library is used as it is.
    Raises StartError if no library loads, or if the bound one is too old.
    """
    if "glymur" not in sys.modules:
        with _pointed_at(chosen or _newest()), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # glymur warns of a library that does not load; `version` below decides
            importlib.import_module("glymur")
    module = importlib.import_module("glymur.lib.openjp2")
    if version(module) < OLDEST:
        raise StartError(f"SIDECAR_JP2_LIBRARY={chosen}: {MISSING}" if chosen else MISSING)
    return module


def version(module: ModuleType) -> Version:
    """Return the version of the library that glymur is bound to; (0, 0, 0) if there is none."""
    return _numbers(module.version())


@contextmanager
def _pointed_at(path: str) -> Iterator[None]:
    # As glymur documents: it reads `glymur/glymurrc` in XDG_CONFIG_HOME when it is imported.
    before = os.environ.get("XDG_CONFIG_HOME")
    with ExitStack() as folders:
        try:
            folder = _configuration(path, folders.enter_context(tempfile.TemporaryDirectory()))
        except OSError:  # the disk is full; that is no reason not to start
            folder = _configuration(path, folders.enter_context(tempfile.TemporaryDirectory(dir=_IN_MEMORY)))
        os.environ["XDG_CONFIG_HOME"] = folder
        try:
            yield
        finally:
            if before is None:
                del os.environ["XDG_CONFIG_HOME"]
            else:
                os.environ["XDG_CONFIG_HOME"] = before


def _configuration(library: str, folder: str) -> str:
    settings = Path(folder, "glymur", "glymurrc")
    settings.parent.mkdir()
    settings.write_text(f"[library]\nopenjp2: {library}\n", encoding="utf-8")
    return folder


def _newest() -> str:
    found = [(numbers, path) for path in _candidates() if (numbers := _probe(path))]
    if not found:
        raise StartError(MISSING)
    return max(found, key=lambda pair: pair[0])[1]


def _candidates() -> Iterator[str]:
    if system := find_library("openjp2"):
        yield system
    package = Path(PIL.__file__).parent
    # auditwheel puts a wheel's libraries beside the package (Linux), delocate puts them into it (macOS).
    for folder, pattern in ((package.parent / "pillow.libs", "libopenjp2*.so*"), (package / ".dylibs", "libopenjp2*")):
        yield from map(str, sorted(folder.glob(pattern)))


def _probe(path: str) -> Version | None:
    try:
        ask = ctypes.CDLL(path).opj_version
    except (OSError, AttributeError):
        return None
    ask.restype = ctypes.c_char_p
    return _numbers(ask().decode("ascii"))


def _numbers(text: str) -> Version:
    return tuple(int(part) for part in text.split(".") if part.isdecimal())
