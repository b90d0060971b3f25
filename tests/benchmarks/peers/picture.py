"""The pictures that peers serve, all in one folder."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sidecar.plugin import Size
from tests.benchmarks import files
from tests.benchmarks.peers.peer import JPEG2000, SLIDE

SIZ: Final = b"\xff\x4f\xff\x51"
"""SOC and SIZ (ITU-T T.800 A.4.1, A.5.1); the size stands four bytes after them."""
HEAD: Final = 4096


@dataclass(frozen=True, slots=True)
class Picture:
    """A file, and what is known of it without asking a server."""

    name: str
    label: str
    size: Size
    kind: str = JPEG2000


def picture(path: Path) -> Picture:
    """Return a picture of the benchmarks' folder."""
    if path.name == files.SLIDE:
        return Picture(path.name, files.label(path), files.SLIDE_SIZE, SLIDE)
    with path.open("rb") as file:
        head = file.read(HEAD)
    width, height = struct.unpack_from(">2I", head, head.index(SIZ) + 8)
    return Picture(path.name, files.label(path), Size(width, height))
