"""What the reader knows of extraction: a small codestream in the place of the whole one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from sidecar.plugin import Buffer, ByteRange
from sidecar_jp2.format.geometry import Area


class Extraction(Protocol):
    """A smaller codestream that decodes to the same samples in an area."""

    @property
    def ranges(self) -> tuple[ByteRange, ...]:
        """The byte ranges of the blob that it is built from."""
        ...

    @property
    def area(self) -> Area:
        """Its area with the same samples as the requested area of the whole codestream."""
        ...

    @property
    def restyled(self) -> bool:
        """Whether tile-part headers change how their tile is coded."""
        ...

    def located(self, area: Area) -> Area:
        """Return where any area of the whole codestream lies in this one."""
        ...

    def build(self, data: Sequence[Buffer]) -> Buffer:
        """Build the codestream from the bytes of `ranges`; called in a native thread. Raises DecodeError."""
        ...


class Extractor(Protocol):
    """Extracts small codestreams from one blob."""

    def extract(self, area: Area) -> Extraction | None:
        """Return what decoding an area takes; None if only the whole codestream will do.

        Called in a greenlet. Raises Malformed, SourceError.
        """
        ...
