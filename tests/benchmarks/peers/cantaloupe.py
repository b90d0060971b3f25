"""A Cantaloupe that runs already and serves the same folder: `CANTALOUPE=http://127.0.0.1:8182`."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

from tests.benchmarks.peers.front import front
from tests.benchmarks.peers.peer import JPEG2000, Server, behind
from tests.nginx.peers import HOST
from tests.resilience.processes import family, listeners


@dataclass(frozen=True, slots=True)
class Cantaloupe:
    """The running one, with an nginx of its own in front."""

    name: str = "Cantaloupe"
    kinds: Sequence[str] = (JPEG2000,)
    url: str = field(default_factory=lambda: os.environ.get("CANTALOUPE", ""))

    @property
    def port(self) -> int:
        """Where it listens on this machine."""
        return urlsplit(self.url).port or 80

    @property
    def missing(self) -> str:
        """What names it, if nothing does."""
        if not self.url:
            return "CANTALOUPE=http://127.0.0.1:8182, one that serves BENCH_FILES with max_pixels = 0 and no cache"
        return "" if listeners(self.port) else f"nobody listens on port {self.port} of this machine"

    @property
    def version(self) -> str:
        """As its process shows it."""
        words = " ".join(
            Path(f"/proc/{pid}/cmdline").read_text(encoding="utf-8").replace("\0", " ") for pid in listeners(self.port)
        )
        about = re.search(r"cantaloupe-([0-9.]+[0-9])", words)
        heap = re.search(r"-Xmx(\S+)", words)
        return " ".join(
            (
                about[1] if about else "of unknown version",
                f"with a heap of {heap[1]}" if heap else "with the default heap",
            )
        )

    @contextmanager
    def serve(self, home: Path, images: Path) -> Iterator[Server]:
        """Start nginx in front of it."""
        del images
        running = listeners(self.port)
        with front(home / "nginx", [f"{HOST}:{self.port}"]) as nginx:
            yield behind(nginx.port, partial(family, running))
