"""TIFF and BigTIFF directories, parsed from bytes at hand (TIFF 6.0 section 2; BigTIFF as libtiff documents it).

tifffile would make a Python number of every tile's offset, some 100 MB for a slide of a million tiles, and read
directory after directory, each a round trip if the file is far away. Here lists stay arrays, and nothing is read.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

import numpy as np
from numpy.typing import NDArray

from sidecar.plugin import Buffer, ByteRange, Malformed

HEADER: Final = 16
"""Bytes of the longer of the two headers; the shorter one has 8."""
_SIZES: Final[Mapping[int, int]] = MappingProxyType({1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 13: 4, 16: 8, 18: 8})
"""Bytes of a value by its type: whole numbers, ratios, texts, bytes. No other is of interest."""
_NUMBERS: Final[Mapping[int, str]] = MappingProxyType({1: "u1", 3: "u2", 4: "u4", 16: "u8"})


@dataclass(frozen=True, slots=True)
class Entry:
    """A field of a directory."""

    kind: int
    count: int
    place: ByteRange
    """Where its values lie in the file."""


@dataclass(frozen=True, slots=True)
class Directory:
    """A directory: its fields by tag, and where the next one begins, 0 for none."""

    entries: Mapping[int, Entry]
    following: int


@dataclass(frozen=True, slots=True)
class Form:
    """How classic and big files, of either byte order, differ."""

    order: str
    first: tuple[str, int]
    """The number that says where the first directory begins, and its place in the header."""
    count: str
    offset: str

    @property
    def entry(self) -> struct.Struct:
        """A field: tag, type, count, and values or their place."""
        return struct.Struct(f"{self.order}HH{self.offset}{struct.calcsize('=' + self.offset)}s")

    @property
    def count_bytes(self) -> int:
        """The length of the number of fields."""
        return struct.calcsize("=" + self.count)

    def first_directory(self, header: Buffer) -> int:
        """Return where the first directory begins."""
        code, place = self.first
        return int(struct.unpack_from(self.order + code, header, place)[0])

    def length(self, start: Buffer) -> int:
        """Return the length of a directory in bytes, from its first ones."""
        (count,) = struct.unpack_from(self.order + self.count, start)
        return self.count_bytes + int(count) * self.entry.size + struct.calcsize("=" + self.offset)

    def directory(self, data: Buffer, start: int) -> Directory:
        """Parse a directory that begins at `start` in the file. `data` is all of it."""
        entry, entries = self.entry, {}
        end = len(data) - struct.calcsize("=" + self.offset)
        for at in range(self.count_bytes, end, entry.size):
            tag, kind, count, field = entry.unpack_from(data, at)
            length = _SIZES.get(kind, 0) * count
            place = start + at + entry.size - len(field)
            if length > len(field):
                (place,) = struct.unpack(self.order + self.offset, field)
            if length:
                entries[tag] = Entry(kind, count, ByteRange(place, place + length))
        return Directory(entries, int(struct.unpack_from(self.order + self.offset, data, end)[0]))

    def numbers(self, entry: Entry, data: Buffer) -> NDArray[np.unsignedinteger]:
        """Return whole numbers in the machine's byte order, a copy. Raises Malformed if the field has none."""
        if entry.kind not in _NUMBERS:
            raise Malformed(f"a TIFF field of type {entry.kind} where whole numbers belong")
        kind = np.dtype(self.order + _NUMBERS[entry.kind])
        found: NDArray[np.unsignedinteger] = np.frombuffer(data, kind).astype(kind.newbyteorder("="), copy=True)
        return found


_FORMS: Final[Mapping[bytes, Form]] = MappingProxyType(
    {
        b"II*\0": Form("<", ("I", 4), "H", "I"),
        b"MM\0*": Form(">", ("I", 4), "H", "I"),
        b"II+\0\x08\0\0\0": Form("<", ("Q", 8), "Q", "Q"),
        b"MM\0+\0\x08\0\0": Form(">", ("Q", 8), "Q", "Q"),
    }
)


def form_of(header: Buffer) -> Form | None:
    """Return the form of a file that begins like this; None if it is no TIFF."""
    begin = bytes(header[:HEADER])
    return next((form for magic, form in _FORMS.items() if begin.startswith(magic) and len(begin) == HEADER), None)


def is_tiff(head: bytes) -> bool:
    """Report whether a file begins as a TIFF does."""
    return form_of(head) is not None
