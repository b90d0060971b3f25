"""Source of the sidecar: files below a folder."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from sidecar.plugin import Config, Folder, Native, Section, Source, hookimpl
from sidecar_filesystem.place import locate
from sidecar_filesystem.settings import FilesystemSettings
from sidecar_filesystem.source import FilesystemSource

__all__ = ["FilesystemSettings", "FilesystemSource"]

SIDECAR_API = 1
"""The version of the plugin API that this was written for."""


@hookimpl
def register_settings() -> Iterable[type[Section]]:
    """Register the table `filesystem`."""
    return [FilesystemSettings]


@hookimpl
def register_sources(config: Config, native: Native) -> Iterable[Source]:
    """Register the folder that is set, if one is. Raises StartError if it is no folder."""
    place = locate(config.section(FilesystemSettings))
    return [] if place is None else [FilesystemSource(place, native)]


@hookimpl
def register_folders(config: Config) -> Iterable[Folder]:
    """Register the root, which workers read. Raises StartError if it is no folder."""
    place = locate(config.section(FilesystemSettings))
    return [] if place is None else [Folder(path=Path(place.root))]
