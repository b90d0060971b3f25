"""A small codestream whose packet headers are written anew (ITU-T T.800 B.10): fewer code blocks, fewer coding passes.

OpenJPEG makes structures for every code block of a tile, however small the window: a tile that is cut out along the
grid of code blocks has fewer. And it decodes every coding pass that a header declares, seen or not. Most packets stay
as they are.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from sidecar.plugin import Buffer, ByteRange, DecodeError
from sidecar_jp2.blocks.header_bits import BadPacketHeader
from sidecar_jp2.blocks.packet_reader import EPH, SOP_BYTES, read_precinct
from sidecar_jp2.blocks.packet_writer import EMPTY, write_precinct
from sidecar_jp2.blocks.precinct_blocks import PrecinctBlocks, numbers_within, part_of
from sidecar_jp2.extract.block_choice import ComponentChoice, Precinct
from sidecar_jp2.extract.small_codestream import END, SOP, SmallCodestream
from sidecar_jp2.extraction import NOTHING, Extracted, LeftOut
from sidecar_jp2.format.block_grid import Grids, blocks_of
from sidecar_jp2.format.geometry import Area
from sidecar_jp2.format.markers import Marker
from sidecar_jp2.format.tile_part_header import MIN_TILE_PART_BYTES
from sidecar_jp2.index.block_store import PRECINCTS, BlockStore, PrecinctKey, Rewritten


@dataclass(frozen=True, slots=True)
class Packets:
    """The packets of the file that a tile takes, in its own order."""

    places: tuple[int, ...]
    """The number of each packet in the small codestream; the packets between are empty."""
    numbers: tuple[int, ...]
    """The number of each packet in its tile of the file."""
    ranges: tuple[int, ...]
    """The number of the range that each packet is in."""
    starts: tuple[int, ...]
    """Where each packet begins and ends in its range."""
    stops: tuple[int, ...]
    total: int
    """How many packets the tile has in the small codestream."""


@dataclass(frozen=True, slots=True)
class RewrittenPrecinct:
    """A precinct whose packet headers are written anew."""

    packets: tuple[int, ...]
    """Its packets, as positions in `Packets`, one for each layer."""
    place: Precinct
    lasting: bool
    """Whether every window gets the same packets."""


@dataclass(frozen=True, slots=True)
class RewrittenTile:
    """A tile of the small codestream."""

    number: int
    """The number of the tile in the file."""
    packets: Packets
    precincts: tuple[RewrittenPrecinct, ...]
    choices: tuple[ComponentChoice, ...]
    """Which code blocks and coding passes stay of each component."""


@dataclass(slots=True)
class Seen:
    """What is counted while a codestream is built."""

    blocks: int = 0
    """Code blocks that are left out."""
    hits: int = 0
    misses: int = 0
    """Precincts whose packet headers had been read or written before, and those that were read."""


@dataclass(frozen=True, slots=True)
class RewrittenCodestream:
    """How to build it from some byte ranges. A value, independent of any request."""

    ranges: tuple[ByteRange, ...]
    area: Area
    """The area with the same samples as the extracted area of the whole codestream, but for what is left out."""
    head: bytes = field(repr=False)
    """The main header."""
    tiles: tuple[RewrittenTile, ...] = field(repr=False)
    sop: bool
    """Whether SOP stands before the packets in the file."""
    eph: bool
    store: BlockStore = field(repr=False, compare=False)
    unchanged: Callable[[], SmallCodestream] = field(repr=False, compare=False)
    """The small codestream of the same ranges with all packets as they are."""
    dropped: int = 0
    """How many of the finest resolutions it lacks."""
    restyled: bool = False
    cut: bool = False
    """Whether a part of a tile is cut out."""
    left_out: LeftOut = NOTHING
    """Of what is known before the packets are read."""

    def located(self, area: Area) -> Area:
        """Return nothing: only windows are decoded of what is rewritten."""
        raise NotImplementedError(area)

    def extracted(self, data: Sequence[Buffer]) -> Extracted:
        """Build the codestream; called in a native thread.

        If a packet header cannot be read, all packets stay as they are. Raises DecodeError if that would be too few
        layers, and if the bytes do not begin with the packets that the index expects.
        """
        try:
            seen = Seen()
            codestream = self._build(data, seen)
        except BadPacketHeader as error:
            self.store.refuse(str(error))
            if self.left_out.layers:
                raise DecodeError(f"{error}, and quality layers were left out") from error
            return self.unchanged().extracted(data)
        PRECINCTS.looked_up(hits=seen.hits, misses=seen.misses)
        left_out = self.left_out._replace(blocks=seen.blocks)
        return Extracted(codestream, self.area, cut=self.cut, dropped=self.dropped, left_out=left_out)

    def _build(self, data: Sequence[Buffer], seen: Seen) -> bytes:
        views, built = [memoryview(piece) for piece in data], list[Buffer]([self.head])
        for number, tile in enumerate(self.tiles):
            pieces = [*self.pieces(tile.packets, views)]
            body = [*self._body(tile.packets, pieces, self._written(tile, pieces, seen))]
            length = MIN_TILE_PART_BYTES + sum(map(len, body))
            built.append(struct.pack(">HHHIBBH", Marker.SOT, 10, number, length, 0, 1, Marker.SOD))
            built += body
        return b"".join([*built, END])

    def _written(self, tile: RewrittenTile, pieces: Sequence[memoryview], seen: Seen) -> Mapping[int, Sequence[Buffer]]:
        """Return what the packets that are written anew are made of."""
        written: dict[int, Sequence[Buffer]] = {}
        for precinct in tile.precincts:
            packets = [pieces[number] for number in precinct.packets]
            made = self.rewritten(tile, precinct, packets, seen)
            for number, packet, new in zip(precinct.packets, packets, made, strict=True):
                written[number] = [SOP, new.header, *(packet[start:stop] for start, stop in new.spans)]
        return written

    def _body(
        self, packets: Packets, pieces: Sequence[memoryview], written: Mapping[int, Sequence[Buffer]]
    ) -> Iterator[Buffer]:
        """Yield what the packets of a tile are made of."""
        empty = SOP + EMPTY + (EPH if self.eph else b"")
        for position, (before, place) in enumerate(pairwise((-1, *packets.places))):
            if place - before > 1:
                yield empty * (place - before - 1)
            if position in written:
                yield from written[position]
                continue
            if not self.sop or pieces[position][: len(SOP) - 2] != SOP[:-2]:
                yield SOP
            yield pieces[position]
        yield empty * (packets.total - 1 - (packets.places or (-1,))[-1])

    def pieces(self, found: Packets, views: Sequence[memoryview]) -> Iterator[memoryview]:
        """Yield the packets as the file has them."""
        for number, place, start, stop in zip(found.numbers, found.ranges, found.starts, found.stops, strict=True):
            piece = views[place][start:stop]
            # If packets carry their number (T.800 A.8.1), a wrong index is detected.
            if self.sop and piece[:SOP_BYTES] != SOP[:4] + struct.pack(">H", number & 0xFFFF):
                raise DecodeError(f"SOP: packet {number} does not begin where the packet lengths say")
            yield piece

    def rewritten(
        self, tile: RewrittenTile, precinct: RewrittenPrecinct, packets: Sequence[Buffer], seen: Seen | None = None
    ) -> tuple[Rewritten, ...]:
        """Return the packets of a precinct with the code blocks and passes that stay."""
        seen = seen or Seen()
        choice, resolution = tile.choices[precinct.place.component], precinct.place.resolution
        key = PrecinctKey(tile.number, tile.packets.numbers[precinct.packets[0]], len(packets))
        written = key._replace(dropped=choice.dropped(resolution))
        kept = self.store.packets(written) if precinct.lasting else None
        if kept:
            seen.hits += 1
            return kept
        whole, part = choice.grids(precinct.place)
        style = choice.coding.block_style
        blocks = self._blocks(key, whole, packets, style, seen)
        numbers = range(len(blocks.zero_planes)) if whole == part else [*numbers_within(whole, part)]
        most = choice.most_passes(resolution, part, [blocks.zero_planes[number] for number in numbers])
        stays = part_of(blocks, numbers, style, most)
        headers = write_precinct(part, stays.blocks, style)
        eph = EPH if self.eph else b""
        made = tuple(Rewritten(header + eph, tuple(spans)) for header, spans in zip(headers, stays.spans, strict=True))
        if precinct.lasting:
            self.store.put(written, made)
        else:  # of what every window gets, none lacks a block
            seen.blocks += len(blocks.zero_planes) - len(numbers) + (most.count(0) if most else 0)
        return made

    def _blocks(
        self, key: PrecinctKey, whole: Grids, packets: Sequence[Buffer], style: int, seen: Seen
    ) -> PrecinctBlocks:
        record = self.store.blocks(key)
        seen.hits += record is not None
        seen.misses += record is None
        if record is not None:
            return PrecinctBlocks.from_bytes(record, blocks_of(whole), len(packets))
        found = read_precinct(whole, packets, style, eph=self.eph)
        self.store.put(key, found.to_bytes())
        return found
