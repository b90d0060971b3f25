"""What the reader knows of extraction: a small codestream in the place of the whole one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol

from sidecar.plugin import Buffer, ByteRange
from sidecar_jp2.format.geometry import Area
from sidecar_jp2.loss.dropped_planes import Loss
from sidecar_jp2.loss.loss_table import LossKey


class LeftOut(NamedTuple):
    """How much of a window is not decoded, though the file has it."""

    planes: int = 0
    """Bit planes, summed over the subbands of all components."""
    layers: int = 0
    """Quality layers."""
    blocks: int = 0
    """Code blocks of packets that were read."""


NOTHING: Final = LeftOut()


class Extracted(NamedTuple):
    """A small codestream that is built."""

    codestream: Buffer
    area: Area
    """Its area with the same samples as the requested area of the whole one."""
    cut: bool = False
    """Whether its tile is a part of the tile in the file."""
    dropped: int = 0
    """How many of the finest resolutions it lacks."""
    left_out: LeftOut = NOTHING


@dataclass(frozen=True, slots=True)
class Census:
    """What a small codestream is made of, counted for people."""

    tiles: int
    packets: int
    """Packets that are read."""
    of_packets: int
    """Packets that those tiles have."""
    blocks: int
    """Code blocks whose bytes are in the packets that are read."""


class Extraction(Protocol):
    """A smaller codestream that decodes to the same samples in an area."""

    @property
    def ranges(self) -> tuple[ByteRange, ...]:
        """The byte ranges of the blob that it is built from."""
        ...

    @property
    def restyled(self) -> bool:
        """Whether tile-part headers change how their tile is coded."""
        ...

    @property
    def cut(self) -> bool:
        """Whether a part of a tile is cut out: whole tiles are not in it then."""
        ...

    def located(self, area: Area) -> Area:
        """Return where any area of the whole codestream lies in this one, unless it is `cut`."""
        ...

    def extracted(self, data: Sequence[Buffer]) -> Extracted:
        """Build the codestream from the bytes of `ranges`; called in a native thread. Raises DecodeError."""
        ...


class Extractor(Protocol):
    """Extracts small codestreams from one blob."""

    def loss(self, key: LossKey) -> tuple[bool, Loss | None]:
        """Return whether it is known what may be lost, and what may; None: nothing."""
        ...

    def keep(self, key: LossKey, loss: Loss | None) -> None:
        """Keep what may be lost with the index."""
        ...

    def learn(self) -> None:
        """Learn all that can be known of where packets are, and keep it outside of this process.

        Called in a greenlet. Raises SourceError.
        """
        ...

    def extract(self, area: Area, *, cut: bool = False, loss: Loss | None = None) -> Extraction | None:
        """Return what decoding an area takes; None if only the whole codestream will do.

        `loss` may be lost of it. Unless `cut`, whole tiles can be decoded of it. Called in a greenlet.
        Raises Malformed, SourceError.
        """
        ...

    def count(self, area: Area, loss: Loss | None) -> Census | None:
        """Return what decoding an area takes; None if packets are not found. As `extract`."""
        ...
