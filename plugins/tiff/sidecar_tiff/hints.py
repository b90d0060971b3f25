"""Where directories of a far file may lie that the chain has not led to yet: read ahead, and never believed.

Each directory says where the next one is, and writers leave them behind the tiles they belong to, so that a chain of
seven takes seven round trips, one after the other. But small levels, label and macro image lie near the end of the
file. A directory found there says where its tiles begin, which is where the directory before it ends. Followed from
both ends, the chain takes half as many rounds. What is found like this only is at hand when the chain comes to it: a
hint that is wrong costs its bytes and nothing else.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Final

from sidecar.plugin import ByteRange, Malformed
from sidecar_tiff import tags
from sidecar_tiff.directory import Directory, Form
from sidecar_tiff.rounds import Rounds

_TAIL, _LONGEST_TAIL = 1 << 20, 1 << 22
_TAIL_SHARE: Final = 9
"""Bytes at the end of a file, 2**-9 of it: label, macro image, the levels from 1:32 on."""
_LIKELY: Final = 64
"""Fields of a directory that is looked for, at most."""
_MOST_PLACES: Final = 64
"""Places that may be directories, looked at in one round: a file could be full of them."""
_LOOKED_AT: Final = 1 << 20
"""Numbers of a list, at most."""
_LISTS: Final = (tags.TILE_OFFSETS, tags.STRIP_OFFSETS)


class Hints:
    """Asks for bytes that are likely to be wanted, beside those that are."""

    def __init__(self, rounds: Rounds, form: Form) -> None:
        self._rounds = rounds
        self._form = form
        self._searched = 0
        self._asked = False

    def want(self) -> None:
        """Want what is likely next; call it once a round, before it is fetched."""
        size = self._rounds.blob.size
        if not self._asked:
            self._asked = True
            tail = min(max(_TAIL, size >> _TAIL_SHARE), _LONGEST_TAIL)
            self._rounds.want(ByteRange(size - tail, size))
            return
        known, self._searched = self._rounds.known[self._searched :], len(self._rounds.known)
        starts = [start for place, data in known for start in self._beginnings(place, data)]
        if starts:
            earliest = min(starts)
            self._rounds.want(ByteRange(earliest - self._rounds.ahead, earliest))

    def _beginnings(self, place: ByteRange, data: memoryview) -> Iterator[int]:
        """Yield where the tiles of what looks like a directory begin."""
        for directory in islice(self._candidates(place, data), _MOST_PLACES):
            for tag in _LISTS:
                entry = directory.entries.get(tag)
                if entry is None or not place.start <= entry.place.start < place.stop:
                    continue
                # Of a list that goes on behind what is here its beginning is looked at: tiles mostly are in order.
                width = entry.place.length // entry.count
                here = min(entry.count, _LOOKED_AT, (place.stop - entry.place.start) // width)
                start = entry.place.start - place.start
                yield from self._first(directory, tag, data[start : start + here * width])

    def _first(self, directory: Directory, tag: int, values: memoryview) -> Iterator[int]:
        try:
            numbers = self._form.numbers(directory.entries[tag], values)
        except Malformed:
            return
        there = numbers[numbers > 0]
        if there.size:
            yield int(there.min())

    def _candidates(self, place: ByteRange, data: memoryview) -> Iterator[Directory]:
        """Yield what looks like a directory that begins with SUBFILE or WIDTH, as all do that describe a picture."""
        content = bytes(data)
        for signature in self._signatures():
            at = content.find(signature)
            for _ in range(_MOST_PLACES):
                if at < 0:
                    break
                start = at - self._form.count_bytes
                if start >= 0 and (found := self._directory(place, content, start)):
                    yield found
                at = content.find(signature, at + 1)

    def _directory(self, place: ByteRange, content: bytes, start: int) -> Directory | None:
        length = self._form.length(content[start : start + self._form.count_bytes])
        whole = content[start : start + length]
        fields = (length - self._form.count_bytes) // self._form.entry.size
        return self._form.directory(whole, place.start + start) if len(whole) == length and fields <= _LIKELY else None

    def _signatures(self) -> Sequence[bytes]:
        """Return how the first field of a directory begins: its tag, and a type of whole numbers."""
        code = self._form.order + "HH"
        return [struct.pack(code, tag, kind) for tag in (tags.SUBFILE, tags.WIDTH) for kind in (3, 4)]
