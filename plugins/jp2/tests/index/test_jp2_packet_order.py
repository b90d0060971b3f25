"""The order of packets, compared with the standard's own loops, and with OpenJPEG if components differ."""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sidecar_jp2.extract.extractor import extract
from sidecar_jp2.format.geometry import Area
from sidecar_jp2.format.main_header import Coding, MainHeader, Progression, parse_main_header
from sidecar_jp2.format.markers import Marker, segment_bytes
from sidecar_jp2.format.siz import Component
from sidecar_jp2.index.packet_index import PacketIndex
from sidecar_jp2.index.packet_order import count_packets, order_packets
from sidecar_jp2.index.precincts import PrecinctLayout
from sidecar_jp2.index.tile_part_index import TilePartIndex
from sidecar_jp2.openjpeg.codec import OpenJpeg
from sidecar_jp2.openjpeg.library import bind
from sidecar_jp2.openjpeg.streams import MemoryInput
from sidecar_jp2.testing import compress, picture, planes

from sidecar.plugin import run_inline
from sidecar.testing.fakes import MemoryBlob

Packet = tuple[int, int, int, int, int]
"""Component, resolution, column and row of the precinct, layer."""
Box = tuple[int, int, int, int]
"""x0, y0, x1, y1."""


def up(value: int, by: int) -> int:
    """Divide and round up."""
    return -(-value // by)


class Resolution:
    """One resolution of one component of a tile, in the words of T.800 B.5 and B.6."""

    def __init__(self, tile: Box, component: Component, coding: Coding, number: int) -> None:
        self.dx, self.dy, self.n = component.dx, component.dy, coding.levels - number
        self.ppx, self.ppy = coding.precincts[number]
        tcx0, tcx1 = up(tile[0], self.dx), up(tile[2], self.dx)
        tcy0, tcy1 = up(tile[1], self.dy), up(tile[3], self.dy)
        self.x0, self.x1, self.y0, self.y1 = (up(edge, 2**self.n) for edge in (tcx0, tcx1, tcy0, tcy1))
        self.wide = up(self.x1, 2**self.ppx) - self.x0 // 2**self.ppx if self.x1 > self.x0 else 0
        self.high = up(self.y1, 2**self.ppy) - self.y0 // 2**self.ppy if self.y1 > self.y0 else 0

    def all(self) -> Iterator[tuple[int, int]]:
        """Yield every precinct, row by row."""
        yield from ((column, row) for row in range(self.high) for column in range(self.wide))

    def at(self, x: int, y: int, tile: Box) -> Iterator[tuple[int, int]]:
        """Yield the precinct met at a point, by the conditions of T.800 B.12.1.3."""
        left = x == tile[0] and self.x0 * 2**self.n % 2 ** (self.ppx + self.n) != 0
        top = y == tile[1] and self.y0 * 2**self.n % 2 ** (self.ppy + self.n) != 0
        if not (x % (self.dx * 2 ** (self.ppx + self.n)) == 0 or left):
            return
        if not (y % (self.dy * 2 ** (self.ppy + self.n)) == 0 or top):
            return
        column = up(x, self.dx * 2**self.n) // 2**self.ppx - self.x0 // 2**self.ppx
        row = up(y, self.dy * 2**self.n) // 2**self.ppy - self.y0 // 2**self.ppy
        if 0 <= column < self.wide and 0 <= row < self.high:
            yield column, row


def literally(header: MainHeader, tile: Box) -> Iterator[Packet]:  # noqa: C901, PLR0912  # as the standard writes it
    """Yield the packets of a tile by the literal loops of T.800 B.12.1."""
    parts, layers = header.geometry.components, range(header.layers)
    found = {
        (c, r): Resolution(tile, parts[c], coding, r)
        for c, coding in enumerate(header.coding)
        for r in range(coding.levels + 1)
    }
    components, resolutions = range(len(parts)), range(max(r for _, r in found) + 1)
    points = [(x, y) for y in range(tile[1], tile[3]) for x in range(tile[0], tile[2])]
    match header.progression:
        case Progression.LRCP:
            for layer in layers:
                for r in resolutions:
                    for c in components:
                        yield from ((c, r, *k, layer) for k in (found[c, r].all() if (c, r) in found else ()))
        case Progression.RLCP:
            for r in resolutions:
                for layer in layers:
                    for c in components:
                        yield from ((c, r, *k, layer) for k in (found[c, r].all() if (c, r) in found else ()))
        case Progression.RPCL:
            for r in resolutions:
                for x, y in points:
                    for c in components:
                        met = found[c, r].at(x, y, tile) if (c, r) in found else ()
                        yield from ((c, r, *k, layer) for k in met for layer in layers)
        case Progression.PCRL:
            for x, y in points:
                for c in components:
                    for r in range(header.coding[c].levels + 1):
                        yield from ((c, r, *k, layer) for k in found[c, r].at(x, y, tile) for layer in layers)
        case Progression.CPRL:
            for c in components:
                for x, y in points:
                    for r in range(header.coding[c].levels + 1):
                        yield from ((c, r, *k, layer) for k in found[c, r].at(x, y, tile) for layer in layers)


def computed(header: MainHeader, tile: Box) -> list[Packet]:
    """Return the packets of a tile in the order of the index."""
    layout = PrecinctLayout.of(header)
    x, y = layout.x.axis([(tile[0], tile[2])]).of(0), layout.y.axis([(tile[1], tile[3])]).of(0)
    order = order_packets(header.progression, header.layers, x, y)
    assert count_packets(x, y, header.layers) == len(order.cell)
    seen: Counter[tuple[int, int, int]] = Counter()
    packets = []
    for cell, column, row in zip(order.cell.tolist(), order.column.tolist(), order.row.tolist(), strict=True):
        packets.append((*divmod(cell, x.count.shape[1]), column, row, seen[cell, column, row]))
        seen[cell, column, row] += 1
    return packets


HEADER = parse_main_header(picture((64, 64), "-n", "3"))


@st.composite
def headers(draw: st.DrawFn) -> MainHeader:
    """Draw headers of up to three components, each with its own sampling, levels and precincts."""
    codings, components = [], []
    for _ in range(draw(st.integers(1, 3))):
        levels = draw(st.integers(0, 4))
        sizes = [(draw(st.integers(r > 0, 5)), draw(st.integers(r > 0, 5))) for r in range(levels + 1)]
        codings.append(replace(HEADER.coding[0], levels=levels, precincts=tuple(sizes)))
        components.append(Component(8, signed=False, dx=draw(st.integers(1, 3)), dy=draw(st.integers(1, 3))))
    return replace(
        HEADER,
        progression=draw(st.sampled_from(Progression)),
        layers=draw(st.integers(1, 3)),
        coding=tuple(codings),
        geometry=replace(HEADER.geometry, components=tuple(components)),
    )


@settings(max_examples=250, deadline=None, derandomize=True)
@given(headers(), st.tuples(st.integers(0, 70), st.integers(0, 70)), st.tuples(st.integers(1, 34), st.integers(1, 34)))
def test_packets_come_in_the_order_of_the_standard(
    header: MainHeader, corner: tuple[int, int], size: tuple[int, int]
) -> None:
    """For any tile, sampling, levels and precincts the order in each progression equals the standard's loops."""
    tile = (*corner, corner[0] + size[0], corner[1] + size[1])
    assert computed(header, tile) == [*literally(header, tile)]


def packets_of(data: bytes) -> dict[Packet, bytes]:
    """Return the packets of an untiled codestream with PLT."""
    header = parse_main_header(data)
    box = (0, 0, header.geometry.x1, header.geometry.y1)
    order = computed(header, box)
    tiles = TilePartIndex(header, len(data)).find(MemoryBlob("x", data), {0: len(order)})
    assert tiles is not None
    assert tiles[0].lengths is not None
    edges = np.cumsum([0, *tiles[0].lengths.tolist()]).tolist()
    begin = int(tiles[0].parts[2, 0])
    spans = pairwise(edges)
    return {packet: data[begin + first : begin + last] for packet, (first, last) in zip(order, spans, strict=True)}


def iplt(lengths: Sequence[int]) -> bytes:
    """Encode packet lengths with seven bits in each byte."""
    coded = bytearray()
    for length in lengths:
        groups = [length >> 7 * k & 127 for k in range(max(1, up(length.bit_length(), 7)))][::-1]
        coded += bytes([group | 128 for group in groups[:-1]] + groups[-1:])
    return bytes(coded)


def splice(size: tuple[int, int], steps: Sequence[tuple[int, int]], parts: Sequence[bytes], progression: int) -> bytes:
    """Join components that were coded separately into one codestream, with their packets in order."""
    found = [parse_main_header(part) for part in parts]
    segments = [{segment.marker: segment.data for segment in header.segments} for header in found]
    siz = struct.pack(">H8IH", 0, *size, 0, 0, *size, 0, 0, len(parts))
    siz += b"".join(bytes([7, dx, dy]) for dx, dy in steps)
    first = segments[0][Marker.COD]
    head = struct.pack(">H", Marker.SOC) + segment_bytes(Marker.SIZ, siz)
    head += segment_bytes(Marker.COD, first[:1] + bytes([progression]) + first[2:4] + b"\0" + first[5:])
    head += segment_bytes(Marker.QCD, segments[0][Marker.QCD])
    for c, own in enumerate(segments[1:], 1):
        head += segment_bytes(Marker.COC, bytes([c, own[Marker.COD][0] & 1]) + own[Marker.COD][5:])
        head += segment_bytes(Marker.QCC, bytes([c]) + own[Marker.QCD])
    own_packets = [packets_of(part) for part in parts]
    header = parse_main_header(head + struct.pack(">H", Marker.SOT))
    packets = [own_packets[c][0, r, x, y, layer] for c, r, x, y, layer in literally(header, (0, 0, *size))]
    coded = segment_bytes(Marker.PLT, b"\0" + iplt([len(packet) for packet in packets]))
    body = coded + struct.pack(">H", Marker.SOD) + b"".join(packets)
    return head + struct.pack(">HHHIBB", Marker.SOT, 10, 0, 12 + len(body), 0, 1) + body + b"\xff\xd9"


def decode(data: bytes, area: Area) -> list[NDArray[np.int32]]:
    """Decode an area to one array per component."""
    with OpenJpeg(bind()).decoded(MemoryInput(data), area) as found:
        return [np.array(plane) for plane in found]


@pytest.mark.parametrize("progression", Progression)
def test_components_coded_apart_decode_together(progression: Progression) -> None:
    """OpenJPEG decodes packets in that order to the samples of each component, and windows of them too."""
    size, steps = (150, 110), ((1, 1), (2, 1), (2, 2))
    options = (
        ("-n", "5", "-c", "[64,64],[32,32],[32,16]", "-r", "6,3"),
        ("-n", "4", "-c", "[32,32]", "-I", "-r", "6,3"),
        ("-n", "3", "-c", "[16,64],[64,16]", "-b", "16,16", "-r", "6,3"),
    )
    sizes = [(up(size[0], dx), up(size[1], dy)) for dx, dy in steps]
    samples = [plane for c, own in enumerate(sizes) for plane in planes(own, ((1, 1),), seed=c)]
    parts = [
        compress([plane], own, ((1, 1),), "-PLT", *option)
        for plane, own, option in zip(samples, sizes, options, strict=True)
    ]
    data = splice(size, steps, parts, progression)
    together = decode(data, Area(0, 0, *size, 0, 1))
    for plane, part, own in zip(together, parts, sizes, strict=True):
        np.testing.assert_array_equal(plane, decode(part, Area(0, 0, *own, 0, 1))[0])
    index = PacketIndex(parse_main_header(data), len(data), run_inline)
    for area in (Area(64, 48, 100, 80, 0, 1), Area(0, 0, 150, 110, 2, 1), Area(96, 0, 150, 64, 1, 1)):
        small = extract(index, area, MemoryBlob("x", data))
        assert small is not None
        built = small.extracted([data[part.start : part.stop] for part in small.ranges]).codestream
        assert len(built) < len(data)
        for plane, expected in zip(decode(bytes(built), small.area), decode(data, area), strict=True):
            np.testing.assert_array_equal(plane, expected)
