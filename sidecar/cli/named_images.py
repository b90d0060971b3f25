"""The images that arguments of commands name: places in storage, folders, files, identifiers, and lists of these."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from stat import S_ISDIR
from typing import Final

from gevent.socket import wait_read

from sidecar.cli.setting_up import Loaded
from sidecar.plugin import Blob, Decoder, VisitsImages
from sidecar.render.one_file import FileBlob

STDIN: Final = "-"
"""Stands for identifiers, one a line, on the standard input."""
DESCRIPTOR: Final = 0
"""The standard input, from which greenlets read; that of `sys.stdin` would stop all of them."""
_PIECE: Final = 1 << 16


@dataclass(frozen=True, slots=True)
class Named:
    """An image that has been named."""

    name: str
    blob: Callable[[], Blob]
    """Finds it. Raises NotFound, SourceError, SourceChanged."""


def suffixes_of(decoders: Iterable[Decoder]) -> frozenset[str]:
    """Return the suffixes of names that decoders claim."""
    return frozenset(suffix for decoder in decoders for suffix in decoder.suffixes)


def files_below(folder: Path, suffixes: frozenset[str]) -> Iterator[Path]:
    """Yield the files below a folder that have one of the suffixes, sorted within each folder."""
    for parent, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            path = Path(parent, name)
            if _has_suffix(name, suffixes) and path.is_file():
                yield path


def named(tools: Loaded, places: Sequence[str], suffixes: frozenset[str]) -> Iterator[Named]:
    """Yield the images of places: `s3://bucket/prefix`, folders, files, `-` for the standard input, or identifiers.

    They are found one after the other, so that there may be any number. A place that no source lists, and that is no
    path, is an identifier. Raises SourceError if one cannot be listed.
    """
    for place in places:
        path = Path(place)
        mode = _mode(path)
        if place == STDIN:
            lines = filter(None, (line.strip() for line in _lines(DESCRIPTOR)))
            yield from (Named(line, partial(tools.service.blob, line)) for line in lines)
        elif "://" in place and (blobs := _below(tools, place)) is not None:
            yield from (Named(blob.name, partial(_itself, blob)) for blob in blobs if _has_suffix(blob.name, suffixes))
        elif S_ISDIR(mode):
            yield from (Named(str(file), partial(FileBlob.at, file)) for file in files_below(path, suffixes))
        elif mode:
            yield Named(place, partial(FileBlob.at, path))
        else:
            yield Named(place, partial(tools.service.blob, place))


def _mode(path: Path) -> int:
    """Return the mode of a file or folder; 0 if there is none, or can be none of this name."""
    try:
        return path.stat().st_mode
    except (OSError, ValueError):
        return 0


def _lines(descriptor: int) -> Iterator[str]:
    """Yield lines as they come; other greenlets run until then. What is not UTF-8 is replaced, and leads nowhere."""
    rest = b""
    while True:
        wait_read(descriptor)
        piece = os.read(descriptor, _PIECE)
        *lines, rest = (rest + piece).split(b"\n")
        yield from (line.decode("utf-8", "replace") for line in lines)
        if not piece:
            yield rest.decode("utf-8", "replace")
            return


def _below(tools: Loaded, place: str) -> Iterator[Blob] | None:
    found = (source.below(place) for source in tools.registry.sources if isinstance(source, VisitsImages))
    return next((blobs for blobs in found if blobs is not None), None)


def _has_suffix(name: str, suffixes: frozenset[str]) -> bool:
    return name.rpartition(".")[2].lower() in suffixes


def _itself(blob: Blob) -> Blob:
    return blob
