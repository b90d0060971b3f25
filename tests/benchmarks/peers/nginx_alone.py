"""nginx without a server behind it: what HTTP costs by itself."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from PIL import Image
from sidecar_openslide.sample import tissue

from sidecar.plugin import Size
from tests.benchmarks.peers.front import front
from tests.benchmarks.peers.peer import SLIDE, Server, behind
from tests.nginx.peers import HOST

SIDE, QUALITY = 240, 85
"""As tiles of the slide are stored."""


@dataclass(frozen=True, slots=True)
class NginxAlone:
    """A file, sent for every URL."""

    name: str = "nginx alone"
    kinds: Sequence[str] = (SLIDE,)
    missing: str = ""
    version: str = "one JPEG of 240 by 240 pixels for every URL"

    @contextmanager
    def serve(self, home: Path, images: Path) -> Iterator[Server]:
        """Start nginx."""
        del images
        folder = home / "files"
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(tissue(Size(SIDE, SIDE))).save(folder / "tile.jpg", quality=QUALITY)
        with front(home / "nginx", [f"{HOST}:9"], f"root {folder}; try_files /tile.jpg =404;") as nginx:
            yield behind(nginx.port, list)
