"""Which files a plugin needs while it works: all that its sandboxed worker may see beside what every worker does."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Folder:
    """A folder with all below it, or a file, that workers use after they have started."""

    path: Path
    """Absolute or relative to the working directory; links are resolved at start. If there is nothing, it is passed
    over, unless it is writable: then the folder is made."""
    writable: bool = False
    """Whether files in it are made, changed and removed; else they are read."""
