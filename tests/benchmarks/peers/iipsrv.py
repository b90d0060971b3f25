"""iipsrv, as Debian ships it: four processes that share a socket, as spawn-fcgi starts them."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from tests.benchmarks.peers.front import FASTCGI, front
from tests.benchmarks.peers.peer import JPEG2000, PLACE, QUALITY, Server, behind
from tests.nginx.peers import HOST
from tests.resilience.processes import family

PROCESSES: Final = 4
UNPACKED: Final = PLACE / "iipsrv"
SYSTEM: Final = Path("/usr/lib/iipimage-server/iipsrv.fcgi")
SETTINGS: Final = {
    "JPEG_QUALITY": str(QUALITY),
    "MAX_CVT": "100000",
    "MAX_LAYERS": "-1",
    "OMP_NUM_THREADS": "1",
}
"""No limit of sizes, all quality layers, a processor for each process; all else by default."""
INSTALL: Final = "apt-get install iipimage-server, or `make bench-peers` unpacks it where apt-get has it"


@dataclass(frozen=True, slots=True)
class Iipsrv:
    """Its processes, without a web server of their own."""

    name: str = "iipsrv"
    kinds: Sequence[str] = (JPEG2000,)

    @property
    def program(self) -> Path | None:
        """The installed one, or the one that the make target has unpacked."""
        found = (SYSTEM, UNPACKED / SYSTEM.relative_to("/"))
        return next((path for path in found if path.exists()), None)

    @property
    def missing(self) -> str:
        """How to install it, if nobody has."""
        return "" if self.program else INSTALL

    @property
    def version(self) -> str:
        """Of the Debian package, with OpenJPEG's."""
        about = [package_version(name) for name in ("iipimage-server", "libopenjp2-7")]
        return f"{about[0]} with {PROCESSES} processes, OpenJPEG {about[1]}"

    @contextmanager
    def serve(self, home: Path, images: Path) -> Iterator[Server]:
        """Start the processes, and nginx in front of them."""
        assert self.program, self.missing
        home.mkdir(parents=True, exist_ok=True)
        environment = {**os.environ, **libraries(), **SETTINGS, "FILESYSTEM_PREFIX": f"{images}/"}
        with socket.create_server((HOST, 0), backlog=128) as listening, (home / "iipsrv.log").open("wb") as log:
            address = f"{HOST}:{listening.getsockname()[1]}"
            # FastCGI 2.2: the socket that requests come from is descriptor 0.
            started = [
                subprocess.Popen([self.program], stdin=listening.fileno(), stdout=log, stderr=log, env=environment)
                for _ in range(PROCESSES)
            ]
            try:
                with front(home / "nginx", [address], FASTCGI) as nginx:
                    yield behind(nginx.port, partial(family, [process.pid for process in started]))
            finally:
                for process in started:
                    process.kill()
                    process.wait()


def libraries() -> Mapping[str, str]:
    """Return the environment that finds the libraries that were unpacked with it."""
    folders = sorted({str(path.parent) for path in UNPACKED.rglob("*.so.*")})
    return {"LD_LIBRARY_PATH": ":".join(folders)} if folders else {}


def package_version(name: str) -> str:
    """Return the version of a Debian package, installed or to be had; empty where there is no Debian."""
    for command, pattern in (
        (["dpkg-query", "-W", "-f", "${Version}", name], r"(.+)"),
        (["apt-cache", "policy", name], r"Candidate: (.+)"),
    ):
        if shutil.which(command[0]):
            said = subprocess.run(command, capture_output=True, text=True, check=False).stdout
            if found := re.search(pattern, said):
                return found[1]
    return ""
