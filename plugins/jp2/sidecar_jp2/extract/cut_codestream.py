"""A small image cut out of a large tile along its code blocks, which decodes to the same samples.

OpenJPEG makes structures for every code block of a tile, however small the window. Here the tile is as small as the
grid of code blocks allows. Most packets stay as they are; the headers of precincts that the cut parts are written anew,
for fewer code blocks (ITU-T T.800 B.10).
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from sidecar.plugin import Buffer, ByteRange, DecodeError
from sidecar_jp2.blocks.header_bits import BadPacketHeader
from sidecar_jp2.blocks.packet_reader import EPH, SOP_BYTES, read_precinct
from sidecar_jp2.blocks.packet_writer import EMPTY, write_precinct
from sidecar_jp2.blocks.precinct_blocks import PrecinctBlocks, numbers_within, part_of
from sidecar_jp2.extract.small_codestream import END, SOP, SmallCodestream
from sidecar_jp2.extraction import Extracted
from sidecar_jp2.format.block_grid import Grids, blocks_of
from sidecar_jp2.format.geometry import Area
from sidecar_jp2.format.markers import Marker
from sidecar_jp2.format.tile_part_header import MIN_TILE_PART_BYTES
from sidecar_jp2.index.block_store import BlockStore, Key


@dataclass(frozen=True, slots=True)
class Packets:
    """The packets of the file that a cut takes, in its own order."""

    places: tuple[int, ...]
    """The number of each packet in the cut; the packets between are empty."""
    numbers: tuple[int, ...]
    """The number of each packet in its tile of the file."""
    ranges: tuple[int, ...]
    """The number of the range that each packet is in."""
    starts: tuple[int, ...]
    """Where each packet begins and ends in its range."""
    stops: tuple[int, ...]
    total: int
    """How many packets the cut has."""


@dataclass(frozen=True, slots=True)
class PartedPrecinct:
    """A precinct of which the cut has some code blocks only."""

    packets: tuple[int, ...]
    """Its packets, as positions in `Packets`, one for each layer."""
    whole: Grids
    part: Grids
    style: int
    """The code-block style (T.800 table A.19)."""


@dataclass(frozen=True, slots=True)
class CutCodestream:
    """How to build a cut-out image from some byte ranges. A value, independent of any request."""

    ranges: tuple[ByteRange, ...]
    area: Area
    """The area of the cut with the same samples as the extracted area of the whole codestream."""
    head: bytes = field(repr=False)
    """The main header."""
    packets: Packets = field(repr=False)
    parted: tuple[PartedPrecinct, ...] = field(repr=False)
    tile: int
    """The number of the tile in the file."""
    sop: bool
    """Whether SOP stands before the packets in the file."""
    eph: bool
    store: BlockStore = field(repr=False, compare=False)
    uncut: Callable[[], SmallCodestream] = field(repr=False, compare=False)
    """The small codestream of the same ranges with the whole tile."""
    restyled: bool = False
    cut: bool = True

    def located(self, area: Area) -> Area:
        """Return nothing: whole tiles are not in a cut."""
        raise NotImplementedError(area)

    def extracted(self, data: Sequence[Buffer]) -> Extracted:
        """Build the codestream; called in a native thread.

        If a packet header cannot be read, the whole tile is used. Raises DecodeError if the bytes do not begin with the
        packets that the index expects.
        """
        try:
            return Extracted(self._build(data), self.area, cut=True)
        except BadPacketHeader as error:
            self.store.refuse(str(error))
        return self.uncut().extracted(data)

    def _build(self, data: Sequence[Buffer]) -> bytes:
        pieces = [*self._pieces(data)]
        for precinct in self.parted:
            self._replace(precinct, pieces)
        empty = SOP + EMPTY + (EPH if self.eph else b"")
        body: list[Buffer] = []
        for (before, place), piece in zip(pairwise((-1, *self.packets.places)), pieces, strict=True):
            if place - before > 1:
                body.append(empty * (place - before - 1))
            if piece[: len(SOP) - 2] != SOP[:-2]:
                body.append(SOP)
            body.append(piece)
        body.append(empty * (self.packets.total - 1 - (self.packets.places or (-1,))[-1]))
        length = MIN_TILE_PART_BYTES + sum(map(len, body))
        start = struct.pack(">HHHIBBH", Marker.SOT, 10, 0, length, 0, 1, Marker.SOD)
        return b"".join([self.head, start, *body, END])

    def _pieces(self, data: Sequence[Buffer]) -> Iterator[Buffer]:
        """Yield the packets as the file has them."""
        views, found = [memoryview(piece) for piece in data], self.packets
        for number, place, start, stop in zip(found.numbers, found.ranges, found.starts, found.stops, strict=True):
            piece = views[place][start:stop]
            # If packets carry their number (T.800 A.8.1), a wrong index is detected.
            if self.sop and piece[:SOP_BYTES] != SOP[:4] + struct.pack(">H", number & 0xFFFF):
                raise DecodeError(f"SOP: packet {number} does not begin where the packet lengths say")
            yield piece

    def _replace(self, precinct: PartedPrecinct, pieces: list[Buffer]) -> None:
        """Replace the packets of a precinct by those with the code blocks that are in the cut."""
        packets = [pieces[number] for number in precinct.packets]
        blocks = self._blocks(precinct, packets)
        part = part_of(blocks, [*numbers_within(precinct.whole, precinct.part)], precinct.style)
        headers = write_precinct(precinct.part, part.blocks, precinct.style)
        for number, packet, header, spans in zip(precinct.packets, packets, headers, part.spans, strict=True):
            bodies = [packet[start:stop] for start, stop in spans]
            pieces[number] = b"".join([header, EPH if self.eph else b"", *bodies])

    def _blocks(self, precinct: PartedPrecinct, packets: Sequence[Buffer]) -> PrecinctBlocks:
        key: Key = self.tile, self.packets.numbers[precinct.packets[0]]
        if record := self.store.get(key):
            return PrecinctBlocks.from_bytes(record, blocks_of(precinct.whole), len(packets))
        found = read_precinct(precinct.whole, packets, precinct.style, eph=self.eph)
        self.store.put(key, found.to_bytes())
        return found
