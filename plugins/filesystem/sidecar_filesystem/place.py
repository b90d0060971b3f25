"""Where identifiers lead: a place from the settings, once; then from identifier to address, never out of the root.

An address is looked up in two steps. Links are resolved first, and the result must lie below the root. Then the file
is reached from the root folder by folder, none of them through a link (openat(2), `O_NOFOLLOW`), so that whoever
swaps a folder for a link between the two steps gains nothing.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sidecar.plugin import StartError
from sidecar_filesystem.settings import FilesystemSettings

# Linux: enough to pass through a folder that may be searched but not listed.
_FOLDER: Final = os.O_DIRECTORY | os.O_CLOEXEC | getattr(os, "O_PATH", os.O_RDONLY)
# O_NONBLOCK: opening a FIFO must not wait for a writer. It does nothing to regular files, and no others are read.
_FILE: Final = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY


@dataclass(frozen=True, slots=True)
class Address:
    """A path below a root, without links and dots."""

    root: str
    parts: tuple[str, ...]

    @property
    def path(self) -> Path:
        """The whole path."""
        return Path(self.root, *self.parts)

    def status(self) -> os.stat_result:
        """Return the status of what lies there, not following a link. Raises OSError."""
        with self._parent() as folder:
            return os.stat(self.parts[-1], dir_fd=folder, follow_symlinks=False)

    @contextmanager
    def opened(self) -> Iterator[int]:
        """Open a descriptor to read from, not through a link. Raises OSError."""
        with self._parent() as folder:
            descriptor = os.open(self.parts[-1], _FILE, dir_fd=folder)
        try:
            yield descriptor
        finally:
            os.close(descriptor)

    @contextmanager
    def _parent(self) -> Iterator[int]:
        descriptor = _descend(self.root, self.parts[:-1])
        try:
            yield descriptor
        finally:
            os.close(descriptor)


def _descend(root: str, folders: Sequence[str]) -> int:
    descriptor = os.open(root, _FOLDER)
    for name in folders:
        try:
            below = os.open(name, _FOLDER | os.O_NOFOLLOW, dir_fd=descriptor)
        finally:
            os.close(descriptor)
        descriptor = below
    return descriptor


@dataclass(frozen=True, slots=True)
class Place:
    """A file is `folder`/`stem` + identifier + `suffix`, and below `root` once links are resolved."""

    root: str
    folder: str
    stem: str
    suffix: str

    def address(self, identifier: str) -> Address | None:
        """Return where an identifier leads; None if that is no plain path, or one that leaves the root.

        A plain path has no empty part and no dots: each file has one spelling, links aside, so that whoever guards
        or caches by identifier knows them all. Raises OSError if there is nothing, ValueError if there cannot be
        (NUL, lone surrogates).
        """
        parts = f"{self.stem}{identifier}{self.suffix}".split("/")
        if not identifier or not {"", ".", ".."}.isdisjoint(parts):
            return None
        root = Path(os.path.realpath(self.root, strict=True))
        real = Path(os.path.realpath("/".join((self.folder, *parts)), strict=True))
        inside = real != root and real.is_relative_to(root)
        return Address(str(root), real.relative_to(root).parts) if inside else None


def locate(settings: FilesystemSettings) -> Place | None:
    """Return the place that is set; None if none is. Raises StartError if it cannot be used.

    Cantaloupe joins prefix, identifier and suffix as texts. So does this, and the root is then the last whole folder of
    the prefix: `/images/` in `/images/` as well as in `/images/page-`.
    """
    if not settings.root and not settings.path_prefix:
        return None
    head, slash, stem = settings.path_prefix.rpartition("/")
    root = Path(settings.root or head + slash)
    if not settings.root and not root.is_absolute():
        raise StartError("SIDECAR_FILESYSTEM_ROOT: needed if path_prefix is not an absolute path")
    folder = root / (head + slash)
    _check_folder(root, "SIDECAR_FILESYSTEM_ROOT" if settings.root else "SIDECAR_FILESYSTEM_PATH_PREFIX")
    _check_folder(folder, "SIDECAR_FILESYSTEM_PATH_PREFIX")
    if not folder.resolve().is_relative_to(root.resolve()):
        raise StartError(f"SIDECAR_FILESYSTEM_PATH_PREFIX: {folder} is not below the root {root}")
    return Place(str(root.absolute()), str(folder.absolute()), stem, settings.path_suffix)


def _check_folder(path: Path, variable: str) -> None:
    if not path.is_dir():
        raise StartError(f"{variable}: {path} is not a folder")
