"""Where identifiers lead: a place from the settings, once; then from identifier to file, never out of the root."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from sidecar.plugin import LocalFile, SourceError, StartError
from sidecar_filesystem.settings import FilesystemSettings


@dataclass(frozen=True, slots=True)
class Place:
    """A file is `folder`/`stem` + identifier + `suffix`, and below `root` once links are resolved."""

    root: str
    folder: str
    stem: str
    suffix: str

    def file(self, identifier: str) -> LocalFile | None:
        """Return the regular file of an identifier; None if that is no plain path, leads nowhere or out of the root.

        A plain path has no empty part and no dots: each file has one spelling, links aside, so that whoever guards
        or caches by identifier knows them all. Blocks. Raises SourceError if the filesystem fails.
        """
        parts = f"{self.stem}{identifier}{self.suffix}".split("/")
        if not identifier or not {"", ".", ".."}.isdisjoint(parts):
            return None
        return LocalFile.find(self.root, "/".join((self.folder, *parts)))

    def check(self) -> None:
        """Look into the folder, which need not be listable. Blocks. Raises SourceError."""
        try:
            os.stat(f"{self.folder}/.")  # noqa: PTH116  # Path would drop the dot, by which the folder is entered
        except OSError as error:
            raise SourceError(f"filesystem: the folder cannot be read: {error}") from error


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
