"""The sockets that the sidecar listens on: opened at once or refused in one line, closed, and bound again unheard.

gunicorn tries five times, a second apart, and logs two lines each time; what takes an address at the start of a service
rarely leaves it meanwhile.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, Final

from gunicorn import sock as sockets  # type: ignore[import-untyped]  # it has no annotations
from gunicorn import systemd, util

from sidecar.errors import StartError

Address = tuple[str, int] | str
"""As in gunicorn's configuration: host and port, or the path of a Unix socket."""


_TURNED_AWAY: Final = 100
"""Connections in one go: signals have to be looked at as well."""


class _Unheard:
    """Mixed into gunicorn's sockets: they are bound and do not listen, so connections are refused (listen(2))."""

    @staticmethod
    def _is_listening(_sock: socket.socket) -> bool:
        """Keep gunicorn from listening: it does so if a socket does not."""
        return True


_KINDS: Final[dict[tuple[bool, bool], type[Any]]] = {
    (False, True): sockets.UnixSocket,
    (False, False): sockets.TCPSocket,
    (True, False): sockets.TCP6Socket,
}
"""By whether the address is one of IPv6, and whether it is a path."""


def are_given(config: Any) -> bool:
    """Return whether somebody else has opened the sockets: systemd, a former master, or who gave the number of one."""
    former = "GUNICORN_FD" in os.environ
    return former or bool(systemd.listen_fds(False)) or any(isinstance(address, int) for address in config.address)  # noqa: FBT003


def opened(
    config: Any, log: Any, slots: Sequence[str] = (), *, heard: bool = True, former: Sequence[Any] = ()
) -> list[Any]:
    """Open a socket for each address that is set. Raises StartError with one line.

    `slots`: those of the addresses that are slots'; `heard`: whether the sockets listen; if not, a worker that is ready
    makes them (`listen`); `former`: sockets that are open, and kept if their addresses are still set.
    """
    kept = {each.cfg_addr: each for each in former}
    made: list[Any] = []
    for address in config.address:
        if address in kept:
            continue
        try:
            made.append(_opened(address, config, log, heard=heard))
        except OSError as error:
            closed(made)
            setting = "SIDECAR_WORKER_BIND" if address in parsed(slots) else "SIDECAR_BIND"
            raise StartError(f"{setting}: cannot listen on {_written(address)}: {error.strerror or error}") from error
    kept |= {each.cfg_addr: each for each in made}
    return [kept[address] for address in config.address]


def parsed(addresses: Iterable[str]) -> list[Address]:
    """Return addresses as gunicorn has them."""
    return [util.parse_address(each) for each in addresses]


def slots_of(listeners: Iterable[Any], slots: Sequence[str]) -> list[int | None]:
    """Return the number of the slot that each socket belongs to, from 0; None for the others."""
    numbers = {address: number for number, address in enumerate(parsed(slots))}
    # An inherited socket of IPv6 has four parts in its name.
    names = (each.cfg_addr for each in listeners)
    return [numbers.get(name[:2] if isinstance(name, tuple) else name) for name in names]


def _opened(address: tuple[str, int] | str, config: Any, log: Any, *, heard: bool) -> Any:
    kind = _KINDS[isinstance(address, tuple) and ":" in address[0], isinstance(address, str)]
    if not heard:
        kind = type(kind.__name__, (_Unheard, kind), {})
    # Bound here and not by gunicorn, which leaves a socket open that it cannot bind, and its umask as well.
    with ExitStack() as unless_bound:
        made = unless_bound.enter_context(socket.socket(kind.FAMILY))
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if isinstance(address, str):
            _bind_path(made, address, config)
        else:
            made.bind(address)
        if heard:
            made.listen(config.backlog)
        unless_bound.pop_all()
    return kind(address, config, log, fd=made.detach())


def _bind_path(made: socket.socket, path: str, config: Any) -> None:
    """Bind a Unix socket with the rights that are set; what a process has left that is gone is replaced."""
    if Path(path).exists():
        if not Path(path).is_socket():
            raise OSError(None, "the file there is no socket")
        if _answers(path):
            raise OSError(None, "Address already in use")
        Path(path).unlink()
    mask = os.umask(config.umask)
    try:
        made.bind(path)
    finally:
        os.umask(mask)
    util.chown(path, config.uid, config.gid)


def _answers(path: str) -> bool:
    """Return whether a process listens on a Unix socket: its path must not be taken away."""
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(path) == 0


def closed(listeners: Iterable[Any]) -> None:
    """Close sockets that we have opened; the paths of Unix sockets are removed."""
    for listener in listeners:
        with suppress(OSError):  # a path that somebody has removed
            sockets.close_sockets([listener])


def listen(listeners: Iterable[Any], backlog: int) -> None:
    """Let sockets listen that do not yet. Raises OSError if another process does so on their address."""
    for listener in listeners:
        if not listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            listener.listen(backlog)


def turn_away(listeners: Iterable[Any]) -> None:
    """Close the connections that wait at sockets which stay open while nobody serves: nginx asks elsewhere at once."""
    for listener in listeners:
        with suppress(OSError):  # until none waits
            listener.setblocking(False)  # noqa: FBT003  # its only parameter
            for _ in range(_TURNED_AWAY):
                listener.accept()[0].close()


def _written(address: Address) -> str:
    if isinstance(address, tuple):
        host, port = address
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    return f"unix:{address}"
