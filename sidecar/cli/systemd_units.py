"""The files of systemd for this installation: the shipped ones, with its own path, settings and address in them."""

from __future__ import annotations

import re
import stat
import sys
import sysconfig
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import typer

from sidecar.cli import shipped_files
from sidecar.errors import StartError

PLACES: Final[Mapping[str, str]] = {
    "sidecar.service": "systemd/system/sidecar.service",
    "sidecar.socket": "systemd/system/sidecar.socket",
    "sysusers.conf": "sysusers.d/sidecar.conf",
    "tmpfiles.conf": "tmpfiles.d/sidecar.conf",
    "sidecar.env": "sidecar/sidecar.env",
}
"""Where each file belongs below /etc."""
OPERATORS: Final = PLACES["sidecar.env"]
"""The file that the operator fills: what is in it stays."""
COMMAND: Final = "/opt/sidecar/bin/sidecar"
SETTINGS: Final = "/etc/sidecar/sidecar.toml"
LISTENS: Final = "ListenStream=127.0.0.1:8183\n"
"""What the shipped files name: the command, the file of settings, the address."""
_PLAIN: Final = re.compile(r"/[\w@+,.:/-]*")
"""Paths that stand in a unit without quotes, and without `%`, which stands for something (systemd.unit(5))."""
_ADDRESS: Final = re.compile(r"(?:[0-9.]*|\[[0-9a-fA-F:.]+\]):[0-9]+")


def installed() -> Path:
    """Return the command of the environment that this runs in."""
    return Path(sysconfig.get_path("scripts")) / "sidecar"


def closed(path: Path) -> Path | None:
    """Return the first folder on the way to a file that others than its owner may not enter."""
    return next((each for each in reversed(path.resolve().parents) if not each.stat().st_mode & stat.S_IXOTH), None)


def files(command: Path, settings: Path | None, bind: str) -> Mapping[str, str]:
    """Return the files by their paths below /etc. Raises StartError for what systemd cannot read.

    `settings`: the file of settings, if it is not the one in /etc; `bind`: as SIDECAR_BIND.
    """
    shipped = shipped_files.folder("systemd")
    listens = "".join(f"ListenStream={_stream(each.strip())}\n" for each in bind.split(","))
    parts = {COMMAND: _plain(command), SETTINGS: _plain(settings or Path(SETTINGS)), LISTENS: listens}
    return {place: _with(parts, (shipped / name).read_text(encoding="utf-8")) for name, place in PLACES.items()}


def show(texts: Mapping[str, str], into: Path | None) -> None:
    """Write the files into a folder, which is /etc in the end, or print them. Raises StartError."""
    for path in (installed(), Path(sys.executable)):
        if folder := closed(path):
            typer.echo(f"warning: {folder} is closed to the user of the service, who cannot run {path}", err=True)
            break
    keeps = into is not None and (into / OPERATORS).exists()
    shipped_files.show({place: text for place, text in texts.items() if not (keeps and place == OPERATORS)}, into)


def _with(parts: Mapping[str, str], text: str) -> str:
    """Return a text with its parts replaced."""
    for part, own in parts.items():
        text = text.replace(part, own)
    return text


def _stream(address: str) -> str:
    """Return an address of SIDECAR_BIND as systemd.socket(5) has it."""
    if address.startswith("unix:"):
        return _plain(Path(address.removeprefix("unix:")))
    host, _, port = address.rpartition(":")
    address = f"127.0.0.1:{port}" if host == "localhost" else address
    if not _ADDRESS.fullmatch(address):
        raise StartError(f"SIDECAR_BIND: systemd can only listen at addresses and paths, not at {address!r}")
    # A port alone is both IPv4 and IPv6.
    return address.removeprefix(":")


def _plain(path: Path) -> str:
    if not _PLAIN.fullmatch(str(path)):
        raise StartError(f"{str(path)!r} cannot be written in a systemd unit")
    return str(path)
