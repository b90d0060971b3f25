"""The files that OpenSlide opens for a slide: all of them regular, below the root, and unchanged while it is read.

OpenSlide follows what a slide says of its other files wherever that leads, and opens whatever it finds. So the names
are looked at first, whichever format OpenSlide will take the file for, and in more places than it looks: what it would
not open does no harm here.

====================  =============================================================================================
Hamamatsu VMS, VMU    images, map and macro image named in the file, beside it
MIRAX                 `Slidedat.ini` and the files named there, in a folder beside the file
DICOM                 every file of the folder
Trestle               the file with the suffix `.Full`
Sakura                what SQLite puts beside a database
====================  =============================================================================================
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from sidecar.plugin import SIGNATURE_BYTES, ByteRange, LocalFile, Malformed, Unsupported

# A key file as GLib reads it: spaces around the key and before the value are left out, `#` begins a comment.
_VMS: Final = re.compile(rb"^\s*(?:ImageFile[^=\n]*|MapFile|OptimisationFile|MacroImage)\s*=([^\n]*)", re.MULTILINE)
_VMS_GROUP: Final = b"Virtual Microscope Specimen]"
_VMS_SIZE: Final = 64 << 10
_MIRAX: Final = re.compile(rb"^\s*(?:FILE_\d+|INDEXFILE)\s*=([^\n]*)", re.MULTILINE)
_MIRAX_SIZE: Final = 1 << 20
_TIFF: Final = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_SQLITE: Final = b"SQLite format 3\0"
# DICOM PS3.10 section 7.1: the prefix after a preamble.
_DICOM: Final = slice(128, 132)
SEVERAL_FILES: Final = frozenset({"dcm", "mrxs", "vms", "vmu"})
"""Suffixes of slides whose other files are part of what they show."""
_MOST: Final = 2048
"""Files beside a slide: each is looked at before and after every read."""


@dataclass(frozen=True, slots=True)
class SlideFiles:
    """The files of a slide, each in the state in which it was found."""

    main: LocalFile
    others: tuple[LocalFile, ...]

    @classmethod
    def find(cls, main: LocalFile) -> SlideFiles:
        """Find the files that OpenSlide may open. Blocks.

        Raises Malformed if a name leads out of the slide's folder, Unsupported if one is not that of a regular file, or
        if there are too many; SourceError, SourceChanged.
        """
        others = [*_others(main)]
        if len(others) > _MOST:
            raise Unsupported(f"{main.name!r} has more than {_MOST} files beside it")
        return cls(main, tuple(others))

    @property
    def state(self) -> str:
        """A text that changes whenever one of the others does; empty if there is none."""
        if not self.others:
            return ""
        return sha256(b"\0".join(file.etag.encode("ascii") for file in self.others)).hexdigest()


def _others(main: LocalFile) -> Iterator[LocalFile]:
    head = _content(main, SIGNATURE_BYTES)
    stem, _, suffix = main.name.rpartition(".")
    if head.startswith(_TIFF):
        yield from _regular(main, f"{stem}.Full")
        return
    if head[_DICOM] == b"DICM" or suffix.lower() == "dcm":
        yield from _neighbours(main)
    if head.startswith(_SQLITE):
        for end in ("-journal", "-wal", "-shm"):
            yield from _regular(main, main.name + end)
    if main.identity.size <= _VMS_SIZE and _VMS_GROUP in (content := _content(main, _VMS_SIZE)):
        for name in _names(main, _VMS, content):
            yield from _regular(main, name)
    if suffix.lower() == "mrxs" and stem not in ("", ".", ".."):
        yield from _mirax(main, stem)


def _mirax(main: LocalFile, stem: str) -> Iterator[LocalFile]:
    folder = main.beside(stem)
    if folder is None:
        return
    if folder[1] != stat.S_IFDIR:
        raise Unsupported(f"{main.name!r}: {stem!r} beside it is no folder")
    yield folder[0]
    for slidedat in _regular(main, stem, "Slidedat.ini"):
        yield slidedat
        if slidedat.identity.size > _MIRAX_SIZE:
            raise Unsupported(f"{main.name!r}: Slidedat.ini is too large")
        for name in _names(main, _MIRAX, _content(slidedat, _MIRAX_SIZE)):
            yield from _regular(main, stem, name)


def _neighbours(main: LocalFile) -> Iterator[LocalFile]:
    """Return every file of the folder: OpenSlide opens them all, to see which belong to the slide."""
    with closing(main.held()) as folder:
        names = folder.names()
    if len(names) > _MOST:
        raise Unsupported(f"{main.name!r} has more than {_MOST} files beside it")
    for name in names:
        yield from _regular(main, name, folders=True)


def _names(main: LocalFile, keys: re.Pattern[bytes], content: bytes) -> Iterator[str]:
    """Return the names that a key file states, with and without spaces around them. Raises Malformed, Unsupported."""
    for value in keys.findall(content):
        if b"/" in value or value.strip() in (b".", b".."):
            raise Malformed(f"{main.name!r} names a file outside its folder")
        if b"\\" in value or b"\0" in value:  # GLib's escapes, which stand for spaces and the like
            raise Unsupported(f"{main.name!r} names a file in a way that is not read here")
        plain = value.rstrip(b"\r").lstrip()
        yield from {os.fsdecode(name) for name in (plain, plain.rstrip(), value.lstrip()) if name}


def _regular(main: LocalFile, *names: str, folders: bool = False) -> Iterator[LocalFile]:
    """Return the regular file of that name, if there is one. Raises Unsupported for links, FIFOs and the like."""
    found = main.beside(*names)
    if found is None or (folders and found[1] == stat.S_IFDIR):
        return
    file, kind = found
    if kind != stat.S_IFREG:
        raise Unsupported(f"{main.name!r}: {names[-1]!r} beside it is no regular file")
    if file.parts != main.parts:
        yield file


def _content(file: LocalFile, most: int) -> bytes:
    return bytes(file.read([ByteRange(0, min(most, file.identity.size))])[0])
