"""Several sidecars on one object store, each as if on a host of its own, and what an nginx in front finds there."""

from __future__ import annotations

import signal
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from sidecar.cli.nginx_fleet import Fleet
from sidecar.cli.nginx_site import NginxSite, files
from tests.nginx.peers import Answer, ask
from tests.nginx.servers import Nginx, Sidecar, free_port

BUCKET: Final = "scans"
AT_ONCE: Final = 2
"""Sidecars that start at the same time: each takes seconds of a processor."""
NAMED: Final = {"server": "add_header X-Answered-By $upstream_addr always;"}
"""A response says which hosts nginx has asked, the last of them answered."""
SETTINGS: Final = """workers = 1
drain_time = 0.1
{more}
[s3]
bucket = "{bucket}"
endpoint = "{url}"
access_key_id = "fleet"
secret_key = "fleet"
"""


def host(number: int) -> str:
    """An address of this machine that stands for a host."""
    return f"127.3.0.{number + 1}"


def answered_by(answer: Answer) -> str:
    """The host that has answered, the last of those that nginx has asked."""
    return answer.headers["X-Answered-By"].rpartition(" ")[2].rpartition(":")[0]


class Sidecars:
    """So many of them with one worker each, all at one port of addresses of their own; by number, from 0."""

    def __init__(self, home: Path, url: str, count: int, *, more: str = "") -> None:
        """`url`: of the object store; `more`: settings of the core."""
        self.port = free_port()
        self._home, self._toml = home, SETTINGS.format(url=url, bucket=BUCKET, more=more)
        self._running = ExitStack()
        self._nginx = 0
        self.all: list[Sidecar] = []
        self._count = count

    def __enter__(self) -> Self:
        """Start all."""
        with self._running, ThreadPoolExecutor(AT_ONCE) as pool:
            self.all += pool.map(self._start, range(self._count))
            self._running = self._running.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Stop all."""
        self._running.close()

    def _start(self, number: int) -> Sidecar:
        home = self._home / f"host{number}"
        home.mkdir()
        # At a port of its own too, where it is asked how it does.
        sidecar = Sidecar(home, self._toml, also=f"{host(number)}:{self.port}")
        self._running.callback(sidecar.stop)
        return sidecar

    @property
    def running(self) -> list[Sidecar]:
        """Those that have not ended."""
        return [sidecar for sidecar in self.all if sidecar.process.running]

    def kill(self, number: int = 0) -> None:
        """End one without any notice, master and worker."""
        self.all[number].process.stop(signal.SIGKILL)

    def revive(self) -> None:
        """Start those again that have ended."""
        for sidecar in self.all:
            if not sidecar.process.running:
                sidecar.start()

    def nginx(self, numbers: Sequence[int], edits: Mapping[tuple[str, str], str] | None = None) -> Nginx:
        """The site that `sidecar nginx --host … --host …` writes for some of them, and no Cantaloupe to step in."""
        return self.nginx_for(self.fleet(numbers), edits)

    def fleet(self, numbers: Sequence[int]) -> Fleet:
        """Some of them, as the site has them."""
        return Fleet([*map(host, numbers)], port=self.port)

    def nginx_for(self, fleet: Fleet, edits: Mapping[tuple[str, str], str] | None = None) -> Nginx:
        """The same for hosts that are found otherwise."""
        self._nginx += 1
        nginx = Nginx(self._home / f"nginx{self._nginx}", self.port, free_port(), include=NAMED)
        rewrite(nginx, fleet, edits)
        return nginx

    def misses(self, number: int) -> float:
        """How many images one of them had to open so far."""
        lines = ask(self.all[number].port, "/sidecar/metrics").text.splitlines()
        name = 'sidecar_cache_lookups_total{cache="readers",result="miss"} '
        return sum(float(line.removeprefix(name)) for line in lines if line.startswith(name))


def rewrite(nginx: Nginx, fleet: Fleet, edits: Mapping[tuple[str, str], str] | None = None) -> None:
    """Write the site's files for a fleet, with edits as an operator makes them: (file, old text) -> new text."""
    texts = dict(files(NginxSite((), fleet=fleet)))
    for (name, old), new in (edits or {}).items():
        assert old in texts[name], f"{old!r} in {name}"
        texts[name] = texts[name].replace(old, new)
    for name, text in texts.items():
        (nginx.folder / "sidecar" / name).write_text(text)
