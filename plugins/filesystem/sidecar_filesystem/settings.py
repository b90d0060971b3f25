"""Settings of the filesystem source."""

from __future__ import annotations

from typing import Annotated, ClassVar

from sidecar.plugin import FromCantaloupe, Section


class FilesystemSettings(Section):
    """Which files are served: the path of one is path_prefix + identifier + path_suffix."""

    table: ClassVar[str] = "filesystem"
    cantaloupe_source: ClassVar[str] = "FilesystemSource"

    root: str = ""
    """The folder that holds all images; empty: the folder of path_prefix, and without that nothing is served."""
    path_prefix: Annotated[str, FromCantaloupe("FilesystemSource.BasicLookupStrategy.path_prefix")] = ""
    """Put before the identifier, as `FilesystemSource.BasicLookupStrategy.path_prefix`; a relative one starts at
    root."""
    path_suffix: Annotated[str, FromCantaloupe("FilesystemSource.BasicLookupStrategy.path_suffix")] = ""
    """Put after the identifier, as `FilesystemSource.BasicLookupStrategy.path_suffix`."""
