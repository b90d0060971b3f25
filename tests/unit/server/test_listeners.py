"""Addresses are listened on, or refused in one line that names them."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from gunicorn.config import Config  # type: ignore[import-untyped]  # it has no annotations

from sidecar.plugin import StartError
from sidecar.server import listeners


def configured(*bind: str) -> Config:
    """Return gunicorn's configuration with addresses."""
    config = Config()
    config.set("bind", [*bind])
    return config


@contextmanager
def opened(bind: str, *, heard: bool = True) -> Iterator[socket.socket]:
    """Open one address, and close it again."""
    made = listeners.opened(configured(bind), logging.getLogger(), heard=heard)
    yield made[0]
    listeners.closed(made)


def refused(bind: str) -> str:
    """Return the text of the error that an address is refused with."""
    with pytest.raises(StartError) as error, opened(bind):
        pass
    return str(error.value)


def test_addresses_that_cannot_be_had(tmp_path: Path) -> None:
    """Each is one line, by TCP and by Unix socket; the mask of new files stays as it was."""
    mask = os.umask(0o27)
    with opened(f"127.0.0.1:{free()}") as tcp, opened(f"unix:{tmp_path}/socket"):
        port = tcp.getsockname()[1]
        assert refused(f"127.0.0.1:{port}") == (
            f"SIDECAR_BIND: cannot listen on 127.0.0.1:{port}: Address already in use"
        )
        assert refused(f"unix:{tmp_path}/socket").endswith("/socket: Address already in use")
    assert refused("203.0.113.1:80").endswith("203.0.113.1:80: Cannot assign requested address")
    assert refused(f"unix:{tmp_path}/nowhere/socket").endswith("/socket: No such file or directory")
    (tmp_path / "file").touch()
    assert refused(f"unix:{tmp_path}/file").endswith("/file: the file there is no socket")
    assert os.umask(mask) == 0o27


def test_the_socket_of_a_process_that_is_gone_is_replaced(tmp_path: Path) -> None:
    """A path that nobody listens on any more is no hindrance."""
    with socket.socket(socket.AF_UNIX) as gone:
        gone.bind(f"{tmp_path}/socket")
    with opened(f"unix:{tmp_path}/socket"):
        pass
    assert not (tmp_path / "socket").exists()


@pytest.mark.parametrize("unix", [False, True])
def test_a_socket_that_is_not_heard(tmp_path: Path, *, unix: bool) -> None:
    """Connections are refused until it is made to listen."""
    bind = f"unix:{tmp_path}/socket" if unix else f"127.0.0.1:{free()}"
    with opened(bind, heard=False) as made:
        with socket.socket(made.family) as client, pytest.raises(ConnectionRefusedError):
            client.connect(made.getsockname())
        for _ in range(2):
            listeners.listen([made], 5)
        with socket.socket(made.family) as client:
            client.connect(made.getsockname())
            listeners.turn_away([made])
            assert client.recv(1) == b""


def test_sockets_are_kept_whose_addresses_are(tmp_path: Path) -> None:
    """More slots are opened beside those that there are; a slot that cannot be had leaves everything as it was."""
    slots = [f"unix:{tmp_path}/slot.{number}" for number in (1, 2, 3)]
    former = listeners.opened(configured(f"unix:{tmp_path}/all", *slots[:1]), logging.getLogger(), slots[:1])
    more = listeners.opened(configured(f"unix:{tmp_path}/all", *slots), logging.getLogger(), slots, former=former)
    assert more[:2] == former
    assert listeners.slots_of(more, slots) == [None, 0, 1, 2]
    (tmp_path / "slot.4").touch()
    slots.append(f"unix:{tmp_path}/slot.4")
    with pytest.raises(StartError, match=r"SIDECAR_WORKER_BIND: cannot listen on unix:.*slot\.4: the file"):
        listeners.opened(configured(f"unix:{tmp_path}/all", *slots), logging.getLogger(), slots, former=more)
    assert all((tmp_path / f"slot.{number}").is_socket() for number in (1, 2, 3))
    listeners.closed(more)


def free() -> int:
    """Return a port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])
