"""As much of TIFF and BigTIFF as tells a broken file from one that is no slide, and how large tiles are.

TIFF 6.0 section 2; BigTIFF as libtiff documents it. Hamamatsu's NDPI beyond 4 GB follows neither: it never comes here,
since OpenSlide reads it.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

import numpy as np

from sidecar.plugin import Blob, ByteRange, Malformed, Unsupported

WIDTH: Final = 256
LENGTH: Final = 257
BITS_PER_SAMPLE: Final = 258
COMPRESSION: Final = 259
PHOTOMETRIC: Final = 262
ORIENTATION: Final = 274
SAMPLES_PER_PIXEL: Final = 277
ROWS_PER_STRIP: Final = 278
STRIP_BYTES: Final = 279
TILE_WIDTH: Final = 322
TILE_LENGTH: Final = 323
TILE_BYTES: Final = 325
SAMPLE_FORMAT: Final = 339

# Directories looked at before a chain is taken for sound: slides have tens of them.
_ENOUGH: Final = 256
# As many as classic TIFF can count; BigTIFF could claim gigabytes of them.
_ENTRIES: Final = 0xFFFF
_VALUES: Final = 16
_WANTED: Final = frozenset(
    {
        *(WIDTH, LENGTH, BITS_PER_SAMPLE, COMPRESSION, PHOTOMETRIC, ORIENTATION, SAMPLES_PER_PIXEL, ROWS_PER_STRIP),
        *(TILE_WIDTH, TILE_LENGTH, SAMPLE_FORMAT),
    }
)
# Lists with a number for each tile: of them only the largest is told. libtiff holds 16 bytes a tile of each level, for
# each read at once. Slides of 250,000 pixels across have a million.
_LARGEST: Final = frozenset({STRIP_BYTES, TILE_BYTES})
_LISTED: Final = 1 << 20
_INTEGERS: Final[Mapping[int, str]] = MappingProxyType({1: "B", 3: "H", 4: "I", 16: "Q"})
_DTYPES: Final[Mapping[int, str]] = MappingProxyType({1: "u1", 3: "u2", 4: "u4", 16: "u8"})


@dataclass(frozen=True, slots=True)
class _Form:
    """How classic and big files differ."""

    order: str
    head: str
    count: str
    entry: str
    offset: str

    def unpack(self, code: str, data: bytes) -> tuple[int, ...]:
        return struct.unpack(self.order + code, data)

    def length(self, code: str) -> int:
        return struct.calcsize(self.order + code)


_FORMS: Final[Mapping[bytes, _Form]] = MappingProxyType(
    {
        b"II*\0": _Form("<", "4xI", "H", "HHI4s", "I"),
        b"MM\0*": _Form(">", "4xI", "H", "HHI4s", "I"),
        b"II+\0": _Form("<", "8xQ", "Q", "HHQ8s", "Q"),
        b"MM\0+": _Form(">", "8xQ", "Q", "HHQ8s", "Q"),
    }
)


class Tiff:
    """A file that begins as a TIFF does."""

    def __init__(self, blob: Blob, form: _Form) -> None:
        self.blob = blob
        self.form = form
        self._listed = 0

    @property
    def big(self) -> bool:
        """Whether it is a BigTIFF."""
        return self.form.offset == "Q"

    def directories(self) -> Iterator[Mapping[int, Sequence[int]]]:
        """Return what each directory states of its samples and tiles, by tag.

        Raises Malformed if the chain leaves the file, runs in a circle or holds an empty directory, which TIFF forbids;
        Unsupported if directories have more than a million tiles or strips together; SourceError.
        """
        (offset,) = self._unpack(self.form.head, 0)
        seen: set[int] = set()
        while offset and len(seen) < _ENOUGH:
            if offset in seen:
                raise Malformed(f"{self.blob.name!r}: the TIFF directories run in a circle")
            seen.add(offset)
            entries, offset = self._directory(offset)
            found = {tag: values for tag in _WANTED & entries.keys() if (values := self._values(entries[tag]))}
            yield found | {tag: (self._largest(entries[tag]),) for tag in _LARGEST & entries.keys()}
        if not seen:
            raise Malformed(f"{self.blob.name!r}: a TIFF without a directory")

    def _directory(self, offset: int) -> tuple[Mapping[int, bytes], int]:
        """Return the entries by tag, and where the next directory begins."""
        (count,) = self._unpack(self.form.count, offset)
        if count > _ENTRIES:
            raise Malformed(f"{self.blob.name!r}: a TIFF directory of {count} entries")
        start = offset + self.form.length(self.form.count)
        width = self.form.length(self.form.entry)
        data = self._bytes(start, count * width)
        entries = [data[place : place + width] for place in range(0, len(data), width)]
        (following,) = self._unpack(self.form.offset, start + len(data))
        return {self.form.unpack("H", entry[:2])[0]: entry for entry in entries}, following

    def _values(self, entry: bytes) -> Sequence[int]:
        """Return the values of an entry that holds a few whole numbers; else none."""
        _, kind, count, field = struct.unpack(self.form.order + self.form.entry, entry)
        if kind not in _INTEGERS or not 0 < count <= _VALUES:
            return ()
        code = f"{count}{_INTEGERS[kind]}"
        length = self.form.length(code)
        if length <= len(field):
            return self.form.unpack(code, field[:length])
        (offset,) = self.form.unpack(self.form.offset, field)
        return self._unpack(code, offset)

    def _largest(self, entry: bytes) -> int:
        """Return the largest number of a list.

        Raises Malformed if it lies outside the file, or is no list; Unsupported if it is too long.
        """
        _, kind, count, field = struct.unpack(self.form.order + self.form.entry, entry)
        if kind not in _INTEGERS or count < 1:
            raise Malformed(f"{self.blob.name!r}: a TIFF with {count} tiles or strips of type {kind}")
        length = count * self.form.length(_INTEGERS[kind])
        if length > len(field):
            (offset,) = self.form.unpack(self.form.offset, field)
            self._check_inside(offset, length)
            self._listed += count
            if self._listed > _LISTED:
                raise Unsupported(
                    f"{self.blob.name!r} has {self._listed} tiles or strips: OpenSlide would hold 16 bytes of each, "
                    f"in every read at once; {_LISTED} are taken"
                )
            field = self._bytes(offset, length)
        return int(np.frombuffer(field[:length], np.dtype(self.form.order + _DTYPES[kind])).max())

    def _unpack(self, code: str, offset: int) -> tuple[int, ...]:
        return self.form.unpack(code, self._bytes(offset, self.form.length(code)))

    def _check_inside(self, offset: int, length: int) -> None:
        if not length or offset + length > self.blob.size:
            raise Malformed(f"{self.blob.name!r}: a TIFF directory leads out of the file")

    def _bytes(self, offset: int, length: int) -> bytes:
        self._check_inside(offset, length)
        return bytes(self.blob.read([ByteRange(offset, offset + length)])[0])


def recognise(blob: Blob) -> Tiff | None:
    """Return the file as a TIFF, if it begins like one. Raises SourceError, SourceChanged."""
    magic = bytes(blob.read([ByteRange(0, min(4, blob.size))])[0])
    form = _FORMS.get(magic)
    return None if form is None else Tiff(blob, form)
