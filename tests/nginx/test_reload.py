"""A wrong setting stops nothing: reloads are checked first, and a socket that nobody can serve is closed."""

from __future__ import annotations

import json
import os
import resource
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.nginx.conftest import Stack
from tests.nginx.peers import HOST, Peer, ask
from tests.nginx.servers import Nginx, Process, Sidecar, listening, wait_for

TILE = "/iiif/3/tiled_512.jp2/512,512,512,512/256,/0/default.jpg"
PLUGIN = """
import os, signal
from pathlib import Path
from sidecar.plugin import hookimpl

SIDECAR_API = 1

@hookimpl
def register_decoders():
    # Only in a worker, whose master names it a folder: the check of a reload finds nothing.
    if "IIIF_SIDECAR_RUNTIME" in os.environ and Path({gate!r}).exists():
        os.kill(os.getpid(), signal.SIGKILL)
    return []
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Return a folder in whose `gate` may be a file: while it is there, a plugin kills each worker that loads it."""
    tmp_path = tmp_path_factory.mktemp("reload")
    plugins = tmp_path / "plugins"
    described = plugins / "moody-1.dist-info"
    described.mkdir(parents=True)
    (plugins / "moody.py").write_text(PLUGIN.format(gate=str(tmp_path / "gate")))
    (described / "METADATA").write_text("Metadata-Version: 2.1\nName: moody\nVersion: 1\n")
    (described / "entry_points.txt").write_text("[sidecar]\nmoody = moody\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join([str(plugins), os.environ.get("PYTHONPATH", "")]))
        patch.setenv("TMPDIR", str(tmp_path))
        yield tmp_path


@pytest.fixture(scope="module")
def module_stack(home: Path, images: Path, session_cantaloupe: Peer, logs: list[Path]) -> Iterator[Stack]:
    """Nginx and a sidecar for this module."""
    sidecar = Sidecar(home, f'workers = 2\ndrain_time = 0.1\n[filesystem]\nroot = "{images}"\n')
    logs.append(sidecar.process.log)
    with Nginx(home / "nginx", sidecar.port, session_cantaloupe.port) as nginx:
        yield Stack(nginx, sidecar, session_cantaloupe)
    sidecar.process.stop(signal.SIGKILL)
    logs.pop()


@pytest.fixture
def stack(module_stack: Stack, cantaloupe: Peer, home: Path) -> Iterator[Stack]:
    """Both, with two workers that serve and an empty log; settings are put right afterwards."""
    del cantaloupe
    settings = home / "sidecar.toml"
    right = settings.read_text()
    wait_for(lambda: module_stack.sidecar.healthy and module_stack.sidecar.serves(2), "both serve")
    os.truncate(module_stack.sidecar.process.log, 0)
    yield module_stack
    settings.write_text(right)
    (home / "gate").unlink(missing_ok=True)


def log(stack: Stack) -> str:
    """What the sidecar has logged."""
    return stack.sidecar.process.log.read_text()


def kind(stack: Stack) -> str | None:
    """The media type of a tile as a client gets it: Cantaloupe's stand-in answers with text."""
    return ask(stack.port, TILE).headers["Content-Type"]


def test_a_reload_with_a_wrong_setting_changes_nothing(stack: Stack, home: Path) -> None:
    """The workers stay and are ready; log and metrics say that it failed. Once the setting is right, it succeeds."""
    settings = home / "sidecar.toml"
    right, before = settings.read_text(), stack.sidecar.workers()
    settings.write_text(f"max_pixels = -5\n{right}")
    os.kill(stack.sidecar.process.pid, signal.SIGHUP)
    failed = "Reload failed, everything stays as it is: SIDECAR_MAX_PIXELS: Input should be greater"
    wait_for(lambda: failed in log(stack), "it is told")
    wait_for(lambda: stack.sidecar.metric("sidecar_last_reload_failed") == 1, "it is known")
    wait_for(lambda: stack.sidecar.metric("sidecar_failed_reloads") >= 1, "it is counted")
    assert stack.sidecar.workers() == before
    assert ask(stack.sidecar.port, "/sidecar/ready").status == 200
    assert kind(stack) == "image/jpeg"
    settings.write_text(right.replace("workers = 2", "workers = 1"))
    os.kill(stack.sidecar.process.pid, signal.SIGHUP)
    wait_for(lambda: not {*stack.sidecar.workers()} & {*before}, "other workers")
    assert len(stack.sidecar.workers()) == 1
    wait_for(lambda: stack.sidecar.metric("sidecar_last_reload_failed") == 0, "it is known")
    assert kind(stack) == "image/jpeg"
    settings.write_text(right)
    os.kill(stack.sidecar.process.pid, signal.SIGHUP)


def test_workers_that_serve_stay_until_new_ones_do(stack: Stack, home: Path) -> None:
    """A reload whose check finds nothing, and whose workers die all the same, leaves the old ones where they are."""
    before = stack.sidecar.workers()
    (home / "gate").touch()
    os.kill(stack.sidecar.process.pid, signal.SIGHUP)
    wait_for(lambda: "everything stays as it is: a new worker could not start" in log(stack), "it is told")
    wait_for(lambda: stack.sidecar.workers() == before, "the old ones alone")
    assert kind(stack) == "image/jpeg"
    assert stack.sidecar.metric("sidecar_workers") == 2


def test_a_socket_that_nobody_can_serve_is_closed(stack: Stack, home: Path) -> None:
    """If all workers crash and none can start, nginx goes elsewhere at once; it comes back when one can start."""
    settings = home / "sidecar.toml"
    right, before = settings.read_text(), stack.sidecar.workers()
    settings.write_text(f'{right}[jpeg]\nlibrary = "/nonexistent.so"\n')
    for worker in before:
        os.kill(worker, signal.SIGKILL)
    wait_for(lambda: not listening(stack.sidecar.port), "the socket is closed")
    assert kind(stack) == "text/plain"
    assert "connections are refused until one can" in log(stack)
    settings.write_text(right)
    wait_for(lambda: stack.sidecar.healthy and stack.sidecar.serves(2), "it serves again")
    assert kind(stack) == "image/jpeg"
    assert "Traceback" not in log(stack)


def test_a_worker_that_cannot_be_replaced_leaves_the_other(stack: Stack, home: Path) -> None:
    """The other goes on to serve; as soon as a worker can start again one does, without a reload."""
    gone, other = stack.sidecar.workers()
    (home / "gate").touch()
    os.kill(gone, signal.SIGKILL)
    wait_for(lambda: log(stack).count("was sent SIGKILL") > 1, "its successor is gone as well")
    assert kind(stack) == "image/jpeg"
    assert stack.sidecar.metric("sidecar_workers") == 1
    (home / "gate").unlink()
    wait_for(lambda: stack.sidecar.serves(2), "two again")
    assert other in stack.sidecar.workers()


def test_an_address_in_use_is_one_line(tmp_path: Path, images: Path) -> None:
    """A start on an address that another process listens on ends at once: a line why, and a status."""
    with socket.create_server((HOST, 0)) as taken:
        address = f"{HOST}:{taken.getsockname()[1]}"
        environment = {**os.environ, "SIDECAR_BIND": address, "SIDECAR_FILESYSTEM_ROOT": str(images)}
        process = Process([sys.executable, "-m", "sidecar", "serve"], tmp_path / "log", environment)
        wait_for(lambda: not process.running, "it ends")
        process.stop(signal.SIGKILL)
    first, line = process.log.read_text().splitlines()
    assert json.loads(first)["event"] == "starting"
    assert f"SIDECAR_BIND: cannot listen on {address}: Address already in use" in line
    assert process.status == 1


def test_few_descriptors_are_enough_for_few_connections(
    tmp_path: Path, images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With 64 descriptors the start warns, idle connections give way to new ones, and nothing stays open."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    sidecar = Sidecar(tmp_path, f'workers = 1\nthreads = 2\n[filesystem]\nroot = "{images}"\n', limit=64)
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == limits
    try:
        (worker,) = sidecar.workers()
        assert "The limit of open files is 64" in sidecar.process.log.read_text()
        with ExitStack() as crowd:
            for _ in range(100):
                crowd.enter_context(socket.create_connection((HOST, sidecar.port)))
            assert {ask(sidecar.port, TILE).status for _ in range(3)} == {200}
        assert sidecar.metric("sidecar_connections_evicted_total") > 0
        wait_for(lambda: len([*Path(f"/proc/{worker}/fd").iterdir()]) < 40, "descriptors are closed")
        assert sidecar.workers() == [worker]
        assert "Too many open files" not in sidecar.process.log.read_text()
    finally:
        sidecar.stop()
