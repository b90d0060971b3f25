"""The master while no worker of its own can start."""

from __future__ import annotations

import socket
from pathlib import Path
from types import SimpleNamespace

import pytest
from gunicorn.config import Config  # type: ignore[import-untyped]  # it has no annotations

from sidecar.server import listeners
from sidecar.server.master import Master


def master(path: Path, other: int) -> Master:
    """A master that listens at a path, none of whose workers can start; `other`: the process of another beside it."""
    made = Master.__new__(Master)
    log = SimpleNamespace(error=lambda *_: None, info=lambda *_: None)
    config = Config()
    config.set("bind", [f"unix:{path}"])
    made.__dict__ |= {"log": log, "closed": False, "given": False, "master_pid": 0, "reexec_pid": other}
    made.LISTENERS = listeners.opened(config, log)
    return made


@pytest.mark.parametrize("other", [0, 1])
def test_a_socket_is_closed_unless_another_master_serves_there(tmp_path: Path, other: int) -> None:
    """Alone it refuses connections; after SIGUSR2 the other master's clients find the socket where it was."""
    made = master(path := tmp_path / "socket", other)
    made._close()
    with socket.socket(socket.AF_UNIX) as client:
        reached = client.connect_ex(str(path)) == 0
    assert (reached, made.closed) == (bool(other), not other)
    listeners.closed(made.LISTENERS)
