"""All directories of a TIFF with the values that matter, read in as few rounds as their places allow, and bounded."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Final

import numpy as np

from sidecar.plugin import Blob, Buffer, ByteRange, Malformed, Unsupported
from sidecar_tiff import tags
from sidecar_tiff.directory import HEADER, Directory, Entry, Form
from sidecar_tiff.hints import Hints
from sidecar_tiff.places import Lists, LongList, Paging
from sidecar_tiff.places import Numbers as Numbers  # noqa: PLC0414  # of what a page holds
from sidecar_tiff.rounds import Rounds

MOST_DIRECTORIES: Final = 64
"""Slides have ten or so."""
_MOST_ENTRIES: Final = 512
_MOST_STRIPS: Final = 1 << 20
_MOST_TILES: Final = 1 << 31
"""Of a directory: a square of 46,000 tiles, ten million pixels across. Slides of 100 GB have some millions."""
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
_PAGING: Final = Paging()


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
    """Places and lengths of tiles, if there are any, and they are held."""
    paged: Lists | None = field(default=None, repr=False)
    """Places and lengths of tiles that stay in the file."""

    def number(self, tag: int, default: int) -> int:
        """Return the first value of a field."""
        return next(iter(self.numbers.get(tag, ())), default)


@dataclass(frozen=True, slots=True, eq=False)
class Contents:
    """What a TIFF holds."""

    pages: Sequence[Page]
    sample: bytes = field(repr=False)
    """The beginning of the first tile of the first directory that is there; empty if there is none."""


def read_contents(blob: Blob, form: Form, *, strips: bool = False, paging: Paging = _PAGING) -> Contents:
    """Read the directories of a TIFF; with `strips`, where strips lie, not tiles. Called in a greenlet.

    Raises Malformed if they lead out of the file or run in a circle, Unsupported if they are more or larger than those
    of slides; SourceError.
    """
    far = blob.path is None
    ahead = min(max(_FAR, blob.size >> _LIST_SHARE), _FAR_MOST) if far else _NEAR
    reading = _Reading(blob, form, ahead, paging, strips=strips)
    hints = Hints(reading.rounds, form) if far else None
    while True:
        found = reading.contents()
        if not reading.rounds.wanting:
            return found
        if hints:
            hints.want()
        reading.rounds.fetch()


class _Reading:
    def __init__(self, blob: Blob, form: Form, ahead: int, paging: Paging, *, strips: bool) -> None:
        self.rounds = Rounds(blob, ahead)
        self._name = blob.name
        self._form = form
        self._paging = paging
        self._strips = strips

    def contents(self) -> Contents:
        """Return what is known by now; what is missing is wanted in the next round."""
        pages, room = [], self._paging.whole
        for index, each in enumerate(self._directories()):
            tiles = 0 if self._strips else _tiles(each)
            paged = tiles > room
            room -= 0 if paged else tiles
            if page := self._page(each, index, paged=paged):
                pages.append(page)
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

    def _page(self, directory: Directory, index: int, *, paged: bool) -> Page | None:
        """Return a directory's page; None while some of it is missing."""
        entries = directory.entries
        short = {tag: each for tag, each in entries.items() if tag in _NUMBERS and each.count <= _FEW}
        numbers = {tag: self._values(each) for tag, each in short.items()}
        if index == 0:
            numbers |= {tag: self._ratio(entries[tag]) for tag in _RATIOS if tag in entries}
        limits = {tags.JPEG_TABLES: _MOST_TABLES, **(_TEXTS if index == 0 else {})}
        if self._strips:
            limits[tags.ICC] = _TEXTS[tags.ICC]
        texts = {tag: self._text(entries[tag], most) for tag, most in limits.items() if tag in entries}
        tags_of = _STRIPS if self._strips else _TILES
        lists = {} if paged else {tag: self._list(entries[tag]) for tag in tags_of if tag in entries}
        left = {tag: self._long_list(entries[tag]) for tag in _TILES if paged and tag in entries}
        if any(found is None for part in (numbers, texts, lists, left) for found in part.values()):
            return None
        return Page(
            frozenset(entries),
            {tag: values.tolist() for tag, values in numbers.items() if values is not None},
            {tag: text for tag, text in texts.items() if text is not None},
            {tag: values for tag, values in lists.items() if values is not None},
            _both(left.get(tags.TILE_OFFSETS), left.get(tags.TILE_BYTES)),
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
        if self._strips and entry.count > _MOST_STRIPS:
            raise Unsupported(f"{self._name!r} has {entry.count} strips")
        return self._values(entry)

    def _long_list(self, entry: Entry) -> LongList | None:
        """Return a list that stays in the file; None while its first page is missing."""
        if entry.count > _MOST_TILES:
            raise Unsupported(f"{self._name!r} has {entry.count} tiles")
        if entry.place.stop > self.rounds.blob.size:
            raise Malformed(f"{self._name!r}: a TIFF directory leads out of the file")
        left = LongList(entry, self._form, np.empty(0, np.uint32))
        data = self.rounds.get(left.place(0, self._paging.page))
        return None if data is None else replace(left, head=self._form.numbers(entry, data))

    def _sample(self, pages: Sequence[Page]) -> Buffer | None:
        if not pages:
            return None
        places, lengths = (pages[0].lists.get(tag) for tag in (tags.TILE_OFFSETS, tags.TILE_BYTES))
        if pages[0].paged:
            places, lengths = (each.head for each in pages[0].paged)
        if places is None or lengths is None or len(places) != len(lengths) or not lengths.any():
            return None
        first = int(np.flatnonzero(lengths)[0])
        start = int(places[first])
        return self.rounds.get(ByteRange(start, start + min(int(lengths[first]), _SAMPLE)))


def _tiles(directory: Directory) -> int:
    return max((directory.entries[tag].count for tag in _TILES & directory.entries.keys()), default=0)


def _both(places: LongList | None, lengths: LongList | None) -> Lists | None:
    return Lists(places, lengths) if places and lengths else None
