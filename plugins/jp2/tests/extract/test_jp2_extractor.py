"""Extraction with a packet index: what it reads, and what it does with inconsistent and damaged files."""

from __future__ import annotations

import functools
import itertools
import random
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import gevent
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sidecar_jp2.extract.extractor import extract
from sidecar_jp2.format.geometry import Area
from sidecar_jp2.format.main_header import MainHeader, parse_main_header
from sidecar_jp2.format.markers import Marker, segment_bytes
from sidecar_jp2.index.packet_index import PacketIndex
from sidecar_jp2.index.packet_selection import LevelWindow, PacketSelector
from sidecar_jp2.index.tile_part_index import TilePartIndex
from sidecar_jp2.openjpeg.codec import OpenJpeg
from sidecar_jp2.openjpeg.library import bind
from sidecar_jp2.openjpeg.streams import MemoryInput
from sidecar_jp2.testing import picture

from sidecar.plugin import Buffer, ByteRange, DecodeError, SourceError, run_inline

SIZE = (301, 223)
PRECINCTS = ("-c", "[64,64],[64,32],[32,32]")
TILED = ("-p", "RPCL", "-t", "128,96", *PRECINCTS, "-PLT", "-TP", "R", "-n", "4")
SINGLE = ("-p", "RPCL", *PRECINCTS, "-PLT", "-TP", "R", "-SOP", "-EPH", "-n", "5", "-I", "-r", "6")
CORNER = Area(140, 100, 200, 150, 0, 1)
HALF = Area(0, 0, *SIZE, 1, 1)


@dataclass
class Remote:
    """A remote blob that counts its reads and lets other greenlets run during each."""

    content: bytes
    name: str = "a.j2k"
    etag: str = "one"
    last_modified: None = None
    path: Path | None = None
    rounds: int = 0
    asked: list[ByteRange] = field(default_factory=list)

    @property
    def size(self) -> int:
        return len(self.content)

    def read(self, ranges: Sequence[ByteRange]) -> Sequence[Buffer]:
        """Return the bytes of all ranges and count one read."""
        gevent.sleep(0)
        self.rounds += 1
        self.asked += ranges
        if any(not 0 <= part.start <= part.stop <= self.size for part in ranges):
            raise SourceError("beyond the end")
        return [self.content[part.start : part.stop] for part in ranges]


@functools.cache
def made(*options: str, size: tuple[int, int] = SIZE) -> bytes:
    """Return a codestream made by opj_compress."""
    return picture(size, *options)


def index_of(data: bytes) -> PacketIndex:
    """Return a new, empty index."""
    return PacketIndex(parse_main_header(data), len(data), run_inline)


def decode(data: bytes, area: Area) -> list[NDArray[np.int32]]:
    """Decode an area to one array per component."""
    with OpenJpeg(bind()).decoded(MemoryInput(data), area) as found:
        return [np.array(plane) for plane in found]


def same(data: bytes, area: Area, index: PacketIndex, reference: bytes | None = None) -> bool:
    """Return whether an area can be extracted; if so, its samples must be those of the plain decode."""
    blob = Remote(data)
    small = extract(index, area, blob)
    if small is None:
        return False
    planes = decode(bytes(small.extracted(blob.read(small.ranges)).codestream), small.area)
    for plane, expected in zip(planes, decode(reference or data, area), strict=True):
        np.testing.assert_array_equal(plane, expected)
    return True


def headers_of(data: bytes) -> list[int]:
    """Return the offset of each SOT, found by walking the chain."""
    at, found = parse_main_header(data).stop, []
    while int.from_bytes(data[at : at + 2]) == Marker.SOT:
        found.append(at)
        at += int.from_bytes(data[at + 6 : at + 10])
    return found


def with_tlm(data: bytes, change: Callable[[int, int], tuple[int, int]] = lambda tile, length: (tile, length)) -> bytes:
    """Return the codestream with a TLM segment whose entries pass through `change`."""
    entries = [struct.unpack_from(">HI", data, at + 4) for at in headers_of(data)]
    body = b"".join(struct.pack(">HI", *change(*entry)) for entry in entries)
    stop = parse_main_header(data).stop
    return data[:stop] + segment_bytes(Marker.TLM, b"\x00\x60" + body) + data[stop:]


def rearranged(data: bytes, seed: int) -> bytes:
    """Return the same packets in other tile-parts: cut at random, and interleaved between tiles."""
    draw, header = random.Random(seed), parse_main_header(data)  # noqa: S311  # a shuffle that can be repeated
    tiles = range(header.geometry.columns * header.geometry.rows)
    found = TilePartIndex(header, len(data)).find(Remote(data), totals(header))
    assert found is not None
    queues: list[list[bytes]] = []
    for number, tile in zip(tiles, found, strict=True):
        assert tile.lengths is not None
        packets = packets_of(data, tile.parts, tile.lengths.tolist())
        cuts = sorted(draw.sample(range(len(packets) + 1), 3))
        pieces = [packets[a:b] for a, b in zip([0, *cuts], [*cuts, len(packets)], strict=True)]
        queues.append([tile_part(number, k, len(pieces), piece) for k, piece in enumerate(pieces)])
    order = [number for number, queue in enumerate(queues) for _ in queue]
    draw.shuffle(order)
    return data[: header.stop] + b"".join(queues[number].pop(0) for number in order) + b"\xff\xd9"


def totals(header: MainHeader) -> dict[int, int]:
    """Return the number of packets of each tile."""
    grid = header.geometry
    window = LevelWindow.of(grid, Area(grid.x0, grid.y0, grid.x1, grid.y1, 0, 1))
    return {tile: selection.total for tile, selection in PacketSelector(header).select(window).items()}


def packets_of(data: bytes, parts: NDArray[np.int64], lengths: Sequence[int]) -> list[bytes]:
    """Return the packets of a tile."""
    packets, rest = [], [*lengths]
    for _, _, begin, count in parts.T.tolist():
        at = begin
        for length in rest[:count]:
            packets.append(data[at : at + length])
            at += length
        rest = rest[count:]
    return packets


def tile_part(tile: int, number: int, total: int, packets: Sequence[bytes]) -> bytes:
    """Return a tile-part with PLT, with each length in two bytes (14 bits), as encoders may write them."""
    iplt = b"".join(bytes([len(packet) >> 7 | 128, len(packet) & 127]) for packet in packets)
    head = segment_bytes(Marker.PLT, b"\0" + iplt) + struct.pack(">H", Marker.SOD)
    body = head + b"".join(packets)
    return struct.pack(">HHHIBB", Marker.SOT, 10, tile, 12 + len(body), number, total) + body


def test_with_tlm_one_round_is_enough() -> None:
    """With TLM the offsets of all tile-parts are known, so one read fetches the headers that a window needs."""
    data = with_tlm(made(*TILED))
    blob, index = Remote(data), index_of(data)
    assert extract(index, CORNER, blob) is not None
    assert blob.rounds == 1
    assert extract(index, Area(150, 110, 180, 140, 0, 1), blob) is not None
    assert blob.rounds == 1
    assert same(data, CORNER, index)


def test_without_tlm_the_chain_is_walked_no_further_than_needed() -> None:
    """A tile at the beginning is found without reading later headers; later windows continue the walk from there."""
    data = made("-p", "RPCL", "-t", "256,256", *PRECINCTS, "-PLT", "-n", "4", size=(1536, 1024))
    blob, index = Remote(data), index_of(data)
    assert extract(index, Area(0, 0, 100, 100, 0, 1), blob) is not None
    assert blob.rounds <= 2
    assert blob.asked[-1].stop < len(data) // 4
    known = blob.rounds
    assert extract(index, Area(1400, 900, 1500, 1000, 0, 1), blob) is not None
    assert known < blob.rounds <= 16
    rounds = blob.rounds
    assert extract(index, Area(0, 0, 1536, 1024, 3, 1), blob) is not None
    assert blob.rounds <= rounds + 2
    assert extract(index, Area(700, 300, 900, 500, 1, 1), blob) is not None
    assert blob.rounds <= rounds + 2


def test_a_local_file_is_read_in_small_blocks() -> None:
    """A walk through a local file reads only a small part of it."""
    data = made("-p", "RPCL", "-t", "512,512", "-PLT", "-n", "4", size=(1536, 1536))
    assert len(data) > 1 << 20
    blob, index = Remote(data, path=Path("a.j2k")), index_of(data)
    assert extract(index, Area(1400, 1400, 1500, 1500, 0, 1), blob) is not None
    assert sum(part.stop - part.start for part in blob.asked) < len(data) // 5


def test_greenlets_share_what_one_reads() -> None:
    """Several windows of an empty index at once cost as many reads as one."""
    data = made(*TILED)
    alone, together = Remote(data), Remote(data)
    extract(index_of(data), HALF, alone)
    index = index_of(data)
    jobs = [gevent.spawn(extract, index, HALF, together) for _ in range(8)]
    gevent.joinall(jobs, raise_error=True)
    assert together.rounds == alone.rounds
    answers = {job.get() for job in jobs}
    assert None not in answers
    assert len(answers) == 1


@settings(max_examples=20, deadline=None, derandomize=True)
@given(
    st.integers(0, 10**6), st.sampled_from([TILED, SINGLE]), st.sampled_from([CORNER, HALF, Area(0, 0, *SIZE, 3, 1)])
)
def test_tile_parts_may_be_cut_and_mixed_in_any_way(seed: int, options: tuple[str, ...], area: Area) -> None:
    """A tile's packets may be spread over tile-parts between those of other tiles, with and without TLM."""
    plain = made(*options)
    data = rearranged(plain, seed)
    assert same(data, area, index_of(data), plain)
    data = with_tlm(data)
    assert same(data, area, index_of(data), plain)


def test_a_wrong_tlm_is_ignored() -> None:
    """Wrong tiles or lengths in TLM are detected, and the chain of tile-parts is walked instead."""
    plain = made(*TILED)
    lies: list[Callable[[int, int], tuple[int, int]]] = [
        lambda tile, length: (8 - tile, length),
        lambda tile, length: (tile, length + (tile == 0)),
        lambda tile, length: (tile, length + (1, -1)[tile % 2] * (tile < 8)),
        lambda _, length: (60000, length),
    ]
    for lie in lies:
        data = with_tlm(plain, lie)
        assert same(data, CORNER, index_of(data), plain)


def test_packet_lengths_that_do_not_add_up_are_ignored() -> None:
    """Tiles with broken PLT are taken whole, with all resolutions; an untiled image gets no small codestream."""
    for options, sure in ((TILED, True), (SINGLE, False)):
        broken = bytearray(made(*options))
        for at in headers_of(bytes(broken)):
            broken[broken.index(b"\xff\x58", at) + 5] ^= 1
        assert same(bytes(broken), CORNER, index_of(bytes(broken))) == sure


@pytest.mark.parametrize(
    "options",
    [
        ("-p", "LRCP", "-PLT", *PRECINCTS, "-POC", "T1=0,0,1,3,3,RPCL/T1=3,0,1,6,3,RPCL"),
        ("-p", "RPCL", *PRECINCTS),
    ],
    ids=["POC", "one tile without PLT"],
)
def test_ambiguous_codestreams_are_not_extracted(options: tuple[str, ...]) -> None:
    """POC, and an untiled image without packet lengths, get no small codestream."""
    data = made(*options)
    assert extract(index_of(data), CORNER, Remote(data)) is None
    assert extract(index_of(data), HALF, Remote(data)) is None


@pytest.mark.parametrize("marker", [Marker.PPM, 0xFF74], ids=["PPM", "Part 2"])
def test_unusual_main_headers_are_not_extracted(marker: int) -> None:
    """Packed packet headers and extensions of Part 2 get no small codestream, and nothing is read."""
    data = made(*TILED)
    stop = parse_main_header(data).stop
    odd = data[:stop] + segment_bytes(marker, bytes(9)) + data[stop:]
    blob = Remote(odd)
    assert extract(index_of(odd), CORNER, blob) is None
    assert not blob.asked


def test_a_tile_with_a_header_of_its_own_is_taken_whole() -> None:
    """A tile whose own header changes the coding is taken whole, with that header."""
    data = bytearray(made(*TILED))
    for at in reversed(headers_of(bytes(data))):
        header = parse_main_header(bytes(data))
        cod = next(segment.data for segment in header.segments if segment.marker == Marker.COD)
        if data[at + 10] == 0:
            own = segment_bytes(Marker.COD, cod)
            data[at + 12 : at + 12] = own
            data[at + 6 : at + 10] = struct.pack(">I", int.from_bytes(data[at + 6 : at + 10]) + len(own))
    assert same(bytes(data), CORNER, index_of(bytes(data)), made(*TILED))


def test_the_last_tile_part_may_reach_to_the_end() -> None:
    """A last tile-part with a Psot of 0 ends at the end of the codestream (T.800 A.4.2), with or without EOC."""
    data = made("-p", "RPCL", *PRECINCTS, "-PLT", "-n", "4")
    (at,) = headers_of(data)
    open_ended = data[: at + 6] + bytes(4) + data[at + 10 :]
    assert same(open_ended, CORNER, index_of(open_ended), data)
    assert same(open_ended[:-2], CORNER, index_of(open_ended[:-2]), data)


def test_missing_tiles_are_not_extracted() -> None:
    """A codestream that ends properly before its last tile gets no small codestream for that tile."""
    data = made("-p", "RPCL", "-t", "128,96", "-PLT", "-n", "4")
    starts = headers_of(data)
    short = data[: starts[-1]] + b"\xff\xd9"
    assert same(short, CORNER, index_of(short), data)
    assert extract(index_of(short), Area(260, 200, 300, 220, 0, 1), Remote(short)) is None


@pytest.mark.parametrize("marks", [(), ("-SOP",), ("-EPH",), ("-SOP", "-EPH")], ids=" ".join)
def test_wrong_packet_lengths_that_add_up_never_give_wrong_pixels(marks: tuple[str, ...]) -> None:
    """If PLT counts bytes of one packet to the one before, the result is an error or the right pixels."""
    data = made("-p", "RPCL", *PRECINCTS, "-PLT", "-n", "4", *marks)
    header = parse_main_header(data)
    found = TilePartIndex(header, len(data)).find(Remote(data), totals(header))
    assert found is not None
    assert found[0].lengths is not None
    packets = packets_of(data, found[0].parts, found[0].lengths.tolist())
    refused = 0
    for number in range(len(packets) - 1):
        one, two = packets[number : number + 2]
        bent = [*packets[:number], one + two[:1], two[1:], *packets[number + 2 :]] if len(two) > 1 else packets
        lie = data[: header.stop] + tile_part(0, 0, 1, bent) + b"\xff\xd9"
        try:
            assert same(lie, CORNER, index_of(lie), data)
        except DecodeError:
            refused += 1
    assert refused


@pytest.mark.parametrize("order", [(1, 0), (1, 1)], ids=["swapped", "twice"])
@pytest.mark.parametrize("tlm", [False, True])
def test_tile_parts_out_of_order_are_not_extracted(order: tuple[int, int], *, tlm: bool) -> None:
    """Tile-parts whose TPsot does not count up get no small codestream."""
    data = made(*SINGLE)
    starts = [*headers_of(data), len(data) - 2]
    parts = [data[start:stop] for start, stop in itertools.pairwise(starts)]
    odd = data[: starts[0]] + b"".join([parts[k] for k in order] + parts[2:]) + data[-2:]
    odd = with_tlm(odd) if tlm else odd
    assert extract(index_of(odd), CORNER, Remote(odd)) is None


def test_more_packet_length_segments_than_numbers_are_ignored() -> None:
    """A header with more PLT segments than Zplt can count (T.800 A.7.3) gets no small codestream."""
    data = made("-p", "RPCL", *PRECINCTS, "-PLT", "-n", "4")
    (at,) = headers_of(data)
    many = b"".join(segment_bytes(Marker.PLT, bytes([number & 255])) for number in range(300))
    length = int.from_bytes(data[at + 6 : at + 10]) + len(many)
    odd = data[: at + 6] + length.to_bytes(4) + data[at + 10 : at + 12] + many + data[at + 12 :]
    assert extract(index_of(odd), CORNER, Remote(odd)) is None


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.integers(1, 10**6), st.sampled_from([TILED, SINGLE]), st.sampled_from([CORNER, HALF]), st.booleans())
def test_a_truncated_file_never_gives_wrong_pixels(
    cut: int,
    options: tuple[str, ...],
    area: Area,
    tlm: bool,  # noqa: FBT001  # Hypothesis passes it
) -> None:
    """Wherever a file is truncated, the result is an error, no small codestream, or the right pixels."""
    plain = made(*options)
    whole = with_tlm(plain) if tlm else plain
    data = whole[: max(parse_main_header(whole).stop + 2, len(whole) - cut % len(whole))]
    try:
        same(data, area, index_of(data), plain)
    except SourceError:
        return


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.data(), st.sampled_from([TILED, SINGLE]))
def test_damaged_tile_part_headers_raise_only_our_errors(data: st.DataObject, options: tuple[str, ...]) -> None:
    """With any bytes of the headers changed, extraction returns ranges inside the file or raises an error of ours."""
    sound = bytearray(made(*options))
    for at in headers_of(bytes(sound)):
        if data.draw(st.booleans()):
            sound[at + data.draw(st.integers(0, 25))] = data.draw(st.integers(0, 255))
    blob = Remote(bytes(sound))
    try:
        small = extract(index_of(bytes(sound)), CORNER, blob)
        if small is not None:
            small.extracted(blob.read(small.ranges))
    except DecodeError:
        return


@pytest.mark.parametrize("tile", [0, 1])
def test_endless_tile_parts_are_not_extracted(tile: int) -> None:
    """A file of nothing but tile-parts gets no small codestream, and the index stays bounded."""
    data = made(*TILED)
    part = struct.pack(">HHHIBBH", Marker.SOT, 10, tile, 14, 0, 0, Marker.SOD)
    endless = data[: parse_main_header(data).stop] + part * (300 if tile == 0 else 140_000)
    blob, index = Remote(endless), index_of(endless)
    assert extract(index, Area(0, 0, 20, 20, 0, 1), blob) is None
    assert len(index.tile_parts.tile) <= 1 << 17


def test_an_index_is_compact() -> None:
    """An index takes a few bytes for each packet."""
    data = made("-p", "RPCL", "-c", "[16,16]", "-PLT", "-n", "4", size=(512, 512))
    index = index_of(data)
    extract(index, HALF, Remote(data))
    packets = totals(parse_main_header(data))[0]
    assert packets > 3000
    assert index.tile_parts.nbytes < 2.5 * packets
