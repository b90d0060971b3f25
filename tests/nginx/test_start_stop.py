"""The sidecar stopped while it starts, interrupted, or killed: it ends at once, quietly, and nothing stays behind."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.nginx.peers import HOST, ask
from tests.nginx.servers import Sidecar, wait_for

TILE = "/iiif/3/tiled_512.jp2/512,512,512,512/256,/0/default.jpg"
LARGE = "/iiif/3/slide.svs/full/max/0/default.png"


@pytest.fixture
def shared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where sidecars put what is temporary."""
    folder = tmp_path / "tmp"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    return folder


@pytest.fixture
def sidecar(tmp_path: Path, shared: Path, images: Path, logs: list[Path]) -> Iterator[Sidecar]:
    """A sidecar that may be ended in any way."""
    del shared
    toml = f'workers = 2\ndrain_time = 0.1\n[filesystem]\nroot = "{images}"\n'
    running = Sidecar(tmp_path, toml, environment={"GUNICORN_CMD_ARGS": "--graceful-timeout 3600"})
    logs.append(running.process.log)
    yield running
    if running.process.running:
        running.process.stop(signal.SIGKILL)
    logs.pop()


def ends(sidecar: Sidecar, shared: Path) -> None:
    """Wait for the end, less long than gunicorn, as it is set here, waits for workers that hear nothing.

    Nothing is left then.
    """
    wait_for(lambda: not sidecar.process.running, "it ends")
    assert [*shared.iterdir()] == []
    assert "Traceback" not in sidecar.process.log.read_text()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_while_workers_start(sidecar: Sidecar, shared: Path, number: signal.Signals) -> None:
    """Workers that are just being loaded end as well, without a wait for the timeout."""
    sidecar.stop()
    sidecar.launch()
    wait_for(lambda: len(sidecar.workers()) == 2, "workers")
    os.kill(sidecar.process.pid, number)
    ends(sidecar, shared)


def test_an_interrupt_from_the_terminal(sidecar: Sidecar, shared: Path) -> None:
    """Ctrl-C reaches master and workers alike, in the midst of answers too: they end without a traceback."""
    with ExitStack() as clients:
        for _ in range(4):
            client = clients.enter_context(socket.create_connection((HOST, sidecar.port)))
            client.sendall(f"GET {LARGE} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        wait_for(lambda: sidecar.metric("sidecar_readers_leased") > 0, "it works")
        os.killpg(sidecar.process.pid, signal.SIGINT)
        ends(sidecar, shared)


def test_what_a_killed_master_left_is_removed(sidecar: Sidecar, shared: Path) -> None:
    """The next start clears it away, but nothing of those that live or of strangers."""
    (shared / "sidecar-stranger").mkdir()
    (dead,) = shared.glob("sidecar-*/lock")
    sidecar.process.stop(signal.SIGKILL)
    assert dead.exists()
    sidecar.start()
    (alive,) = shared.glob("sidecar-*/lock")
    assert alive != dead
    for _ in range(2):
        before = sidecar.process
        sidecar.launch()  # its port is taken: it gives up after a while, having looked for the dead
        wait_for(lambda: len([*shared.glob("sidecar-*/lock")]) == 2, "another master")
        assert alive.exists()
        sidecar.process.stop(signal.SIGKILL)
        sidecar.process = before
    assert ask(sidecar.port, TILE).status == 200
    assert (shared / "sidecar-stranger").exists()
