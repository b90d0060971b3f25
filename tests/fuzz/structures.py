"""Targets of the structure of JPEG 2000 files: boxes, headers, tile-parts, packet lengths, extraction, TIFF beside."""

from __future__ import annotations

import struct
import zlib
from functools import cache, partial
from typing import Final

from PIL import ImageCms
from sidecar_htj2k.decoder import Htj2kDecoder
from sidecar_htj2k.openjph import OpenJph
from sidecar_htj2k.openjph import load as load_openjph
from sidecar_htj2k.testing import encode, photograph
from sidecar_jp2.blocks.header_bits import BadPacketHeader
from sidecar_jp2.blocks.packet_reader import EPH, read_precinct
from sidecar_jp2.blocks.packet_writer import write_precinct
from sidecar_jp2.blocks.precinct_blocks import PrecinctBlocks, part_of
from sidecar_jp2.decoder import Jp2Decoder
from sidecar_jp2.extract.extractor import IndexedExtractor
from sidecar_jp2.format.block_grid import BlockGrid
from sidecar_jp2.format.boxes import read_container
from sidecar_jp2.format.header_blocks import BlockCachedBlob
from sidecar_jp2.format.main_header import parse_main_header, read_main_header
from sidecar_jp2.format.subbands import exponent_and_mantissa
from sidecar_jp2.format.tile_part_header import SOT_BYTES, parse_contents, parse_start
from sidecar_jp2.index.index_cache import IndexCache
from sidecar_jp2.index.kept_index import fill, head_of, to_arrays
from sidecar_jp2.index.packet_index import PacketIndex
from sidecar_jp2.index.tile_part_index import TilePartIndex, TlmMismatch, TooManyTileParts
from sidecar_jp2.loss.dropped_planes import Loss, dropped_planes
from sidecar_jp2.loss.loss_table import LossKey
from sidecar_jp2.openjpeg.codec import OpenJpeg
from sidecar_jp2.openjpeg.library import bind
from sidecar_jp2.store.packing import HEAD_BYTES, SEAL_BYTES, Corrupt, Packing, arrays_of
from sidecar_jp2.testing import box, cdef, cmap, colr, exif, ihdr, jp2, pclr, picture, profile, xmp
from sidecar_openslide import tiff

from sidecar.plugin import Malformed, Rect, Tolerance, run_inline
from sidecar.testing.fakes import MemoryBlob
from tests.fuzz.target import Target

EXIF: Final = b"JpgTiffExif->JP2"
XMP: Final = bytes.fromhex("be7acfcb97a942e89c71999491e3afac")
"""ITU-T T.800 I.7.2: what uuid boxes are of."""
SIDE: Final = 24
SHAPE_BYTES: Final = 6
"""What describes a precinct before its packets: its blocks across and down, subbands, layers, style, and a cut."""
MOST_TILES: Final = 64
"""Of which the tile-parts are looked for in one input."""
INDEX_BYTES: Final = 1 << 24
OPENJPEG: Final = OpenJpeg(bind())
OPENJPH: Final = OpenJph(load_openjph())


def open_windows(content: bytes) -> MemoryBlob:
    """Do everything with a file that comes before OpenJPEG: open it, and find the bytes of two windows of two levels.

    Raises what that raises; AssertionError if a window asks for bytes that are not there.
    """
    blob = MemoryBlob("a.jp2", content)
    reader = Jp2Decoder(OPENJPEG, extractors=partial(IndexedExtractor, IndexCache(run_inline, INDEX_BYTES))).open(blob)
    for level in {0, len(reader.info.levels) - 1}:
        size = reader.info.levels[level].size
        corner = Rect(
            max(size.width - SIDE, 0), max(size.height - SIDE, 0), min(size.width, SIDE), min(size.height, SIDE)
        )
        for region in (corner, Rect(0, 0, size.width, size.height)):
            window = reader.window(level, region)
            assert all(0 <= part.start < part.stop <= len(content) for part in window.ranges)
            if window.extraction:
                window.extraction.extracted(blob.read(window.ranges))
    return blob


def open_high_throughput(content: bytes) -> None:
    """Open a file as HTJ2K, and find the bytes of a window of its coarsest and its finest level."""
    blob = MemoryBlob("a.jph", content)
    reader = Htj2kDecoder(OPENJPH, IndexCache(run_inline, INDEX_BYTES)).open(blob)
    for level in {0, len(reader.info.levels) - 1}:
        size = reader.info.levels[level].size
        window = reader.window(level, Rect(0, 0, min(size.width, SIDE), min(size.height, SIDE)))
        assert all(0 <= part.start < part.stop <= len(content) for part in window.ranges)


def read_boxes(content: bytes) -> None:
    """Find the codestream and the colours. The codestream lies in the file."""
    found = read_container(BlockCachedBlob(MemoryBlob("a.jp2", content))).codestream
    assert 0 <= found.start <= found.stop <= len(content)


def read_header(content: bytes) -> None:
    """Parse a main header at once and as it arrives; both are the same."""
    whole = parse_main_header(content)
    assert whole == read_main_header(MemoryBlob("a.j2k", content), 0, content[:3])
    assert len(whole.coding) == len(whole.quantization) == len(whole.geometry.components)
    if whole.regular:
        for level in range(whole.levels + 1):
            for planes, quantization in zip(dropped_planes(whole, level, Loss(8.0)), whole.quantization, strict=True):
                for resolution, bands in enumerate(planes):
                    exponents = [exponent_and_mantissa(quantization, resolution, band)[0] for band in range(len(bands))]
                    assert all(0 <= dropped <= exponent for dropped, exponent in zip(bands, exponents, strict=True))


def read_tile_parts(content: bytes) -> None:
    """Look for the tile-parts of the first tiles of a codestream; they lie in it, one after the other."""
    header = read_main_header(MemoryBlob("a.j2k", content), 0)
    index = TilePartIndex(header, len(content))
    tiles = range(min(header.geometry.columns * header.geometry.rows, MOST_TILES))
    blob = MemoryBlob("a.j2k", content)
    try:
        found = index.find(blob, dict.fromkeys(tiles, 1))
    except (TlmMismatch, TooManyTileParts):
        return
    for tile in found or ():
        starts, stops, packets, _ = tile.parts
        assert (starts < packets).all()
        assert (packets <= stops).all()
        assert (stops <= len(content)).all()


def read_packet_lengths(content: bytes) -> None:
    """Parse the header of a tile-part at each length it might have; packet lengths add up to what follows it."""
    parse_start(content.ljust(SOT_BYTES, b"\0"), 0, 1 << 16)
    for length in {len(content), len(content) // 2, len(content) + 500}:
        found = parse_contents(content, 0, length)
        assert found.header <= length
        if found.lengths is not None:
            assert int(found.lengths.sum()) == length - found.header


def believe_entry(content: bytes) -> None:
    """Fill an index with an entry whose seal is right: tile-parts lie in the codestream, and lengths fill them."""
    data = _indexed()
    header = read_main_header(MemoryBlob("a.j2k", data), 0)
    index = PacketIndex(header, len(data), run_inline)
    try:
        arrays = arrays_of(content)
        head_of(arrays)
        fill(index, arrays)
    except Corrupt as error:
        raise Malformed(str(error)) from error
    for tile in index.tile_parts.tiles.values():
        starts, stops, packets, _ = tile.parts
        assert (header.stop <= starts).all()
        assert (starts < packets).all()
        assert (packets <= stops).all()
        assert (stops <= len(data)).all()
        if tile.lengths is not None:
            assert int(tile.lengths.sum()) == int((stops - packets).sum())


@cache
def _indexed() -> bytes:
    return picture((60, 50), "-p", "RPCL", "-t", "32,32", "-c", "[16,16]", "-PLT", "-n", "3")


def _entries() -> list[bytes]:
    data = _indexed()
    index = PacketIndex(read_main_header(MemoryBlob("a.j2k", data), 0), len(data), run_inline)
    found = [to_arrays(index)[0]]
    index.learn(MemoryBlob("a.j2k", data))
    index.head = {1: b"head"}
    index.losses.put(LossKey(0, Tolerance(80, "4:2:0"), 0.1), Loss(1.0))
    found.append(to_arrays(index)[0])
    return [unpacked(Packing().pack("", arrays, index.extent)) for arrays in found]


def unpacked(entry: bytes) -> bytes:
    return zlib.decompress(entry[HEAD_BYTES + SEAL_BYTES :])


def read_packet_headers(content: bytes) -> None:
    """Read the packet headers of a precinct, which a few bytes describe, and write them anew: they read the same."""
    shape, content = content[:SHAPE_BYTES].ljust(SHAPE_BYTES, b"\0"), content[SHAPE_BYTES:]
    width, height, bands, layers, style, first = shape
    grids = (BlockGrid(0, 0, width % 9 + 1, height % 9 + 1),) * (1 if bands % 2 else 3)
    where = first * len(content) // 256
    packets = [content] if layers % 2 else [content[:where], content[where:]]
    try:
        found = read_precinct(grids, packets, style & 0x3F, eph=bool(style & 0x40))
    except BadPacketHeader as error:
        raise Malformed(str(error)) from error
    numbers = range(len(found.zero_planes))
    part = part_of(found, numbers, style & 0x3F)
    written = [
        header + (EPH if style & 0x40 else b"") + b"".join(packet[start:stop] for start, stop in spans)
        for header, packet, spans in zip(
            write_precinct(grids, part.blocks, style & 0x3F), packets, part.spans, strict=True
        )
    ]
    again = read_precinct(grids, written, style & 0x3F, eph=bool(style & 0x40))
    assert [layer.passes for layer in again.layers] == [layer.passes for layer in found.layers]
    assert [layer.lengths for layer in again.layers] == [layer.lengths for layer in found.layers]
    assert PrecinctBlocks.from_bytes(found.to_bytes(), len(found.zero_planes), len(packets)) == found


def _packets() -> list[bytes]:
    """Return packets of an encoder, and what describes their precincts."""
    found = []
    for style, options in ((0, ()), (5, ("-M", "5")), (0x40, ("-EPH",)), (1, ("-M", "1", "-r", "20,2"))):
        content = picture((32, 32), "-n", "1", "-b", "8,8", "-PLT", *options, steps=((1, 1),))
        header = parse_main_header(content)
        index = TilePartIndex(header, len(content))
        for tile in index.find(MemoryBlob("a.j2k", content), {0: header.layers}) or ():
            if tile.lengths is None:
                continue
            start = int(tile.parts[2][0])
            first = int(tile.lengths[0]) * 256 // int(tile.lengths.sum())
            shape = bytes([3, 3, 1, header.layers % 2, style, min(first + 1, 255)])
            found.append(shape + content[start : start + int(tile.lengths.sum())])
    return found


def read_directories(content: bytes) -> None:
    """Follow the directories of a TIFF."""
    structure = tiff.recognise(MemoryBlob("a.tif", content))
    for directory in structure.directories() if structure else ():
        assert all(len(values) > 0 for values in directory.values())


def _codestreams() -> list[bytes]:
    return [
        picture((100, 70), "-t", "40,40", "-n", "3", "-p", "RPCL", "-PLT", "-TLM", "-r", "60"),
        picture((90, 60), "-n", "3", "-p", "RPCL", "-PLT", "-TP", "R", "-SOP", "-EPH", "-c", "[16,16]", "-r", "60"),
        picture((64, 64), "-n", "2", "-r", "60", steps=((1, 1), (2, 2), (2, 2))),
    ]


def _files() -> list[bytes]:
    tiles, parts, halves = _codestreams()
    gray = picture((50, 40), "-n", "2", "-r", "40,20", steps=((1, 1),))
    palette = pclr([(0, 0, 0), (255, 255, 255), (255, 0, 0), (0, 255, 0)], (8, 8, 8))
    icc = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    text = box(b"xml ", b"<a/>") + box(b"uuid", bytes(30))
    return [
        tiles,
        parts,
        halves,
        jp2(tiles, ihdr(3, (100, 70)), colr(16)),
        jp2(gray, ihdr(1, (50, 40)), colr(17), cdef((0, 0, 1))) + text,
        jp2(gray, ihdr(1, (50, 40)), palette, cmap((0, 1, 0), (0, 1, 1), (0, 1, 2)), colr(16)),
        jp2(parts, ihdr(3, (90, 60)), profile(icc), colr(16), cdef((0, 0, 1), (1, 0, 2), (2, 0, 3))),
        *(_described(jp2(gray, ihdr(1, (50, 40)), colr(17)), each) for each in (EXIF + exif(6), XMP + xmp("8"))),
    ]


def _described(sound: bytes, metadata: bytes) -> bytes:
    """Return a file with a uuid box before its header."""
    start = sound.index(b"jp2h") - 4
    return sound[:start] + box(b"uuid", metadata) + sound[start:]


def _boxes() -> list[bytes]:
    """Files with a codestream of two markers, so that what is changed is the boxes."""
    stream = b"\xff\x4f\xff\x51\xff\xd9"
    sound = jp2(stream, ihdr(), colr(16))
    start = sound.index(b"jp2h") - 4
    return [
        sound,
        jp2(stream, ihdr(4), colr(12), cdef((0, 0, 1), (1, 1, 0)), profile(bytes(200))),
        jp2(stream, ihdr(), pclr([(0, 1, 2)], (8, 8, 8)), cmap((0, 1, 0)), colr(17)),
        _described(_described(sound, EXIF + exif(6)), XMP + xmp("8")),
        sound[:start] + box(b"xml ", bytes(20)) + struct.pack(">I4sQ", 1, b"asoc", 20) + bytes(4) + sound[start:],
    ]


def _headers() -> list[bytes]:
    """Codestreams up to their first tile-part."""
    return [stream[: stream.index(b"\xff\x90\0\x0a") + 2] for stream in _codestreams()]


def _tile_parts() -> list[bytes]:
    """Return a tile-part of each codestream, its packets left out but for 40 bytes."""
    found = []
    for stream in _codestreams():
        start = stream.index(b"\xff\x90\0\x0a")
        found.append(stream[start : stream.index(b"\xff\x93", start) + 42])
    return found


def _high_throughput() -> list[bytes]:
    return [
        encode(photograph((70, 50)), levels=2),
        encode(photograph((40, 40), 1), levels=1, reversible=False),
        jp2(encode(photograph((30, 20)), levels=3), ihdr(3, (30, 20)), colr(16)),
    ]


def _directories() -> list[bytes]:
    classic = struct.pack("<4sIHHHIIHHIII", b"II*\0", 8, 2, 258, 3, 3, 40, 262, 3, 1, 2, 0) + bytes(10)
    big = struct.pack(">4sHHQQHHQQQ", b"MM\0+", 8, 0, 16, 1, 277, 3, 1, 3 << 48, 0)
    return [classic, big, b"II*\0\x08\0\0\0\0\0\x08\0\0\0", b"MM\0*\0\0\0\0"]


TARGETS: Final = (
    Target("jp2", open_windows, _files, structured=True),
    Target("htj2k", open_high_throughput, _high_throughput, structured=True),
    Target("boxes", read_boxes, _boxes, structured=True),
    Target("main-header", read_header, _headers, structured=True),
    Target("tile-parts", read_tile_parts, _codestreams, structured=True),
    Target("packet-lengths", read_packet_lengths, _tile_parts),
    Target("entries", believe_entry, _entries),
    Target("packet-headers", read_packet_headers, _packets),
    Target("tiff", read_directories, _directories),
)
