"""Packet headers: whatever is written is read back, and so are those of opj_compress."""

from __future__ import annotations

import functools
import itertools
import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sidecar_jp2.blocks.codewords import BYPASS, PASS_CODES, TERMALL, segment_passes
from sidecar_jp2.blocks.header_bits import BadPacketHeader, HeaderBits, packed
from sidecar_jp2.blocks.packet_reader import read_precinct
from sidecar_jp2.blocks.packet_writer import write_precinct
from sidecar_jp2.blocks.precinct_blocks import (
    NEVER_INCLUDED,
    LayerBlocks,
    PrecinctBlocks,
    numbers_within,
    part_of,
)
from sidecar_jp2.extract.small_codestream import Pieces
from sidecar_jp2.format.block_grid import BlockGrid, Bounds, Grids, PrecinctPlace, block_grids, blocks_of
from sidecar_jp2.format.geometry import Area
from sidecar_jp2.format.main_header import Coding, parse_main_header
from sidecar_jp2.index.packet_index import PacketIndex
from sidecar_jp2.index.packet_selection import LevelWindow
from sidecar_jp2.testing import picture

from sidecar.plugin import run_inline
from sidecar.testing.fakes import MemoryBlob

LAW = settings(max_examples=150, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
STYLES = st.sampled_from([0, BYPASS, TERMALL, BYPASS | TERMALL])
SIZE = (150, 110)
MADE = {
    "one layer": ("-n", "3", "-b", "16,16"),
    "layers": ("-n", "4", "-b", "8,8", "-r", "40,20,10,5,1"),
    "layers, markers": ("-n", "3", "-b", "8,8", "-r", "40,10,5", "-SOP", "-EPH", "-c", "[64,64],[32,32]", "-p", "RPCL"),
    "raw passes": ("-n", "3", "-b", "16,16", "-M", "1", "-r", "30,10,1"),
    "a segment for each pass": ("-n", "3", "-b", "16,16", "-M", "4", "-r", "30,10,1"),
    "every style": ("-n", "3", "-b", "8,32", "-M", "63", "-r", "30,10,1"),
    "a region of interest": ("-n", "3", "-b", "16,16", "-ROI", "c=0,U=9"),
    "positions first": ("-n", "3", "-b", "8,8", "-c", "[32,32]", "-p", "PCRL", "-r", "20,4"),
    "nearly nothing": ("-n", "3", "-b", "8,8", "-r", "900"),
}


@st.composite
def grids(draw: st.DrawFn) -> Grids:
    """Draw the code blocks of a precinct: some subbands have none."""
    sides = st.tuples(st.integers(0, 5), st.integers(0, 5))
    corners = st.tuples(st.integers(0, 9), st.integers(0, 9))
    sizes = draw(st.lists(st.tuples(corners, sides), min_size=1, max_size=3))
    return tuple(BlockGrid(x, y, x + width, y + height) for (x, y), (width, height) in sizes if width * height)


@st.composite
def precincts(draw: st.DrawFn, style: int) -> tuple[Grids, PrecinctBlocks]:
    """Draw what a precinct may hold."""
    where = draw(grids())
    count, layers = blocks_of(where), draw(st.integers(1, 4))
    random_ = random.Random(draw(st.integers(0, 1 << 30)))  # noqa: S311  # no secrets
    empty = draw(st.floats(0, 1))
    long = draw(st.sampled_from([1, 6, 10, 18 if count < 9 else 12]))
    before, zeros = [0] * count, [NEVER_INCLUDED] * count
    made = PrecinctBlocks(zeros, [])
    for _ in range(layers):
        layer = LayerBlocks(0, [0] * count)
        for block in range(count):
            if random_.random() < empty:
                continue
            passes = min(random_.choice([1, 2, 3, 5, 6, 20, 36, 37, 70]), 109 - before[block])
            if not passes:
                continue
            if not before[block]:
                zeros[block] = random_.randrange(40)
            parts = segment_passes(style, before[block], passes)
            layer.passes[block] = passes
            layer.lengths += [random_.getrandbits(random_.randrange(long)) for _ in parts]
            before[block] += passes
        made.layers.append(layer)
    return where, made


@LAW
@given(st.binary(max_size=300), st.data())
def test_stuffed_bits_come_back(content: bytes, data: st.DataObject) -> None:
    """Any bits are packed and unpacked, with a zero after 0xFF and never 0xFF last."""
    text = "".join(f"{byte:08b}" for byte in content)
    text = data.draw(st.sampled_from([text, "1" * len(text)]))[: data.draw(st.integers(0, len(text)))]
    made = packed(text)
    assert not made.endswith(b"\xff")
    assert all(after < 0x80 for byte, after in itertools.pairwise(made) if byte == 0xFF)
    bits = HeaderBits.of(made + b"\xff\xff\x93")
    assert bits.text.startswith(text)
    assert bits.packed_length(len(text), made + b"\xff\xff\x93") == len(made)


@LAW
@given(STYLES, st.data(), st.booleans(), st.booleans())
def test_what_is_written_is_read(style: int, data: st.DataObject, sop: bool, eph: bool) -> None:  # noqa: FBT001
    """A precinct with any code blocks, layers and segments is written, read back the same, and kept as bytes."""
    where, blocks = data.draw(precincts(style))
    headers = write_precinct(where, blocks, style)
    before = b"\xff\x91\x00\x04\x12\x34" if sop else b""
    packets = [
        before + header + (b"\xff\x92" if eph else b"") + bytes(sum(layer.lengths))
        for header, layer in zip(headers, blocks.layers, strict=True)
    ]
    found = read_precinct(where, packets, style, eph=eph)
    assert found.zero_planes == blocks.zero_planes
    assert [(layer.passes, layer.lengths) for layer in found.layers] == [
        (layer.passes, layer.lengths) for layer in blocks.layers
    ]
    again = PrecinctBlocks.from_bytes(found.to_bytes(), blocks_of(where), len(packets))
    assert again == found


@LAW
@given(STYLES, st.data())
def test_a_part_has_the_bytes_of_its_blocks(style: int, data: st.DataObject) -> None:
    """The part of a precinct has the passes of its code blocks, and their bytes in the packets."""
    where, blocks = data.draw(precincts(style))
    inner = tuple(
        BlockGrid(
            left := data.draw(st.integers(grid.left, grid.right)),
            top := data.draw(st.integers(grid.top, grid.bottom)),
            data.draw(st.integers(left, grid.right)),
            data.draw(st.integers(top, grid.bottom)),
        )
        for grid in where
    )
    kept = [*numbers_within(where, inner)]
    part = part_of(blocks, kept, style)
    before = [0] * blocks_of(where)
    for layer, own, spans in zip(blocks.layers, part.blocks.layers, part.spans, strict=True):
        assert own.passes == [layer.passes[number] for number in kept]
        body, segment, each = bytes(layer.body), 0, dict[int, bytes]()
        for number, passes in enumerate(layer.passes):
            if passes:
                count = len(segment_passes(style, before[number], passes))
                length = sum(layer.lengths[segment : segment + count])
                each[number] = number.to_bytes(2).ljust(length, b"\0")[:length]
                segment += count
                before[number] += passes
            body += each.get(number, b"")
        assert b"".join(body[start:stop] for start, stop in spans) == b"".join(each.get(k, b"") for k in kept)
        assert sum(own.lengths) == sum(stop - start for start, stop in spans)


@LAW
@given(st.binary(min_size=1, max_size=200), st.data(), STYLES, st.booleans())
def test_other_bytes_are_no_header(content: bytes, data: st.DataObject, style: int, eph: bool) -> None:  # noqa: FBT001
    """Any bytes are read as a packet that they fill, or raise BadPacketHeader."""
    where = data.draw(grids())
    try:
        found = read_precinct(where, [content], style, eph=eph)
    except BadPacketHeader:
        return
    assert found.layers[0].body + sum(found.layers[0].lengths) == len(content)


@pytest.mark.parametrize("name", MADE)
def test_the_headers_of_an_encoder(name: str) -> None:
    """Every precinct of a file is read, its blocks fill its packets, and written anew it reads the same."""
    content = picture(SIZE, *MADE[name], "-PLT")
    header = parse_main_header(content)
    index = PacketIndex(header, len(content), run_inline)
    window = LevelWindow.of(header.geometry, Area(0, 0, *SIZE, 0, 1))
    found = index.find(window, MemoryBlob("a.j2k", content))
    assert found is not None
    tile = next(index.tile_packets(window))
    pieces = Pieces.of(found.tiles, found.selections)
    places: dict[tuple[int, int, int], list[bytes]] = {}
    columns, rows = tile.columns(pieces.numbers).tolist(), tile.rows(pieces.numbers).tolist()
    spans = zip(pieces.starts.tolist(), pieces.stops.tolist(), strict=True)
    for cell, column, row, (start, stop) in zip(tile.order.cell.tolist(), columns, rows, spans, strict=True):
        places.setdefault((cell, column, row), []).append(content[start:stop])
    read = 0
    for (cell, column, row), packets in places.items():
        coding = header.coding[0]
        place = PrecinctPlace(cell % (coding.levels + 1), column, row)
        where = block_grids(coding, Bounds(0, 0, *SIZE), place)
        blocks = read_precinct(where, packets, coding.block_style, eph=header.eph)
        headers = write_precinct(where, blocks, coding.block_style)
        after = b"\xff\x92" if header.eph else b""
        bodies = [packet[layer.body :] for packet, layer in zip(packets, blocks.layers, strict=True)]
        again = [made + after + body for made, body in zip(headers, bodies, strict=True)]
        found_again = read_precinct(where, again, coding.block_style, eph=header.eph)
        assert found_again.zero_planes == blocks.zero_planes
        assert [(layer.passes, layer.lengths) for layer in found_again.layers] == [
            (layer.passes, layer.lengths) for layer in blocks.layers
        ]
        read += blocks_of(where)
    assert read >= 3 * (SIZE[0] // coding_side(header.coding[0])) * (SIZE[1] // coding_side(header.coding[0], 1))


@functools.cache
def coding_side(coding: Coding, axis: int = 0) -> int:
    """Return the width or height of a code block."""
    return 1 << (coding.block_height if axis else coding.block_width)


def test_the_codewords_of_passes() -> None:
    """Numbers of coding passes have the codewords of T.800 table B.4, of which none begins with another."""
    assert [PASS_CODES[passes] for passes in (1, 2, 3, 5, 6, 36, 37, 164)] == [
        "0",
        "10",
        "1100",
        "1110",
        "111100000",
        "111111110",
        "1111111110000000",
        "1111111111111111",
    ]


def test_segments_of_raw_passes() -> None:
    """With BYPASS, segments end after pass 10, then after two raw passes and one cleanup pass in turn (table D.9)."""
    assert segment_passes(BYPASS, 0, 17) == (10, 2, 1, 2, 1, 1)
    assert segment_passes(BYPASS, 11, 4) == (1, 1, 2)
    assert segment_passes(TERMALL | BYPASS, 3, 2) == (1, 1)
    assert segment_passes(0, 3, 40) == (40,)
