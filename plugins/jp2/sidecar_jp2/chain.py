"""The tile-parts of an image and what their headers say, learned by ranged reads and only as far as is needed."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sidecar.errors import Malformed
from sidecar.interfaces import Blob
from sidecar.model import ByteRange
from sidecar_jp2.codestream import MainHeader
from sidecar_jp2.markers import Incomplete, Marker
from sidecar_jp2.tileparts import LEAST, SOT_BYTES, Contents, Lengths, parse_contents, parse_directory, parse_start

NEAR = 16 * 1024
"""How far ahead a file on this machine is read while its chain is walked."""
FAR, FARTHEST = 64 * 1024, 4 * 2**20
"""From a remote source: at first, and at most."""
SHORT_CHAIN = 5
"""One tile with a tile-part for each resolution is through after so many rounds: its last hops are long."""
LONG_HOP = 8
"""A hop of more blocks than this is not worth reading all that lies between."""
MOST_OF_A_TILE, MOST = 255, 1 << 17
"""Tile-parts: TPsot has 8 bits (T.800 A.4.2), and walking through more than that holds up everyone else."""
PART_BYTES = 29
"""The memory of a tile-part in the arrays below."""
OBJECT_BYTES = 400
"""The memory of a tile, or of the contents of a tile-part, beside its numbers: a tuple, arrays, a place in a dict."""


class Disagreement(Exception):
    """A tile-part is not what the TLM segments say."""


class TooManyParts(Exception):
    """There are more tile-parts than any file of sense has."""


class Tile(NamedTuple):
    """All that is known of a tile."""

    parts: NDArray[np.int64]
    """Of each tile-part where it begins and ends, where its packets begin, and how many it has: shape (4, parts)."""
    lengths: Lengths | None
    """Of all packets; None where they are not surely known."""

    @property
    def nbytes(self) -> int:
        """The memory it takes."""
        return OBJECT_BYTES + self.parts.nbytes + (0 if self.lengths is None else self.lengths.nbytes)


class Chain:
    """The known tile-parts in the order of the codestream, by number."""

    def __init__(self, header: MainHeader, stop: int) -> None:
        self._tiles_in_image = header.geometry.columns * header.geometry.rows
        self.begin = header.stop
        """Where the first tile-part begins in the blob."""
        self.stop = stop
        self.forget()
        self._use_directory(header)

    def forget(self) -> None:
        """Begin again, without TLM."""
        self.tile, self.start, self.length = array("H"), array("Q"), array("Q")
        self.part, self.total = array("B"), array("B")
        self.contents: dict[int, Contents] = {}
        """Of tile-parts whose tile is not known as a whole yet."""
        self.tiles: dict[int, Tile] = {}
        self._in_tiles = 0
        self.frontier = self.begin
        """Where the next tile-part not yet known begins."""
        self.ended = False

    def _use_directory(self, header: MainHeader) -> None:
        parts = parse_directory(header.segments, self._tiles_in_image) if header.has(Marker.TLM) else None
        # Right only if it leads to EOC, or to an end without one.
        if not parts or len(parts) > MOST or self.stop - self.begin - sum(length for _, length in parts) not in (0, 2):
            return
        for tile, length in parts:
            self._add(tile, length, 0, 0)
        self.ended = True

    @property
    def nbytes(self) -> int:
        """About how much memory it takes."""
        return PART_BYTES * len(self.tile) + OBJECT_BYTES * len(self.contents) + self._in_tiles

    @property
    def learned(self) -> int:
        """Another number whenever something was learned."""
        return len(self.tile) + len(self.tiles)

    def find(self, blob: Blob, packets: Mapping[int, int]) -> list[Tile] | None:
        """Learn all about some tiles, given how many packets each should have; None where one cannot be right.

        Raises Disagreement, TooManyParts, Malformed, SourceError.
        """
        missing = {tile: count for tile, count in packets.items() if tile not in self.tiles}
        if missing:
            found = self._known(missing)
            self._learn(blob, [number for numbers in found.values() for number in numbers], missing)
            self._walk(blob, found, missing)
            for tile, numbers in found.items():
                if not self._consistent(numbers):
                    return None
                self.keep(tile, self._tile(numbers, missing[tile]))
        return [self.tiles[tile] for tile in packets]

    def keep(self, number: int, tile: Tile) -> None:
        """Remember a tile."""
        self.tiles[number] = tile
        self._in_tiles += tile.nbytes

    def _tile(self, numbers: Sequence[int], packets: int) -> Tile:
        """Put together what the tile-parts hold."""
        lengths = self._lengths(numbers)
        rows: list[tuple[int, int, int, int]] = []
        for number in numbers:
            start, (header, known) = self.start[number], self.contents.pop(number)
            rows.append((start, start + self.length[number], start + header, 0 if known is None else len(known)))
        right = lengths is not None and len(lengths) == packets
        return Tile(np.array(rows, np.int64).T, lengths if right else None)

    def _consistent(self, numbers: Sequence[int]) -> bool:
        """Whether a tile's parts come in order (TPsot), and are as many as they say (TNsot), where they do."""
        count = len(numbers)
        in_order = [self.part[number] for number in numbers] == [*range(count)]
        return 0 < count <= MOST_OF_A_TILE and in_order and {self.total[number] for number in numbers} <= {0, count}

    def _lengths(self, numbers: Sequence[int]) -> Lengths | None:
        """Of the packets of some tile-parts."""
        found = [lengths for number in numbers if (lengths := self.contents[number].lengths) is not None]
        return np.concatenate(found) if len(found) == len(numbers) else None  # type: ignore[return-value]  # of either width

    def _known(self, tiles: Iterable[int]) -> dict[int, list[int]]:
        found: dict[int, list[int]] = {tile: [] for tile in tiles}
        all_tiles = np.array(self.tile, np.uint16)
        for number in np.flatnonzero(np.isin(all_tiles, [*found])).tolist():
            found[int(all_tiles[number])].append(number)
        return found

    def _learn(self, blob: Blob, numbers: Iterable[int], tiles: Mapping[int, int]) -> None:
        """Read headers at known places: one round, another for those longer than thought."""
        # PLT takes two bytes for most packets, three for large ones.
        first = {n: LEAST + 64 + 3 * tiles[self.tile[n]] for n in numbers if n not in self.contents}
        pending = {number: min(size, self.length[number], FARTHEST) for number, size in first.items()}
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
            start = parse_start(data, 0, self._tiles_in_image)
        except Malformed as error:
            raise Disagreement from error
        if (start.tile, start.length or self.length[number]) != (self.tile[number], self.length[number]):
            raise Disagreement
        self.part[number], self.total[number] = start.part, start.total
        self.contents[number] = parse_contents(data, 0, self.length[number])

    def _walk(self, blob: Blob, found: dict[int, list[int]], tiles: Mapping[int, int]) -> None:
        """Follow the chain of SOT segments until all tile-parts are known."""
        wanted = {tile for tile, numbers in found.items() if not self._settled(numbers, tiles[tile])}
        block = _Block(blob, self.stop)
        while wanted and not self.ended:
            tile = self._step(block, wanted)
            if tile in wanted:
                found[tile].append(len(self.tile) - 1)
                if self._settled(found[tile], tiles[tile]):
                    wanted.remove(tile)

    def _settled(self, numbers: Sequence[int], packets: int) -> bool:
        """Whether these are surely all tile-parts of their tile.

        TNsot has 8 bits, and encoders have written more tile-parts: it is believed where the packets are all there.
        """
        if self.ended or len(numbers) > MOST_OF_A_TILE:
            return True
        if not self._consistent(numbers):
            return False
        said = max(self.total[number] for number in numbers)
        lengths = self._lengths(numbers) if said > 1 else None
        return said == 1 or (lengths is not None and len(lengths) == packets)

    def _step(self, block: _Block, wanted: set[int]) -> int:
        """Go one tile-part further; its tile, or -1 at the end."""
        at = self.frontier
        data = block.at(at, SOT_BYTES)
        if len(data) < SOT_BYTES or int.from_bytes(data[:2]) == Marker.EOC:
            self.ended = True
            return -1
        start = parse_start(data, 0, self._tiles_in_image)
        length = start.length or self._to_end(block, at)
        if at + length > self.stop:
            raise Malformed(f"SOT: a tile-part of tile {start.tile} goes on after the end of the codestream")
        contents = self._contents(block, at, length, wait=start.tile in wanted)
        self._add(start.tile, length, start.part, start.total)
        if contents is not None:
            self.contents[len(self.tile) - 1] = contents
        return start.tile

    def _to_end(self, block: _Block, at: int) -> int:
        """Psot of 0: up to EOC (T.800 A.4.2)."""
        end = self.stop - 2
        return (end if block.at(end, 2)[:2] == Marker.EOC.to_bytes(2) else self.stop) - at

    def _contents(self, block: _Block, at: int, length: int, *, wait: bool) -> Contents | None:
        size = min(length, LEAST)
        while True:
            try:
                return parse_contents(block.at(at, size), 0, length)
            except Incomplete as more:
                if not wait:
                    return None
                size = min(max(more.needed, 2 * size), length)

    def _add(self, tile: int, length: int, part: int, total: int) -> None:
        if len(self.tile) >= MOST:
            raise TooManyParts
        self.tile.append(tile)
        self.start.append(self.frontier)
        self.length.append(length)
        self.part.append(part)
        self.total.append(total)
        self.frontier += length


class _Block:
    """Bytes read ahead of a walk."""

    def __init__(self, blob: Blob, stop: int) -> None:
        self._blob, self._stop = blob, stop
        self._start, self._data = 0, b""
        self._ahead, self._rounds = (NEAR if blob.path else FAR), 0

    def at(self, offset: int, least: int) -> memoryview:
        """The bytes from `offset` on: `least` of them or more, fewer only at the end of the codestream."""
        stop = min(offset + least, self._stop)
        if not self._start <= offset <= stop <= self._start + len(self._data):
            self._read(offset, least)
        return memoryview(self._data)[offset - self._start :]

    def _read(self, offset: int, least: int) -> None:
        self._rounds += 1
        if self._rounds > SHORT_CHAIN and not self._blob.path:
            # A round costs as much as some MB: from here on blocks grow until they hold several hops.
            near = offset - self._start < LONG_HOP * self._ahead
            self._ahead = min(2 * self._ahead, FARTHEST) if near else max(self._ahead // 2, FAR)
        stop = min(offset + max(least, self._ahead), self._stop)
        self._start, self._data = offset, b""
        if stop > offset:
            self._data = bytes(self._blob.read([ByteRange(offset, stop)])[0])
