"""All directories of a TIFF with the values that matter, read in as few rounds as their places allow, and bounded."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from sidecar.plugin import Blob, Buffer, ByteRange, Malformed, Unsupported
from sidecar_tiff import tags
from sidecar_tiff.directory import HEADER, Directory, Entry, Form
from sidecar_tiff.hints import Hints
from sidecar_tiff.rounds import Rounds

Numbers: TypeAlias = NDArray[np.unsignedinteger]

MOST_DIRECTORIES: Final = 64
"""Slides have ten or so."""
_MOST_ENTRIES: Final = 512
_MOST_TILES: Final = 1 << 20
"""Tiles of all directories together. Slides of 250,000 pixels across have a million."""
_FEW: Final = 16
"""Values of a field that says one thing of each sample."""
_NUMBERS: Final = frozenset(
    {
        *(tags.SUBFILE, tags.WIDTH, tags.LENGTH, tags.BITS_PER_SAMPLE, tags.COMPRESSION, tags.PHOTOMETRIC),
        *(tags.ORIENTATION, tags.SAMPLES_PER_PIXEL, tags.PLANAR, tags.TILE_WIDTH, tags.TILE_LENGTH),
        *(tags.SAMPLE_FORMAT, tags.DEPTH, tags.ROWS_PER_STRIP, tags.PREDICTOR, tags.RESOLUTION_UNIT),
    }
)
_TILES: Final = frozenset({tags.TILE_OFFSETS, tags.TILE_BYTES})
_STRIPS: Final = frozenset({tags.STRIP_OFFSETS, tags.STRIP_BYTES})
_RATIOS: Final = frozenset({tags.X_RESOLUTION, tags.Y_RESOLUTION})
_LONG, _RATIONAL = 4, 5
"""Types: a number of 32 bits, and two of them."""
_TEXTS: Final[Mapping[int, int]] = MappingProxyType(
    {tags.DESCRIPTION: 1 << 16, tags.MAKE: 1 << 12, tags.SOFTWARE: 1 << 12, tags.ICC: 1 << 22}
)
"""What is read of the first directory, and how long it may be."""
_MOST_TABLES: Final = 1 << 14
"""Bytes of JPEG tables: four of each kind have some 2,000 (ITU-T T.81 B.2.4)."""
_SAMPLE: Final = 1 << 14
"""Bytes of the first tile that come along: the headers of JPEG and JPEG 2000."""
_NEAR, _FAR = 1 << 12, 1 << 16
"""Bytes read at once where a directory begins: of a local file, and of a far one at least."""
_FAR_MOST: Final = 1 << 20
_LIST_SHARE: Final = 13
"""2**-13 of a file hold most of what lies behind a directory: places and lengths of tiles, 12 bytes for each 20 KB."""


@dataclass(frozen=True, slots=True, eq=False)
class Page:
    """A directory, and what it says."""

    tags: frozenset[int]
    """Of all its fields."""
    numbers: Mapping[int, Sequence[int]]
    """Fields of few whole numbers."""
    texts: Mapping[int, bytes] = field(repr=False)
    """Fields of bytes: JPEG tables, and of the first directory description, maker, software and profile."""
    lists: Mapping[int, Numbers] = field(repr=False)
    """Places and lengths of tiles, if there are any."""

    def number(self, tag: int, default: int) -> int:
        """Return the first value of a field."""
        return next(iter(self.numbers.get(tag, ())), default)


@dataclass(frozen=True, slots=True, eq=False)
class Contents:
    """What a TIFF holds."""

    pages: Sequence[Page]
    sample: bytes = field(repr=False)
    """The beginning of the first tile of the first directory that is there; empty if there is none."""


def read_contents(blob: Blob, form: Form, *, strips: bool = False) -> Contents:
    """Read the directories of a TIFF; with `strips`, where strips lie, not tiles. Called in a greenlet.

    Raises Malformed if they lead out of the file or run in a circle, Unsupported if they are more or larger than those
    of slides; SourceError.
    """
    far = blob.path is None
    ahead = min(max(_FAR, blob.size >> _LIST_SHARE), _FAR_MOST) if far else _NEAR
    reading = _Reading(blob, form, ahead, _STRIPS if strips else _TILES)
    hints = Hints(reading.rounds, form) if far else None
    while True:
        found = reading.contents()
        if not reading.rounds.wanting:
            return found
        if hints:
            hints.want()
        reading.rounds.fetch()


class _Reading:
    def __init__(self, blob: Blob, form: Form, ahead: int, lists: frozenset[int]) -> None:
        self.rounds = Rounds(blob, ahead)
        self._name = blob.name
        self._form = form
        self._lists = lists

    def contents(self) -> Contents:
        """Return what is known by now; what is missing is wanted in the next round."""
        pages = [page for index, each in enumerate(self._directories()) if (page := self._page(each, index))]
        return Contents(pages, bytes(self._sample(pages) or b""))

    def _directories(self) -> Iterator[Directory]:
        header = self.rounds.get(ByteRange(0, HEADER), ahead=True)
        offset = self._form.first_directory(header) if header else 0
        seen: set[int] = set()
        while offset:
            if offset in seen:
                raise Malformed(f"{self._name!r}: the TIFF directories run in a circle")
            if len(seen) == MOST_DIRECTORIES:
                raise Unsupported(f"{self._name!r} has more than {MOST_DIRECTORIES} TIFF directories")
            seen.add(offset)
            directory = self._directory(offset)
            if directory is None:
                return
            yield directory
            offset = directory.following
        if header and not seen:
            raise Malformed(f"{self._name!r}: a TIFF without a directory")

    def _directory(self, offset: int) -> Directory | None:
        form = self._form
        start = self.rounds.get(ByteRange(offset, offset + form.count_bytes), ahead=True)
        if start is None:
            return None
        length = form.length(start)
        if length > form.entry.size * _MOST_ENTRIES:
            raise Unsupported(f"{self._name!r} has a TIFF directory of {length} bytes")
        whole = self.rounds.get(ByteRange(offset, offset + length))
        return None if whole is None else form.directory(whole, offset)

    def _page(self, directory: Directory, index: int) -> Page | None:
        """Return a directory's page; None while some of it is missing."""
        entries = directory.entries
        short = {tag: each for tag, each in entries.items() if tag in _NUMBERS and each.count <= _FEW}
        numbers = {tag: self._values(each) for tag, each in short.items()}
        if index == 0:
            numbers |= {tag: self._ratio(entries[tag]) for tag in _RATIOS if tag in entries}
        limits = {tags.JPEG_TABLES: _MOST_TABLES, **(_TEXTS if index == 0 else {})}
        if self._lists is _STRIPS:
            limits[tags.ICC] = _TEXTS[tags.ICC]
        texts = {tag: self._text(entries[tag], most) for tag, most in limits.items() if tag in entries}
        lists = {tag: self._list(entries[tag]) for tag in self._lists if tag in entries}
        if any(found is None for part in (numbers, texts, lists) for found in part.values()):
            return None
        return Page(
            frozenset(entries),
            {tag: values.tolist() for tag, values in numbers.items() if values is not None},
            {tag: text for tag, text in texts.items() if text is not None},
            {tag: values for tag, values in lists.items() if values is not None},
        )

    def _values(self, entry: Entry) -> Numbers | None:
        data = self.rounds.get(entry.place)
        return None if data is None else self._form.numbers(entry, data)

    def _ratio(self, entry: Entry) -> Numbers | None:
        """Return numerator and denominator of a field; nothing if it is not to be had, since no picture needs it."""
        if entry.kind != _RATIONAL or entry.count != 1 or entry.place.stop > self.rounds.blob.size:
            return np.empty(0, np.uint32)
        return self._values(replace(entry, kind=_LONG, count=2))

    def _text(self, entry: Entry, most: int) -> bytes | None:
        if entry.place.length > most:
            raise Unsupported(f"{self._name!r} has a TIFF field of {entry.place.length} bytes")
        data = self.rounds.get(entry.place)
        return None if data is None else bytes(data)

    def _list(self, entry: Entry) -> Numbers | None:
        if entry.count > _MOST_TILES:
            raise Unsupported(f"{self._name!r} has {entry.count} tiles")
        return self._values(entry)

    def _sample(self, pages: Sequence[Page]) -> Buffer | None:
        if not pages:
            return None
        places, lengths = (pages[0].lists.get(tag) for tag in (tags.TILE_OFFSETS, tags.TILE_BYTES))
        if places is None or lengths is None or len(places) != len(lengths) or not lengths.any():
            return None
        first = int(np.flatnonzero(lengths)[0])
        start = int(places[first])
        return self.rounds.get(ByteRange(start, start + min(int(lengths[first]), _SAMPLE)))
