"""A new version takes over under load, in each of the ways of docs/operate/upgrade.md: no answer is lost or wrong.

Cantaloupe is down all the while, so that nothing but the sidecar can have answered.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from hashlib import sha256
from pathlib import Path

import pytest

from tests.nginx.peers import HOST, ask
from tests.nginx.servers import Nginx, Sidecar, free_port, wait_for

TILES = [f"/iiif/3/tiled_512.jp2/{x},{y},256,256/128,/0/default.jpg" for x in (0, 100, 200) for y in (0, 100, 200)]
WHOLE = "/iiif/3/slide.svs/full/max/0/default.jpg"
CLIENTS = 2
ENOUGH = 12
"""Answers after a new version has taken over."""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder for everything, temporary files included."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    return tmp_path


class Load:
    """Clients that ask for tiles and whole images, again and again, and compare what they get."""

    def __init__(self, port: int, known: dict[str, str]) -> None:
        self._port, self._known = port, known
        self._over = threading.Event()
        self.outcomes: Counter[str] = Counter()
        self._lock = threading.Lock()

    @property
    def right(self) -> int:
        """Right answers so far."""
        return self.outcomes["right"]

    def run(self, number: int) -> None:
        """Ask until it is over."""
        targets = [*TILES[number:], *TILES[:number], *[WHOLE][number:]]
        while not self._over.is_set():
            for target in targets:
                try:
                    answer = ask(self._port, target)
                except OSError as error:
                    outcome = repr(error)
                else:
                    wrong = f"{answer.status} {answer.text[:80]!r} for {target}"
                    outcome = "right" if digest(answer.body) == self._known[target] else wrong
                with self._lock:
                    self.outcomes[outcome] += 1

    def end(self) -> None:
        """Let the clients end."""
        self._over.set()


def digest(body: bytes) -> str:
    """What stands for a body."""
    return sha256(body).hexdigest()


@contextmanager
def load(port: int) -> Iterator[Load]:
    """Ask all the while, and see that every answer was right."""
    made = Load(port, {target: digest(ask(port, target).body) for target in (*TILES, WHOLE)})
    with ThreadPoolExecutor(CLIENTS) as pool:
        clients: list[Future[None]] = [pool.submit(made.run, number) for number in range(CLIENTS)]
        try:
            wait_for(lambda: made.right > ENOUGH, "answers before")
            yield made
            so_far = made.right
            wait_for(lambda: made.right > so_far + ENOUGH, "answers after")
        finally:
            made.end()
    assert [client.exception() for client in clients] == [None] * CLIENTS
    assert {*made.outcomes} == {"right"}, made.outcomes


def toml(images: Path, workers: int = 2) -> str:
    """Settings that all versions here share."""
    return f'workers = {workers}\ndrain_time = 0.1\n[filesystem]\nroot = "{images}"\n[openslide]\nsuffixes = ["svs"]\n'


def test_one_sidecar_after_the_other(home: Path, images: Path) -> None:
    """Two sidecars in nginx's upstream are restarted in turn."""
    with ExitStack() as running:
        sidecars = []
        for name in ("one", "other"):
            (home / name).mkdir()
            sidecars.append(Sidecar(home / name, toml(images, workers=1)))
            running.callback(sidecars[-1].stop)
        one, other = sidecars
        both = f"server {HOST}:{one.port} max_fails=0; server {HOST}:{other.port} max_fails=0"
        edits = {("sidecar.conf", f"server {HOST}:{one.port}"): both}
        nginx = running.enter_context(Nginx(home / "nginx", one.port, free_port(), edits))
        with load(nginx.port):
            for sidecar in sidecars:
                sidecar.process.stop(signal.SIGTERM)
                sidecar.start()


def test_a_second_master_on_the_same_socket(home: Path, images: Path) -> None:
    """SIGUSR2 starts the version that is installed now beside the old one, which is then told to stop."""
    sidecar = Sidecar(home, toml(images))
    former = sidecar.process.pid
    successor = 0
    try:
        with Nginx(home / "nginx", sidecar.port, free_port()) as nginx:
            with load(nginx.port):
                os.kill(former, signal.SIGUSR2)
                wait_for(lambda: len(masters(sidecar)) == 2, "a second master")
                successor = masters(sidecar)[1]
                os.kill(former, signal.SIGTERM)
                wait_for(lambda: not sidecar.process.running, "the old one ends")
            assert Path(f"/proc/{successor}").exists()
    finally:
        for master in {successor, former} - {0}:
            with suppress(ProcessLookupError):
                os.killpg(master, signal.SIGTERM)


def test_a_restart_on_a_socket_that_is_held(home: Path, images: Path) -> None:
    """As with a socket of systemd, which outlives the service: requests wait in it while the new version starts."""
    with (
        socket.create_server((HOST, 0), backlog=256) as held,
        Nginx(home / "nginx", held.getsockname()[1], free_port()) as nginx,
    ):
        sidecar = Sidecar(home, toml(images), held=held)
        try:
            with load(nginx.port):
                sidecar.process.stop(signal.SIGTERM)
                sidecar.start()
        finally:
            sidecar.stop()


def masters(sidecar: Sidecar) -> list[int]:
    """The masters all of whose workers serve, in order."""
    return [int(found) for found in re.findall(r"workers of master (\d+) serve", sidecar.process.log.read_text())]
