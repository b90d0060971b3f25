"""The images of a place, for people who look around: found by walking its folders, within bounds."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import islice
from typing import Final

from sidecar.plugin import SourceError
from sidecar_filesystem.place import Place

_ENTRIES: Final = 100_000
"""Files and folders that are looked at: a folder of millions is not walked to its end because somebody looks."""


def listed(place: Place, suffixes: frozenset[str], most: int) -> Sequence[str]:
    """Return the identifiers of files with some suffixes, sorted, `most` at most; those near the top come first.

    Links to folders are not followed, since they may go round. Blocks. Raises SourceError if the folder cannot be read.
    """
    try:
        found = [*islice(_identifiers(place, suffixes), most)]
    except OSError as error:
        raise SourceError(f"the folder cannot be listed: {error}") from error
    return sorted(found)


def _identifiers(place: Place, suffixes: frozenset[str]) -> Iterator[str]:
    for name in islice(_names(place.folder), _ENTRIES):
        _, dot, suffix = name.rpartition(".")
        if dot and suffix.lower() in suffixes and _is_text(name):
            identifier = name.removeprefix(place.stem).removesuffix(place.suffix)
            if identifier and f"{place.stem}{identifier}{place.suffix}" == name and place.file(identifier) is not None:
                yield identifier


def _names(folder: str) -> Iterator[str]:
    """Yield the names of all entries below a folder, relative to it, folder by folder; folders end in a slash."""
    folders = deque([""])
    while folders:
        inner = folders.popleft()
        # The first must be readable; one below it that is not, or has just gone, is left out.
        with suppress(*([OSError] if inner else [])), os.scandir(f"{folder}/{inner}") as entries:
            for entry in sorted(islice(entries, _ENTRIES), key=lambda each: each.name):
                is_folder = entry.is_dir(follow_symlinks=False)
                name = f"{inner}{entry.name}{'/' * is_folder}"
                if is_folder:
                    folders.append(name)
                yield name


def _is_text(name: str) -> bool:
    """Report whether a name is UTF-8, as identifiers are (RFC 3986 §2.5)."""
    try:
        return bool(name.encode("utf-8"))
    except UnicodeEncodeError:
        return False
