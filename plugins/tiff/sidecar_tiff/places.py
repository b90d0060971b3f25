"""Where the tiles of a level lie: in lists that are held, or in lists that stay in the file and are read in pages.

A slide of 100 GB in tiles of 240 has five million tiles, and a number of 12 bytes for each. A viewer looks at some of
them: the pages with their places are read when a window wants them, checked as they are used, and kept within bytes.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final, NamedTuple, Protocol, TypeAlias

import numpy as np
from cachetools import LRUCache
from numpy.typing import NDArray

from sidecar.plugin import Blob, ByteRange, DecodeError, Unsupported
from sidecar_tiff.directory import Entry, Form

Numbers: TypeAlias = NDArray[np.unsignedinteger]

_TOGETHER: Final = 32
"""Pages read in one round. Windows touch a few; one that is very tall is read in several rounds, in bounded memory."""
_PAGE_BYTES: Final = 256
"""Of a page that is kept, beside its numbers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Paging:
    """What of the lists of a slide is held."""

    whole: int = 1 << 18
    """Tiles of all directories together whose places are held. The lists of a directory that has more stay in the file.

    So many are 3 MB, and take 11 MB while they are read.
    """
    page: int = 1 << 12
    """Tiles whose places are read together: 48 KB, two rows of a slide that is 500,000 pixels across."""
    kept_bytes: int = 1 << 21
    """Bytes of pages that an open slide keeps."""


@dataclass(frozen=True, slots=True, eq=False)
class LongList:
    """A field with a number for each tile that stays in the file."""

    entry: Entry
    form: Form
    head: Numbers = field(repr=False)
    """The numbers of the first page, read when the slide is opened."""

    def place(self, start: int, stop: int) -> ByteRange:
        """Return where in the file a part of the list lies, cut to the list."""
        entry = self.entry
        width = entry.place.length // entry.count
        return ByteRange(entry.place.start + start * width, entry.place.start + min(stop, entry.count) * width)

    def numbers(self, part: bytes) -> Numbers:
        """Return the numbers of a part."""
        return self.form.numbers(self.entry, part)


class Lists(NamedTuple):
    """Places and lengths of the tiles of one directory, both of them left in the file."""

    places: LongList
    lengths: LongList


class Part(NamedTuple):
    """A part of both lists."""

    places: Numbers
    lengths: Numbers

    @property
    def nbytes(self) -> int:
        """What it takes while it is kept."""
        return self.places.nbytes + self.lengths.nbytes + _PAGE_BYTES


class Tiles(Protocol):
    """Where the tiles of a level lie."""

    @property
    def longest(self) -> int:
        """No tile has more bytes."""
        ...

    @property
    def missing(self) -> int | None:
        """How many were not scanned; None if nobody has counted them."""
        ...

    def places(self, indices: Sequence[int]) -> Sequence[ByteRange]:
        """Return the places of some tiles, by rising numbers; an empty range for those that were not scanned.

        Called in a greenlet. Raises DecodeError if one cannot be, Unsupported, SourceError.
        """
        ...


@dataclass(frozen=True, slots=True, eq=False)
class HeldTiles:
    """Lists that are held, and were checked when the slide was opened."""

    part: Part

    @property
    def longest(self) -> int:
        return int(self.part.lengths.max())

    @property
    def missing(self) -> int:
        return int((self.part.lengths == 0).sum())

    def places(self, indices: Sequence[int]) -> Sequence[ByteRange]:
        return [_range(self.part, index) for index in indices]


class Pages:
    """The pages of an open slide: those read last, within bytes. Belongs to one event loop."""

    def __init__(self, blob: Blob, paging: Paging) -> None:
        self.blob = blob
        self.page = paging.page
        self._kept: LRUCache[tuple[int, int], Part] = LRUCache(paging.kept_bytes, getsizeof=lambda part: part.nbytes)

    @property
    def nbytes(self) -> int:
        """The bytes that are kept."""
        return int(self._kept.currsize)

    def get(self, lists: Lists, numbers: Sequence[int]) -> Mapping[int, Part]:
        """Return pages of a directory's lists; those that are missing are read in one round. Raises SourceError."""
        keys = {number: (lists.places.entry.place.start, number) for number in numbers}
        found = {number: part for number, key in keys.items() if (part := self._kept.get(key)) is not None}
        absent = [number for number in numbers if number not in found]
        if absent:
            spans = [(number * self.page, (number + 1) * self.page) for number in absent]
            for number, part in zip(absent, self._read(lists, spans), strict=True):
                found[number] = part
                if part.nbytes <= self._kept.maxsize:
                    self._kept[keys[number]] = part
        return found

    def parts(self, lists: Lists, size: int) -> Iterator[Part]:
        """Read both lists from end to end, `size` tiles at a time; keeps nothing of them. Raises SourceError."""
        count = lists.places.entry.count
        for span in pairwise([*range(0, count, size), count]):
            yield from self._read(lists, [span])

    def _read(self, lists: Lists, spans: Sequence[tuple[int, int]]) -> Iterator[Part]:
        data = iter(self.blob.read([each.place(*span) for span in spans for each in lists]))
        for places in data:
            yield Part(lists.places.numbers(bytes(places)), lists.lengths.numbers(bytes(next(data))))


@dataclass(frozen=True, slots=True, eq=False)
class PagedTiles:
    """Lists that stay in the file. What is wrong with a tile is found when its place is asked for."""

    lists: Lists = field(repr=False)
    pages: Pages = field(repr=False)
    longest: int
    """A tile that claims more bytes is an error of its windows: what windows take is promised before they are known."""
    complete: bool
    """Whether tiles may not be missing."""
    missing: int | None = None

    def places(self, indices: Sequence[int]) -> Sequence[ByteRange]:
        page = self.pages.page
        numbers = sorted({index // page for index in indices})
        found: list[ByteRange] = []
        for at in range(0, len(numbers), _TOGETHER):
            some = numbers[at : at + _TOGETHER]
            parts = self.pages.get(self.lists, some)
            first, last = (bisect_left(indices, number * page) for number in (some[0], some[-1] + 1))
            found += [self._checked(parts[index // page], index) for index in indices[first:last]]
        return found

    def _checked(self, part: Part, index: int) -> ByteRange:
        place = _range(part, index % self.pages.page)
        if not place.length and self.complete:
            raise Unsupported("an Aperio slide with missing tiles")
        if place.length and (place.length > self.longest or place.stop > self.pages.blob.size):
            raise DecodeError(f"{self.pages.blob.name!r}: a tile of {place.length} bytes at {place.start}")
        return place


def _range(part: Part, index: int) -> ByteRange:
    start = int(part.places[index])
    return ByteRange(start, start + int(part.lengths[index]))
