"""OpenSlide's DeepZoom and large_image, each in a small server process of ours: they are libraries."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from tests.benchmarks.peers.front import front
from tests.benchmarks.peers.peer import PLACE, QUALITY, SLIDE, Server, behind
from tests.nginx.peers import HOST
from tests.nginx.servers import Process, free_port, listening, wait_for
from tests.resilience.processes import family

WORKERS: Final = 2
FOLDER: Final = Path(__file__).parent
INSTALLED: Final = PLACE / "large-image" / "bin" / "python"
ABOUT: Final = "import tile_server; print(tile_server.version({!r}))"


@dataclass(frozen=True, slots=True)
class SlideLibrary:
    """A library that reads slides, in gunicorn behind nginx."""

    name: str
    library: str
    """Of `tile_server.LIBRARIES`."""
    python: Path
    """What it is installed in."""
    kinds: Sequence[str] = (SLIDE,)

    @property
    def missing(self) -> str:
        """How to install it, if nobody has."""
        return "" if self.python.exists() else f"`make bench-peers` installs it from PyPI in {PLACE.name}"

    @property
    def version(self) -> str:
        """As it reports itself."""
        command = [str(self.python), "-c", ABOUT.format(self.library)]
        said = subprocess.run(command, cwd=FOLDER, capture_output=True, text=True, check=True).stdout.strip()
        return f"{said} with {WORKERS} workers"

    @contextmanager
    def serve(self, home: Path, images: Path) -> Iterator[Server]:
        """Start its workers, and nginx in front of them."""
        home.mkdir(parents=True, exist_ok=True)
        port = free_port()
        application = f"tile_server:application({self.library!r}, {str(images)!r}, {QUALITY})"
        command = [str(self.python), "-m", "gunicorn", "--bind", f"{HOST}:{port}", "--workers", str(WORKERS)]
        # Threads of gunicorn's keep connections; the libraries' own locks and the interpreter's hold as they do.
        command += ["--threads", "4", "--keep-alive", "30", "--chdir", str(FOLDER), application]
        process = Process(command, home / "gunicorn.log")
        try:
            wait_for(lambda: listening(port) or not process.running, f"{self.name} listens")
            assert process.running, process.log.read_text()
            with front(home / "nginx", [f"{HOST}:{port}"]) as nginx:
                yield behind(nginx.port, partial(family, [process.pid]))
        finally:
            process.stop(signal.SIGTERM)


def deepzoom() -> SlideLibrary:
    """Return OpenSlide's DeepZoom."""
    return SlideLibrary("DeepZoom", "deepzoom", Path(sys.executable))


def large_image() -> SlideLibrary:
    """Return large_image, which stands in an environment of its own."""
    return SlideLibrary("large_image", "large_image", INSTALLED)
