"""All of a site, real but for Cantaloupe: nginx, the sidecar in two workers, and a stand-in that can be taken down."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from tests.nginx.peers import Peer, Request, reply
from tests.nginx.servers import Nginx, Sidecar, wait_for
from tests.resilience.processes import descriptors

GAUGES: Final = ("permits_bytes_in_use", "permits_waiting", "readers_leased", "native_threads_lost")
EDITS: Final = {("sidecar.conf", "keepalive_timeout 4s"): "keepalive_timeout 300ms"}
"""Idle connections are closed early, so that what is left afterwards is a leak."""


def cantaloupes(target: str) -> bytes:
    """Return the stand-in's response to a URL, which is that of no other."""
    return f"cantaloupe's {target}\n".encode()


class Site:
    """The servers while its context lasts."""

    def __init__(
        self, home: Path, images: Path, toml: str = "", *, edits: Mapping[tuple[str, str], str] = EDITS
    ) -> None:
        """`images`: the folder that is served; `toml`: more settings, those of the core first."""
        self._home, self._edits = home, edits
        self._toml = f'workers = 2\ndrain_time = 0.1\n{toml}\n[filesystem]\nroot = "{images}"\n'
        self._servers = ExitStack()
        self.cantaloupe_is_up = True

    def __enter__(self) -> Self:
        self._home.mkdir(parents=True, exist_ok=True)
        with ExitStack() as servers:
            self.cantaloupe = servers.enter_context(Peer(self._stand_in))
            self.sidecar = Sidecar(self._home, self._toml)
            servers.callback(self.sidecar.stop)
            nginx = Nginx(self._home / "nginx", self.sidecar.port, self.cantaloupe.port, self._edits)
            self.port = servers.enter_context(nginx).port
            wait_for(lambda: self.sidecar.serves(2), "two workers")
            self._servers = servers.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._servers.close()

    def _stand_in(self, request: Request, connection: socket.socket) -> bool:
        self.cantaloupe.requests.clear()
        if self.cantaloupe_is_up:
            connection.sendall(reply(200, cantaloupes(request.target), Content_Type="text/plain"))
        return self.cantaloupe_is_up

    @property
    def processes(self) -> list[int]:
        """Of the sidecar: the master and its workers."""
        return [self.sidecar.process.pid, *self.sidecar.workers()]

    @property
    def held(self) -> dict[str, float]:
        """What requests hold at this moment; asking for it is one request itself."""
        found = {name: self.sidecar.metric(f"sidecar_{name}") for name in GAUGES}
        return {**found, "requests": self.sidecar.metric("sidecar_requests_in_flight") - 1}

    def descriptors(self) -> dict[int, list[str]]:
        """The open file descriptors of each process."""
        return {pid: descriptors(pid) for pid in self.processes}

    def rests(self) -> None:
        """Wait until requests hold nothing any more; fails if that takes too long."""
        held: dict[str, float] = {}

        def nothing() -> bool:
            held.update(self.held)
            return not any(held.values())

        # Asked for only once when it is so: asking takes requests, of which the last may still count.
        with suppress(AssertionError):
            wait_for(nothing, "everything is given back")
        assert not any(held.values()), held

    @property
    def log(self) -> str:
        """What the sidecar has written."""
        return self.sidecar.process.log.read_text(errors="replace")
