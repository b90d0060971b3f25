"""A huge single-tile codestream out of a small one: its encoded precincts again and again.

Where the sides of an image are multiples of its largest precincts on the reference grid, the packets of its precincts
fit any other place of a larger image too (ITU-T T.800 B.6). The samples at the seams are the wavelet's, of both sides.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import BinaryIO, NamedTuple

from sidecar_jp2.extract.small_codestream import SOP, Pieces
from sidecar_jp2.format.geometry import Area
from sidecar_jp2.format.main_header import MainHeader, Progression, parse_main_header
from sidecar_jp2.format.markers import Marker, segment_bytes
from sidecar_jp2.index.packet_index import PacketIndex
from sidecar_jp2.index.packet_selection import LevelWindow
from sidecar_jp2.testing import SIGNATURE, box, colr, ftyp, ihdr

from sidecar.plugin import Size, run_inline
from sidecar.testing.fakes import MemoryBlob

PLT_BYTES = 65_000
PLT_MOST = 256


class Resolution(NamedTuple):
    """The packets of a resolution: row by row, in each precinct component by component."""

    across: int
    down: int
    packets: Sequence[Sequence[bytes]]


class Patch(NamedTuple):
    """A codestream taken apart."""

    header: MainHeader
    resolutions: Sequence[Resolution]


def take_apart(data: bytes) -> Patch:
    """Read a codestream of one tile and one layer in RPCL, with PLT."""
    header = parse_main_header(data)
    grid = header.geometry
    if header.progression != Progression.RPCL or header.layers != 1 or grid.columns * grid.rows > 1:
        raise ValueError("one tile and one layer in RPCL are needed")
    index = PacketIndex(header, len(data), run_inline)
    found = index.find(LevelWindow.of(grid, Area(0, 0, grid.x1, grid.y1, 0, 1)), MemoryBlob("a.j2k", data))
    if found is None or not found.located:
        raise ValueError("PLT is needed")
    pieces = Pieces.of(found.tiles, found.selections)
    spans = zip(pieces.starts.tolist(), pieces.stops.tolist(), strict=True)
    packets = [data[start:stop] for start, stop in spans]
    resolutions, at, count = list[Resolution](), 0, len(grid.components)
    for halvings, (wide, high) in zip(range(header.levels, -1, -1), header.coding[0].precincts, strict=True):
        across, down = grid.x1 >> halvings + wide, grid.y1 >> halvings + high
        if across << halvings + wide != grid.x1 or down << halvings + high != grid.y1:
            raise ValueError("the sides are no multiples of the precincts")
        stop = at + across * down * count
        resolutions.append(Resolution(across, down, [packets[n : n + count] for n in range(at, stop, count)]))
        at = stop
    return Patch(header, resolutions)


def write(file: BinaryIO, patch: Patch, times: Size) -> None:
    """Write a JP2 in sRGB that shows the image `times` over in each direction."""
    size = patch.header.geometry.x1 * times.width, patch.header.geometry.y1 * times.height
    packets = [_numbered(packet, number) for number, packet in enumerate(_packets(patch, times))]
    lengths = [*_plt(packets)]
    body = sum(map(len, packets))
    start = struct.pack(">HHHIBB", Marker.SOT, 10, 0, 14 + sum(map(len, lengths)) + body, 0, 1)
    head = (SIGNATURE, ftyp(), box(b"jp2h", ihdr(3, size) + colr(16)), struct.pack(">I4s", 0, b"jp2c"))
    end = Marker.EOC.to_bytes(2)
    file.writelines(chain(head, _main_header(patch, size), [start], lengths, [Marker.SOD.to_bytes(2)], packets, [end]))


def _main_header(patch: Patch, size: tuple[int, int]) -> Iterator[bytes]:
    yield Marker.SOC.to_bytes(2)
    for segment in patch.header.segments:
        extent = struct.pack(">2I", *size)
        changed = segment.data[:2] + extent + segment.data[10:18] + extent + segment.data[26:]
        yield segment_bytes(segment.marker, changed if segment.marker == Marker.SIZ else segment.data)


def _packets(patch: Patch, times: Size) -> Iterator[bytes]:
    for across, down, packets in patch.resolutions:
        for row in range(down * times.height):
            for column in range(across * times.width):
                yield from packets[row % down * across + column % across]


def _numbered(packet: bytes, number: int) -> bytes:
    """Write the number of a packet into its SOP, if it has one (T.800 A.8.1)."""
    return packet[:4] + struct.pack(">H", number & 0xFFFF) + packet[6:] if packet[:4] == SOP[:4] else packet


def _plt(packets: Sequence[bytes]) -> Iterator[bytes]:
    """Yield PLT segments (T.800 A.7.3): seven bits of a length in each byte."""
    numbers = iter(range(PLT_MOST))
    data = bytearray()
    for packet in packets:
        septets = [len(packet) >> shift & 0x7F for shift in range(28, -1, -7) if len(packet) >> shift or not shift]
        data += bytes([*(each | 0x80 for each in septets[:-1]), septets[-1]])
        if len(data) > PLT_BYTES:
            yield segment_bytes(Marker.PLT, bytes([next(numbers)]) + data)
            data.clear()
    yield segment_bytes(Marker.PLT, bytes([next(numbers)]) + data)
