"""Bytes of a blob, fetched in rounds: what is missing is noted, and all of it is asked for at once.

Parsers ask for what they need and get None for what is not here yet. Nothing in a round waits for another part of it,
so that a far file costs as many round trips as there are steps from one place to the next, whatever their number.
"""

from __future__ import annotations

from collections.abc import Sequence

from sidecar.plugin import Blob, Buffer, ByteRange, Malformed


class Rounds:
    """The bytes of a blob that are known so far, and those that are wanted next."""

    def __init__(self, blob: Blob, ahead: int) -> None:
        """`ahead`: bytes that come along with each place where a directory begins."""
        self.blob = blob
        self.ahead = ahead
        self._known: list[tuple[ByteRange, memoryview]] = []
        self._wanted: list[ByteRange] = []

    def get(self, place: ByteRange, *, ahead: bool = False) -> Buffer | None:
        """Return bytes, or note that they are wanted, and what follows them if `ahead`. Raises Malformed.

        Malformed if they lie outside the file.
        """
        if place.start < 0 or place.stop > self.blob.size:
            raise Malformed(f"{self.blob.name!r}: a TIFF directory leads out of the file")
        for known, data in self._known:
            if known.start <= place.start and place.stop <= known.stop:
                return data[place.start - known.start : place.stop - known.start]
        self.want(ByteRange(place.start, max(place.stop, place.start + self.ahead * ahead)))
        return None

    def want(self, place: ByteRange) -> None:
        """Note that bytes are wanted, as far as they lie in the file."""
        inside = ByteRange(max(0, place.start), min(place.stop, self.blob.size))
        if inside.length > 0:
            self._wanted.append(inside)

    def fetch(self) -> None:
        """Fetch all that is wanted, in one call. Raises SourceError."""
        wanted, self._wanted = [*dict.fromkeys(self._wanted)], []
        found = self.blob.read(wanted)
        self._known += [(place, memoryview(data)) for place, data in zip(wanted, found, strict=True)]

    @property
    def wanting(self) -> bool:
        """Whether anything is missing."""
        return bool(self._wanted)

    @property
    def known(self) -> Sequence[tuple[ByteRange, memoryview]]:
        """What has been fetched, in order."""
        return self._known
