"""The sidecar, behind nginx with the site's own files."""

from __future__ import annotations

import platform
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import openslide
from sidecar_jp2.openjpeg.library import bind

import sidecar
from tests.benchmarks.peers.peer import JPEG2000, QUALITY, SLIDE, Server, behind
from tests.nginx.servers import Nginx, Sidecar, free_port, wait_for
from tests.resilience.processes import family

WORKERS: Final = 2
SETTINGS: Final = """workers = {workers}
log_level = "warning"
max_pixels = 0
{core}
[jpeg]
quality = {quality}
subsampling = "4:2:0"
[filesystem]
root = "{images}"
"""
EXACT: Final = "[jp2]\nloss_db = 0\n"


@dataclass(frozen=True, slots=True)
class Ours:
    """The sidecar, with more settings than those that all peers have."""

    name: str = "sidecar"
    sections: str = ""
    kinds: Sequence[str] = (JPEG2000, SLIDE)
    missing: str = ""

    @property
    def version(self) -> str:
        """Of all that is under it."""
        bind()
        from glymur.version import openjpeg_version  # noqa: PLC0415  # `bind` chooses the library that it binds to

        return (
            f"{sidecar.__version__} with {WORKERS} workers, Python {platform.python_version()}, "
            f"OpenJPEG {openjpeg_version}, OpenSlide {openslide.__library_version__}"
        )

    @contextmanager
    def serve(self, home: Path, images: Path) -> Iterator[Server]:
        """Start it, and its nginx."""
        settings = SETTINGS.format(workers=WORKERS, quality=QUALITY, images=images, core="")
        running = Sidecar(home, settings + self.sections)
        try:
            with Nginx(home / "nginx", running.port, free_port()) as nginx:
                wait_for(lambda: running.serves(WORKERS), "all workers")
                yield behind(nginx.port, partial(family, [running.process.pid]))
        finally:
            running.stop()


def exact() -> Ours:
    """Return the sidecar that decodes every bit."""
    return Ours("sidecar, loss 0", EXACT, (JPEG2000,))
