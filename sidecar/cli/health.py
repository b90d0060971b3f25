"""`sidecar health`: asks the sidecar that runs here whether it serves, for containers and scripts.

It loads no plugin, so that it may be called every few seconds.
"""

from __future__ import annotations

import http.client
import json
import socket
import sys
from contextlib import closing
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from sidecar import config as settings
from sidecar import startup
from sidecar.errors import StartError

_UNIX: Final = "unix:"
_ANY: Final = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "[::]": "::1"}  # noqa: S104  # nothing listens here
"""Hosts that stand for every address of the machine, and the one that is asked then."""


def health(
    config: Annotated[
        Path | None, typer.Option("--config", envvar=startup.TOML, metavar="FILE", help="Settings, as TOML.")
    ] = None,
    address: Annotated[
        str, typer.Option(metavar="ADDRESS", help="Where it listens; without, SIDECAR_BIND of this environment.")
    ] = "",
    ready: Annotated[bool, typer.Option("--ready", help="Ask whether requests should be sent there.")] = False,  # noqa: FBT002
    sources: Annotated[bool, typer.Option("--sources", help="The same, and ask far sources, too.")] = False,  # noqa: FBT002
    timeout: Annotated[float, typer.Option(min=0.1, metavar="SECONDS", help="How long to wait.")] = 5.0,
) -> None:
    """Ask the sidecar that runs here whether it serves: the status is 0 if it does, else 1."""
    bind = address or settings.core(settings.load([], config, partly=True)).bind
    target = "/sidecar/health" if not (ready or sources) else "/sidecar/ready" + ("?sources=all" if sources else "")
    where = listener(bind)
    try:
        status, text = ask(where, target, timeout)
    except (OSError, http.client.HTTPException) as error:
        _end(1, f"no answer at {where}: {str(error) or type(error).__name__}")
    _end(0 if status == http.client.OK else 1, text)


def listener(bind: str) -> str:
    """Return the first address of SIDECAR_BIND that can be asked. Raises StartError if there is none."""
    for each in map(str.strip, bind.split(",")):
        if not each.startswith("fd://"):
            return each
    raise StartError(f"{bind}: whoever opened the descriptor knows the address; name it with --address")


def reachable(address: str) -> tuple[str, int]:
    """Return host and port at which an address of SIDECAR_BIND can be asked from this machine."""
    host, _, port = address.rpartition(":")
    return _ANY.get(host, host.strip("[]")), int(port)


def ask(address: str, target: str, timeout: float) -> tuple[int, str]:
    """Return the status of an answer, and what it says, in a line. Raises OSError, HTTPException."""
    with closing(_Connection(address, timeout)) as connection:
        connection.request("GET", target, headers={"Host": "localhost", "Connection": "close"})
        answer = connection.getresponse()
        return answer.status, _line(answer.status, answer.read(1 << 16))


def _line(status: int, body: bytes) -> str:
    try:
        said: dict[str, Any] = json.loads(body)
        wrong = [f"{name}: {what}" for name, what in said.get("sources", {}).items() if what != "readable"]
        return ", ".join([str(said["status"]), *wrong])
    except (ValueError, KeyError, TypeError, AttributeError):
        return f"status {status}: is that the sidecar?"


class _Connection(http.client.HTTPConnection):
    """A connection to an address as SIDECAR_BIND has it."""

    def __init__(self, address: str, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._address = address

    def connect(self) -> None:
        if self._address.startswith(_UNIX):
            self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            self.sock.settimeout(self.timeout)
            self.sock.connect(self._address.removeprefix(_UNIX))
            return
        self.sock = socket.create_connection(reachable(self._address), self.timeout)


def _end(status: int, text: str) -> None:
    print(text, file=sys.stderr if status else sys.stdout)
    raise typer.Exit(status)
