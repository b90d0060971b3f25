"""While no worker serves, nobody waits for one: nginx asks Cantaloupe at once."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.nginx.conftest import Stack
from tests.nginx.peers import Peer, ask
from tests.nginx.servers import Nginx, Sidecar, listening, wait_for

TILE = "/iiif/3/tiled_512.jp2/512,512,512,512/256,/0/default.jpg"


@pytest.fixture
def own(tmp_path: Path, images: Path, cantaloupe: Peer, logs: list[Path]) -> Iterator[Stack]:
    """Yield servers that may be hurt."""
    sidecar = Sidecar(tmp_path, f'workers = 2\ndrain_time = 0.1\n[filesystem]\nroot = "{images}"\n')
    logs.append(sidecar.process.log)
    with Nginx(tmp_path / "nginx", sidecar.port, cantaloupe.port) as nginx:
        yield Stack(nginx, sidecar, cantaloupe)
    sidecar.process.stop(signal.SIGKILL)
    logs.pop()


def test_all_workers_killed_at_once(own: Stack) -> None:
    """Those who come before a new worker serves are answered by Cantaloupe; then the sidecar answers again."""
    wait_for(lambda: "All 2 workers" in own.sidecar.process.log.read_text(), "both serve")
    for worker in own.sidecar.workers():
        os.kill(worker, signal.SIGKILL)
    assert ask(own.port, TILE).text == "cantaloupe's answer"
    wait_for(lambda: own.sidecar.healthy, "a new worker answers")
    assert ask(own.port, TILE).headers["Content-Type"] == "image/jpeg"


def test_a_start_refuses_until_a_worker_is_ready(own: Stack) -> None:
    """Whoever is taken at start is answered by the sidecar; until then Cantaloupe answers."""
    own.sidecar.stop()
    own.sidecar.launch()
    refused = 0
    while not listening(own.sidecar.port):
        refused += ask(own.port, TILE).text == "cantaloupe's answer"
    assert refused
    assert ask(own.port, TILE).headers["Content-Type"] == "image/jpeg"
