"""Folders and rights: image roots, caches, and the place for what workers share."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from sidecar.cli.console import size
from sidecar.cli.doctor.finding import Finding
from sidecar.plugin import Folder

_LITTLE: Final = 64 * 2**20
"""Bytes of free space with less than which workers may find no place for what they share."""


def folders(found: Iterable[Folder]) -> Iterator[Finding]:
    """Yield whether each folder of the plugins can be read, and written if it is to be."""
    for folder in found:
        yield _writable(folder.path) if folder.writable else _readable(folder.path)


def shared() -> Iterator[Finding]:
    """Yield whether there is room for what workers share."""
    path = Path(tempfile.gettempdir())
    free = shutil.disk_usage(path).free
    text = f"{path}: what workers share (metrics, journals of crashes) goes there; {size(free)} free"
    if not os.access(path, os.W_OK | os.X_OK):
        yield Finding("folders", "problem", f"{path} cannot be written, and workers share a folder there", "set TMPDIR")
    elif free < _LITTLE:
        yield Finding("folders", "warning", text, "make room, or set TMPDIR to another place")
    else:
        yield Finding("folders", "ok", text)


def _readable(path: Path) -> Finding:
    if not path.exists():
        return Finding("folders", "problem", f"{path} does not exist", "make it, mount it, or change the setting")
    if not os.access(path, os.R_OK | (os.X_OK if path.is_dir() else 0)):
        owner = f"it belongs to user {path.stat().st_uid}, this is user {os.geteuid()}"
        return Finding(
            "folders", "problem", f"{path} cannot be read: {owner}", f"allow it: chmod o+rx {path}, or an ACL"
        )
    closed = _first_closed(path) if path.is_dir() else None
    if closed is not None:
        text = f"{path} can be read, but {closed.name} in it cannot"
        return Finding("folders", "warning", text, "give the user of the service the right to read all images")
    return Finding("folders", "ok", f"{path} can be read")


def _writable(path: Path) -> Finding:
    place = next(each for each in (path, *path.parents) if each.exists())
    if not os.access(place, os.W_OK | os.X_OK):
        text = f"{path} cannot be written" if place == path else f"{path} does not exist and cannot be made in {place}"
        return Finding("folders", "problem", text, f"make it, and give it to user {os.geteuid()}")
    free = shutil.disk_usage(place).free
    if free < _LITTLE:
        return Finding("folders", "warning", f"{path} has {size(free)} free", "make room")
    return Finding(
        "folders", "ok", f"{path} can be written{'' if place == path else ', once it is made'}; {size(free)} free"
    )


def _first_closed(folder: Path) -> Path | None:
    """Return something in a folder that cannot be read, of the first hundred."""
    with os.scandir(folder) as entries:
        for _, entry in zip(range(100), entries, strict=False):
            if not os.access(entry.path, os.R_OK):
                return Path(entry.path)
    return None
