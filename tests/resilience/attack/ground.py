"""The site under attack: nginx, the sidecar in two workers, a stand-in for Cantaloupe, a secret beside the root."""

from __future__ import annotations

import os
import shutil
import socket
import time
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from sidecar_jp2.testing import colr, ihdr, jp2, picture

from tests.nginx.peers import Peer, Request, reply
from tests.nginx.servers import Nginx, Sidecar, wait_for
from tests.resilience.attack.attack import SURPLUS, Attack, Outcome, Row, Setup
from tests.resilience.attack.probe import Probe
from tests.resilience.attack.wire import Reply, fetch
from tests.resilience.processes import Watch, pss
from tests.resilience.site import GAUGES, cantaloupes

DATA: Final = Path(__file__).parents[2] / "data" / "images"
WORKERS: Final = 2
SECRET: Final = "secret.jp2"  # noqa: S105  # the name of a file that nobody should see
SECRET_SIZE: Final = (57, 43)
TILE: Final = "/iiif/3/probe.jp2/512,512,256,256/max/0/default.jpg"
LARGE: Final = "/iiif/3/slide.svs/full/max/0/default.png"
IMAGES: Final = ("tiled_512.jp2", "odd_1023x767_tiled_300.jp2", "tiny_60x40.jp2", "slide.svs")
SETTINGS: Final = """workers = {workers}
memory_bytes = {memory}
drain_time = 0.1
{core}
[filesystem]
root = "{root}"
"""
TABLES: Final = """[openslide]
suffixes = ["svs", "vms", "mrxs"]
cache_bytes = 16_000_000
[jp2]
index_memory_bytes = 8_000_000
[htj2k]
index_memory_bytes = 4_000_000
"""
"""With caches that leave most of little memory to responses."""
EVERY: Final = 0.1
AFTERMATH: Final = 1.0
"""Seconds after an attack that count for it."""
REST: Final = 15.0


class Ground:
    """The servers while its context lasts, somebody who watches, and what their memory is."""

    def __init__(self, home: Path, setup: Setup) -> None:
        self.setup, self.home = setup, home
        self.images, self.outside = home / "around" / "images", home / "around"
        self.texts: list[str] = []
        """Texts that clients got."""
        self.rest = REST
        """Seconds within which everything that an attack took has to be given back."""
        self._servers = ExitStack()

    def __enter__(self) -> Self:
        self.images.mkdir(parents=True)
        for name in IMAGES:
            shutil.copy(DATA / name, self.images)
        shutil.copy(DATA / IMAGES[0], self.images / "probe.jp2")
        secret = jp2(picture(SECRET_SIZE, "-n", "3"), ihdr(3, SECRET_SIZE), colr(16))
        (self.outside / SECRET).write_bytes(secret)
        with ExitStack() as servers:
            self.cantaloupe = servers.enter_context(Peer(_stand_in))
            self._install(servers)
            (self.home / "site").mkdir()
            self.sidecar = Sidecar(self.home / "site", self.toml())
            servers.callback(self.sidecar.stop)
            self.nginx = servers.enter_context(self._site())
            wait_for(lambda: self.sidecar.serves(WORKERS), "the workers")
            self._warm_up()
            self._probe = servers.enter_context(Probe(self.port, TILE, self.ask(TILE).body))
            self._memory = servers.enter_context(Watch(lambda: self.workers, pss, EVERY))
            self._servers = servers.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._servers.close()

    @property
    def port(self) -> int:
        """Where clients ask: nginx's."""
        return self.nginx.port

    @property
    def workers(self) -> list[int]:
        """Return the processes that work; none while the sidecar is stopped."""
        with suppress(OSError):
            return self.sidecar.workers()
        return []

    def toml(self, more: str = "") -> str:
        """Return the settings, with more of the core's."""
        core, _, tables = f"\n{self.setup.toml}".partition("\n[")
        text = SETTINGS.format(workers=WORKERS, memory=self.setup.memory, root=self.images, core=f"{core}{more}")
        text = text.replace("{cantaloupe}", str(self.cantaloupe.port))
        return text + (f"[{tables}\n" if tables else "") + ("" if "[openslide]" in self.setup.toml else TABLES)

    def ask(self, target: str, port: int = 0, headers: Mapping[str, str] | None = None, patience: float = 30) -> Reply:
        """Ask, through nginx unless for another port, and keep what is said."""
        found = fetch(port or self.port, target, headers=headers, patience=patience)
        if found.kind.startswith("text/"):
            self.texts.append(found.text)
        return found

    def attacked(self, attack: Attack) -> Row:
        """Run an attack, watch, and wait until what it took is given back. Never raises."""
        self._probe.taken()
        first, began = len(self._memory.samples), time.monotonic()
        self.texts.clear()
        try:
            outcome = attack.run(self)
        except Exception as error:  # noqa: BLE001  # an attack that does not work has not been held
            outcome = Outcome(0, [f"the attack itself failed: {type(error).__name__}: {error}"])
        seconds = time.monotonic() - began
        time.sleep(AFTERMATH)
        watched = self._probe.taken()
        memory = max((size for _, size in self._memory.samples[first:]), default=0)
        kept = self._kept()
        return Row(
            attack,
            outcome if not kept else Outcome(outcome.tries, [*outcome.faults, kept], outcome.text),
            watched,
            memory,
            round(SURPLUS * (self.idle_memory + WORKERS * self.setup.memory)),
            seconds,
            self._leaks(),
        )

    @property
    def log(self) -> str:
        """Return what the sidecar has written."""
        return self.sidecar.process.log.read_text(errors="replace")

    def metric(self, name: str) -> float:
        """Return a metric's value, summed over its labels."""
        return self.sidecar.metric(name)

    def _site(self) -> Nginx:
        edits = {(name, old): new for name, old, new in self.setup.edits}
        include = {"server": self.setup.server}
        site = Nginx(self.home / "nginx", self.sidecar.port, self.cantaloupe.port, edits, include)
        path = site.folder / "nginx.conf"
        # As Debian's: an attack on 256 connections would be one on the tests' own settings.
        path.write_text(path.read_text().replace("worker_connections 256", "worker_connections 2048"))
        return site

    def _install(self, servers: ExitStack) -> None:
        """Put the plugin for trouble where Python finds it."""
        if not self.setup.trouble:
            return
        plugins = self.home / "plugins"
        described = plugins / "trouble-1.dist-info"
        described.mkdir(parents=True)
        shutil.copy(Path(__file__).parents[2] / "nginx" / "trouble.py", plugins)
        (described / "METADATA").write_text("Metadata-Version: 2.1\nName: trouble\nVersion: 1\n")
        (described / "entry_points.txt").write_text("[sidecar]\ntrouble = trouble\n")
        before = os.environ.get("PYTHONPATH", "")
        os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (str(plugins), before)))
        servers.callback(os.environ.__setitem__, "PYTHONPATH", before)

    def _warm_up(self) -> None:
        """Ask until each worker has seen everything, and note what they take then."""
        for turn in range(20):
            self.ask(TILE)
            self.ask(f"/iiif/3/{IMAGES[turn % len(IMAGES)]}/full/200,/0/default.{('jpg', 'png')[turn % 2]}")
        self.idle_memory = sum(map(pss, self.workers))

    def _kept(self) -> str:
        """Return what is still held a while after an attack, or why nobody can tell; empty if nothing is."""
        ends, held = time.monotonic() + self.rest, "the sidecar does not answer"
        while time.monotonic() < ends:
            with suppress(OSError, AssertionError, AttributeError):
                gauges = {name: self._gauge(name, ends) for name in GAUGES}
                taken = [f"{value:g} {name}" for name, value in gauges.items() if value]
                if not taken:
                    return ""
                held = f"still held {self.rest:.0f} s later: {', '.join(taken)}"
            time.sleep(0.2)
        return held

    def _gauge(self, name: str, ends: float) -> float:
        """Return a gauge, summed over its labels. Raises OSError if that takes until the end."""
        reply = fetch(self.sidecar.port, "/sidecar/metrics", patience=max(ends - time.monotonic(), 0.1))
        if reply.status != 200:
            raise OSError("no metrics")
        name = f"sidecar_{name}"
        lines = reply.body.decode().splitlines()
        return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith((f"{name} ", f"{name}{{")))

    def _leaks(self) -> list[str]:
        """Return texts to clients that name this machine's folders."""
        found = sorted({text.strip()[:120] for text in self.texts if str(self.home) in text})
        return [f"a text names a path: {text}" for text in found[:1]]


def _stand_in(request: Request, connection: socket.socket) -> bool:
    connection.sendall(reply(200, cantaloupes(request.target), Content_Type="text/plain"))
    return True
