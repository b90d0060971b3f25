"""Source of the sidecar: files below a folder."""

from __future__ import annotations

from collections.abc import Iterable

from sidecar import Config, Section, hookimpl
from sidecar.interfaces import Native, Source
from sidecar_filesystem.place import locate
from sidecar_filesystem.settings import FilesystemSettings
from sidecar_filesystem.source import FilesystemSource

__all__ = ["FilesystemSettings", "FilesystemSource"]


@hookimpl
def register_settings() -> Iterable[type[Section]]:
    """The table `filesystem`."""
    return [FilesystemSettings]


@hookimpl
def register_sources(config: Config, native: Native) -> Iterable[Source]:
    """The folder that is set, if one is. Raises StartError where it is none."""
    place = locate(config.section(FilesystemSettings))
    return [] if place is None else [FilesystemSource(place, native)]
