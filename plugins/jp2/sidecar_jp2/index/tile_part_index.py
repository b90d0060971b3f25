"""The tile-parts of a codestream and the packet lengths in their headers, read by ranges and only as far as needed."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import gevent
import numpy as np
from numpy.typing import NDArray

from sidecar.plugin import Blob, ByteRange
from sidecar_jp2.format.broken import Broken
from sidecar_jp2.format.main_header import MainHeader
from sidecar_jp2.format.markers import Incomplete, Marker
from sidecar_jp2.format.tile_part_header import (
    MIN_TILE_PART_BYTES,
    SOT_BYTES,
    PacketLengths,
    TilePartContents,
    parse_contents,
    parse_start,
    parse_tlm,
)
from sidecar_jp2.index.read_ahead import MAX_BYTES, ReadAhead

MAX_PARTS_OF_A_TILE, MAX_PARTS = 255, 1 << 17
"""Tile-parts: TPsot has 8 bits (T.800 A.4.2), and walking through more than `MAX_PARTS` would take too long."""
TOGETHER = 512
"""Tile-parts that are walked through before other greenlets have their turn: a block may hold a hundred thousand."""
RESTYLED = -1
PART_BYTES = 29
"""The memory of a tile-part in the arrays below."""
OBJECT_BYTES = 400
"""The memory of a tile, or of the contents of a tile-part, beside its numbers: a tuple, arrays, a dict entry."""


class TlmMismatch(Exception):
    """A tile-part differs from its entry in the TLM segments."""


class TooManyTileParts(Exception):
    """There are more tile-parts than `MAX_PARTS`."""


class Tile(NamedTuple):
    """The tile-parts and the packets of one tile."""

    parts: NDArray[np.int64]
    """Shape (4, parts): where each tile-part begins and ends, where its packets begin, and how many it has.

    The last is 0 if that is not known, and RESTYLED if other segments than PLT stand in its header.
    """
    lengths: PacketLengths | None
    """Bytes of each packet; None if they are not known for certain."""

    @property
    def restyled(self) -> bool:
        """Whether the tile may be coded in another way than the main header says."""
        return bool((self.parts[3] == RESTYLED).any())

    @property
    def nbytes(self) -> int:
        return OBJECT_BYTES + self.parts.nbytes + (0 if self.lengths is None else self.lengths.nbytes)


class TilePartIndex:
    """The tile-parts read so far, numbered in codestream order, and the tiles that are complete."""

    def __init__(self, header: MainHeader, stop: int) -> None:
        self.tiles_in_image = header.geometry.columns * header.geometry.rows
        self.begin = header.stop
        """The offset of the first tile-part in the blob."""
        self.stop = stop
        self.marked: bool | None = None
        """Whether EOC comes last; None if nobody has looked."""
        self.forget()
        self._use_tlm(header)

    def forget(self) -> None:
        """Start over, without TLM."""
        self.tile, self.start, self.length = array("H"), array("Q"), array("Q")
        self.part, self.total = array("B"), array("B")
        self.contents: dict[int, TilePartContents] = {}
        """By tile-part number, for tiles that are not complete yet."""
        self.tiles: dict[int, Tile] = {}
        self._in_tiles = 0
        self.frontier = self.begin
        """The offset of the first tile-part not read yet."""
        self.ended = False

    def _use_tlm(self, header: MainHeader) -> None:
        parts = parse_tlm(header.segments, self.tiles_in_image) if header.has(Marker.TLM) else None
        if parts is None or not 0 < len(parts.tiles) <= MAX_PARTS:
            return
        stops = self.begin + np.cumsum(parts.lengths)
        # TLM can only be right if its lengths add up to the end of the codestream, with or without EOC.
        if self.stop - stops[-1] not in (0, 2):
            return
        count = len(parts.tiles)
        self.tile, self.length = array("H", parts.tiles.tolist()), array("Q", parts.lengths.tolist())
        self.start = array("Q", (stops - parts.lengths).tolist())
        self.part, self.total = array("B", bytes(count)), array("B", bytes(count))
        self.frontier = int(stops[-1])
        self.ended = True

    @property
    def nbytes(self) -> int:
        """The approximate memory in bytes."""
        return PART_BYTES * len(self.tile) + OBJECT_BYTES * len(self.contents) + self._in_tiles

    @property
    def revision(self) -> int:
        """A number that changes whenever the index grows."""
        return len(self.tile) + len(self.tiles)

    def has_end(self, blob: Blob) -> bool:
        """Return whether EOC comes last: if only that is lost, OpenJPEG decodes nothing, but tiles are whole.

        It is read once. Raises SourceError.
        """
        if self.marked is None:
            self.marked = bytes(blob.read([ByteRange(self.stop - 2, self.stop)])[0]) == Marker.EOC.to_bytes(2)
        return self.marked

    def find(self, blob: Blob, packets: Mapping[int, int]) -> list[Tile] | None:
        """Return some tiles, reading what is missing; None if the tile-parts of one are inconsistent.

        `packets` maps each tile number to the number of packets it should have.
        Raises TlmMismatch, TooManyTileParts, Broken, SourceError.
        """
        missing = {tile: count for tile, count in packets.items() if not self._holds(tile, count)}
        if missing:
            found = self._known(missing)
            self._read_headers(blob, [number for numbers in found.values() for number in numbers], missing)
            self._walk(blob, found, missing)
            for tile, numbers in found.items():
                if not self._consistent(numbers) or (self._cut and not self._whole(numbers, missing[tile])):
                    return None
                self.add_tile(tile, self._tile(numbers, missing[tile]))
        return [self.tiles[tile] for tile in packets]

    def add_tile(self, number: int, tile: Tile) -> None:
        self.tiles[number] = tile
        self._in_tiles += tile.nbytes

    def _holds(self, number: int, packets: int) -> bool:
        """Whether a tile is known, with as many packets as it should have: what was kept may say anything."""
        tile = self.tiles.get(number)
        return tile is not None and (tile.lengths is None or len(tile.lengths) == packets)

    def _tile(self, numbers: Sequence[int], packets: int) -> Tile:
        """Make a tile from its tile-parts, whose contents are dropped."""
        lengths = self._lengths(numbers)
        rows: list[tuple[int, int, int, int]] = []
        for number in numbers:
            start, (header, known, restyled) = self.start[number], self.contents.pop(number)
            count = RESTYLED if restyled else 0 if known is None else len(known)
            rows.append((start, start + self.length[number], start + header, count))
        right = lengths is not None and len(lengths) == packets
        return Tile(np.array(rows, np.int64).T, lengths if right else None)

    def _consistent(self, numbers: Sequence[int]) -> bool:
        """Whether a tile's parts come in order (TPsot) and, if TNsot is given, are as many as it says."""
        count = len(numbers)
        in_order = [self.part[number] for number in numbers] == [*range(count)]
        return (
            0 < count <= MAX_PARTS_OF_A_TILE and in_order and {self.total[number] for number in numbers} <= {0, count}
        )

    def _lengths(self, numbers: Sequence[int]) -> PacketLengths | None:
        found = [lengths for number in numbers if (lengths := self.contents[number].lengths) is not None]
        return np.concatenate(found) if len(found) == len(numbers) else None  # type: ignore[return-value]  # both widths are allowed

    def _known(self, tiles: Iterable[int]) -> dict[int, list[int]]:
        found: dict[int, list[int]] = {tile: [] for tile in tiles}
        all_tiles = np.array(self.tile, np.uint16)
        for number in np.flatnonzero(np.isin(all_tiles, [*found])).tolist():
            found[int(all_tiles[number])].append(number)
        return found

    def _read_headers(self, blob: Blob, numbers: Iterable[int], tiles: Mapping[int, int]) -> None:
        """Read headers at known offsets in one round, and in another those that are longer than estimated."""
        # PLT takes two bytes for most packets and three for large ones.
        first = {n: MIN_TILE_PART_BYTES + 64 + 3 * tiles[self.tile[n]] for n in numbers if n not in self.contents}
        pending = {number: min(size, self.length[number], MAX_BYTES) for number, size in first.items()}
        while pending:
            ranges = [ByteRange(self.start[number], self.start[number] + size) for number, size in pending.items()]
            longer: dict[int, int] = {}
            for number, data in zip(pending, blob.read(ranges), strict=True):
                try:
                    self._parse(number, bytes(data))
                except Incomplete as more:
                    longer[number] = min(max(more.needed, 4 * len(data)), self.length[number])
            pending = longer

    def _parse(self, number: int, data: bytes) -> None:
        try:
            start = parse_start(data, 0, self.tiles_in_image)
        except Broken as error:
            raise TlmMismatch from error
        if (start.tile, start.length or self.length[number]) != (self.tile[number], self.length[number]):
            raise TlmMismatch
        self.part[number], self.total[number] = start.part, start.total
        self.contents[number] = parse_contents(data, 0, self.length[number])

    def _walk(self, blob: Blob, found: dict[int, list[int]], tiles: Mapping[int, int]) -> None:
        """Walk from SOT to SOT until all tile-parts of the tiles are known."""
        wanted = {tile for tile, numbers in found.items() if not self._settled(numbers, tiles[tile])}
        ahead = ReadAhead(blob, self.stop)
        while wanted and not self.ended:
            if not len(self.tile) % TOGETHER:
                gevent.sleep()
            tile = self._step(blob, ahead, wanted)
            if tile in wanted:
                found[tile].append(len(self.tile) - 1)
                if self._settled(found[tile], tiles[tile]):
                    wanted.remove(tile)

    @property
    def _cut(self) -> bool:
        """Whether tile-parts may be missing: the last one known does not end at EOC, the last two bytes."""
        return self.ended and self.frontier != self.stop - 2

    def _settled(self, numbers: Sequence[int], packets: int) -> bool:
        """Whether these are certainly all tile-parts of their tile.

        TNsot has 8 bits, and some encoders have written more tile-parts. So it only counts if all packets are there.
        """
        if self.ended or len(numbers) > MAX_PARTS_OF_A_TILE:
            return True
        if not self._consistent(numbers):
            return False
        declared = max(self.total[number] for number in numbers)
        lengths = self._lengths(numbers) if declared > 1 else None
        return declared == 1 or (lengths is not None and len(lengths) == packets)

    def _whole(self, numbers: Sequence[int], packets: int) -> bool:
        """Whether nothing is missing of a tile of a codestream that is cut short: TNsot or PLT says so."""
        if any(self.total[number] for number in numbers):
            return True
        lengths = self._lengths(numbers)
        return lengths is not None and len(lengths) == packets

    def _step(self, blob: Blob, ahead: ReadAhead, wanted: set[int]) -> int:
        """Read the next tile-part and return its tile, or -1 at the end."""
        at = self.frontier
        data = ahead.at(at, SOT_BYTES)
        if len(data) < SOT_BYTES or int.from_bytes(data[:2]) == Marker.EOC:
            self.ended = True
            return -1
        start = parse_start(data, 0, self.tiles_in_image)
        # A tile-part whose Psot is 0 ends at EOC (T.800 A.4.2).
        open_ended = not start.length and not self.has_end(blob)
        length = start.length or self.stop - at - (0 if open_ended else 2)
        if length < MIN_TILE_PART_BYTES or at + length > self.stop:  # it has been cut short; what comes before is whole
            self.ended = True
            return -1
        contents = self._contents(ahead, at, length, wait=start.tile in wanted or open_ended)
        if open_ended and (contents is None or contents.lengths is None):  # only PLT tells that nothing is missing
            self.ended = True
            return -1
        self._add(start.tile, length, start.part, start.total)
        if contents is not None:
            self.contents[len(self.tile) - 1] = contents
        return start.tile

    def _contents(self, ahead: ReadAhead, at: int, length: int, *, wait: bool) -> TilePartContents | None:
        size = min(length, MIN_TILE_PART_BYTES)
        while True:
            try:
                return parse_contents(ahead.at(at, size), 0, length)
            except Incomplete as more:
                if not wait:
                    return None
                size = min(max(more.needed, 2 * size), length)

    def _add(self, tile: int, length: int, part: int, total: int) -> None:
        if len(self.tile) >= MAX_PARTS:
            raise TooManyTileParts
        self.tile.append(tile)
        self.start.append(self.frontier)
        self.length.append(length)
        self.part.append(part)
        self.total.append(total)
        self.frontier += length
