"""HTJ2K files for tests: made by OpenJPH through imagecodecs, and cut anew into precincts with packet lengths.

imagecodecs writes one packet for each resolution and component of a tile, and no packet lengths. `Repacked` takes the
code blocks out of them, whole, and packs them again: smaller precincts, any progression, PLT, SOP and EPH.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any, NamedTuple

import numpy as np
from imagecodecs import htj2k_encode
from numpy.typing import NDArray
from sidecar_jp2.format.main_header import MainHeader, Progression, parse_main_header
from sidecar_jp2.format.markers import Marker, segment_bytes, segments_before
from sidecar_jp2.format.rounding import ceil_div

from sidecar_htj2k.packets import BitReader, BitWriter, Block, read_blocks, write_blocks

BANDS = ((0, 0), (1, 0), (0, 1), (1, 1))
"""LL, HL, LH, HH: whether a subband is high-pass across and down."""
ONE_PACKET = 15
"""PPx and PPy of a precinct that is the whole of any image here."""


class Span(NamedTuple):
    """Code blocks of a subband in one direction, counted from the origin of the subband."""

    first: int
    stop: int

    @property
    def length(self) -> int:
        """How many there are."""
        return self.stop - self.first


def encode(pixels: NDArray[Any], depth: int = 0, *, levels: int = 5, reversible: bool = True, **options: Any) -> bytes:
    """Return an HTJ2K codestream of (rows, columns) or (rows, columns, 3) samples.

    With a `depth`, samples of 16 bits from 0 to 2**depth - 1 are declared to have that depth.
    """
    if depth and reversible:
        # Coded are the samples less half of 2**16; with another depth, less half of that (ITU-T T.800 G.1).
        pixels = pixels + np.uint16((1 << 15) - (1 << depth - 1))
    made = bytearray(htj2k_encode(pixels, resolutions=levels, reversible=reversible, **options))
    if depth and reversible:
        for component in range(int.from_bytes(made[40:42])):
            made[42 + 3 * component] = depth - 1
    return bytes(made)


def photograph(size: tuple[int, int], channels: int = 3, depth: int = 8, seed: int = 0) -> NDArray[Any]:
    """Return noisy waves with hard edges, whose coarse levels overshoot: (rows, columns[, channels]) of a size."""
    random, most = np.random.default_rng(seed), (1 << depth) - 1
    y, x = np.mgrid[: size[1], : size[0]]
    waves = [(np.sin(x / (7 + index)) + np.cos(y / (5 + index)) + 2) / 4 for index in range(channels)]
    planes = np.stack([wave + random.normal(0, 0.05, x.shape) for wave in waves], -1)
    planes[(x // 13 + y // 11) % 5 == 0] = random.integers(0, 2)
    pixels = (np.clip(planes, 0, 1) * most).astype(np.uint8 if depth == 8 else np.uint16)  # noqa: PLR2004  # a byte
    return np.asarray(pixels if channels > 1 else pixels[..., 0])


@dataclass(frozen=True, slots=True, kw_only=True)
class Packing:
    """How packets are to be written."""

    precincts: tuple[tuple[int, int], ...] = ()
    """(PPx, PPy), the coarsest first, the last one repeated; blocks must fit into them uncut."""
    progression: Progression = Progression.RPCL
    lengths: bool = True
    """Whether PLT is written."""
    sop: bool = False
    eph: bool = False


def repack(codestream: bytes, packing: Packing) -> bytes:
    """Return the same code blocks in other packets. The image must be one that `encode` makes."""
    return b"".join(Repacked(codestream, packing).parts())


@dataclass(slots=True)
class Repacked:
    """A codestream and how to pack it."""

    codestream: bytes
    packing: Packing
    header: MainHeader = field(init=False)

    def __post_init__(self) -> None:
        self.header = parse_main_header(self.codestream)

    def parts(self) -> Iterator[bytes]:
        """Yield the main header, the tiles, EOC."""
        yield self._head()
        at = self.header.stop
        while self.codestream[at : at + 2] == Marker.SOT.to_bytes(2):
            _, _, tile, length = struct.unpack_from(">HHHI", self.codestream, at)
            header = [*segments_before(Marker.SOD, self.codestream, at + 12)]
            body = (header[-1].stop if header else at + 12) + 2
            packets = [*self._packets(tile, self._blocks(tile, body))]
            lengths = [*_length_segments(packets)] if self.packing.lengths else []
            whole = b"".join([*lengths, struct.pack(">H", Marker.SOD), *packets])
            yield struct.pack(">HHHIBB", Marker.SOT, 10, tile, 12 + len(whole), 0, 1) + whole
            at += length
        yield struct.pack(">H", Marker.EOC)

    def _head(self) -> bytes:
        made = struct.pack(">H", Marker.SOC)
        for segment in self.header.segments:
            data = segment.data
            if segment.marker == Marker.TLM:
                continue
            if segment.marker == Marker.COD:
                style = 1 | 2 * self.packing.sop | 4 * self.packing.eph
                sizes = bytes(x | y << 4 for x, y in self._precincts())
                data = bytes([style, self.packing.progression]) + data[2:10] + sizes
            made += segment_bytes(segment.marker, data)
        return made

    def _precincts(self) -> list[tuple[int, int]]:
        sizes = self.packing.precincts or ((ONE_PACKET, ONE_PACKET),)
        return [sizes[min(index, len(sizes) - 1)] for index in range(self.header.levels + 1)]

    def _span(self, tile: int, axis: int, resolution: int, high: int) -> tuple[int, int]:
        """Return the samples of a subband in a tile (T.800 B-15)."""
        place = self.header.geometry.tile(tile)
        start, stop = ((place.x, place.right), (place.y, place.bottom))[axis]
        level = self.header.levels - resolution + (resolution > 0)
        half = high << max(level - 1, 0)
        return ceil_div(start - half, 1 << level), ceil_div(stop - half, 1 << level)

    def _grid(self, tile: int, axis: int, resolution: int, high: int, precinct: tuple[int, int]) -> Span:
        """Return the blocks of a subband in a precinct: its power of 2 and its number from the origin."""
        coding = self.header.coding[0]
        power = (coding.block_width, coding.block_height)[axis]
        start, stop = self._span(tile, axis, resolution, high)
        size, number = precinct
        inner = size - (resolution > 0)
        start, stop = max(start, number << inner), min(stop, number + 1 << inner)
        return Span(start >> power, ceil_div(stop, 1 << power)) if start < stop else Span(0, 0)

    def _blocks(self, tile: int, at: int) -> dict[tuple[int, ...], Block]:
        """Return the blocks by (resolution, component, band, row, column)."""
        found: dict[tuple[int, ...], Block] = {}
        for resolution, component in product(
            range(self.header.levels + 1), range(len(self.header.geometry.components))
        ):
            if not self._exists(tile, resolution):
                continue
            bits, included = BitReader(self.codestream, at), list[tuple[tuple[int, ...], int, int]]()
            grids = [*self._grids(tile, resolution, ((ONE_PACKET, 0), (ONE_PACKET, 0)))]
            if all(not columns.length or not rows.length for _, columns, rows in grids):
                at += 1
                continue
            if bits.read(1):
                for band, columns, rows in grids:
                    for row, column, missing, length in read_blocks(bits, rows.length, columns.length):
                        place = (resolution, component, band, rows.first + row, columns.first + column)
                        included.append((place, missing, length))
            at = bits.end
            for key, missing, length in included:
                found[key] = Block(missing, self.codestream[at : at + length])
                at += length
        return found

    def _exists(self, tile: int, resolution: int) -> bool:
        """Report whether a resolution of a tile has samples, and so a packet."""
        place, scale = self.header.geometry.tile(tile), 1 << self.header.levels - resolution
        across = ceil_div(place.x, scale) < ceil_div(place.right, scale)
        return across and ceil_div(place.y, scale) < ceil_div(place.bottom, scale)

    def _grids(
        self, tile: int, resolution: int, precinct: tuple[tuple[int, int], tuple[int, int]]
    ) -> Iterator[tuple[int, Span, Span]]:
        for band in (1, 2, 3) if resolution else (0,):
            across, down = BANDS[band]
            yield (
                band,
                self._grid(tile, 0, resolution, across, precinct[0]),
                self._grid(tile, 1, resolution, down, precinct[1]),
            )

    def _packets(self, tile: int, blocks: dict[tuple[int, ...], Block]) -> Iterator[bytes]:
        for number, (resolution, component, row, column) in enumerate(self._order(tile)):
            size = self._precincts()[resolution]
            precinct = (size[0], column), (size[1], row)
            bits, bodies = BitWriter(), list[bytes]()
            bits.write(1, 1)
            for band, columns, rows in self._grids(tile, resolution, precinct):
                if not columns.length or not rows.length:
                    continue
                here = [
                    [blocks.get((resolution, component, band, y, x)) for x in range(columns.first, columns.stop)]
                    for y in range(rows.first, rows.stop)
                ]
                write_blocks(bits, here)
                bodies += [block.data for line in here for block in line if block]
            marker = struct.pack(">HHH", Marker.SOP, 4, number & 0xFFFF) if self.packing.sop else b""
            ending = struct.pack(">H", Marker.EPH) if self.packing.eph else b""
            yield b"".join([marker, bits.done(), ending, *bodies])

    def _order(self, tile: int) -> list[tuple[int, int, int, int]]:
        """Return (resolution, component, row, column) of each packet in the order of the progression (B.12.1)."""
        found = []
        place = self.header.geometry.tile(tile)
        for resolution, (wide, high) in enumerate(self._precincts()):
            scale = self.header.levels - resolution
            across, down = (
                (ceil_div(start, 1 << scale), ceil_div(stop, 1 << scale))
                for start, stop in ((place.x, place.right), (place.y, place.bottom))
            )
            if across[0] == across[1] or down[0] == down[1]:
                continue
            for component, row, column in product(
                range(len(self.header.geometry.components)),
                range(down[0] >> high, ceil_div(down[1], 1 << high)),
                range(across[0] >> wide, ceil_div(across[1], 1 << wide)),
            ):
                x, y = max(place.x, column << wide + scale), max(place.y, row << high + scale)
                keys = {
                    Progression.LRCP: (resolution, component, row, column),
                    Progression.RLCP: (resolution, component, row, column),
                    Progression.RPCL: (resolution, y, x, component),
                    Progression.PCRL: (y, x, component, resolution),
                    Progression.CPRL: (component, y, x, resolution),
                }
                found.append((keys[self.packing.progression], (resolution, component, row, column)))
        return [packet for _, packet in sorted(found)]


def _length_segments(packets: Sequence[bytes]) -> Iterator[bytes]:
    """Yield PLT (T.800 A.7.3)."""
    data = b""
    number = 0
    for packet in packets:
        septets = [len(packet) & 127]
        while (rest := len(packet) >> 7 * len(septets)) > 0:
            septets.append(rest & 127 | 128)
        if len(data) + len(septets) > 60_000:  # noqa: PLR2004  # Lplt has 16 bits
            yield segment_bytes(Marker.PLT, bytes([number]) + data)
            data, number = b"", number + 1
        data += bytes(reversed(septets))
    yield segment_bytes(Marker.PLT, bytes([number]) + data)
