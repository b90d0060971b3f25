"""Settings of the filesystem source."""

from __future__ import annotations

from typing import ClassVar

from sidecar import Section


class FilesystemSettings(Section):
    """Which files are served: the path of one is path_prefix + identifier + path_suffix."""

    table: ClassVar[str] = "filesystem"

    root: str = ""
    """The folder that no answer leaves; empty: the folder that path_prefix names, and without one nothing is served."""
    path_prefix: str = ""
    """Put before the identifier, as `FilesystemSource.BasicLookupStrategy.path_prefix`; a relative one begins at
    root."""
    path_suffix: str = ""
    """Put after the identifier, as `FilesystemSource.BasicLookupStrategy.path_suffix`."""
