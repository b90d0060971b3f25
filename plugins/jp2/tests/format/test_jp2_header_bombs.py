"""Headers and boxes that are written to keep readers busy: refused after a bounded part of them."""

from __future__ import annotations

import struct
import tracemalloc
from collections.abc import Callable, Iterator
from typing import ParamSpec, TypeVar

import pytest
from sidecar_jp2.format.header_blocks import BLOCK, BlockCachedBlob
from sidecar_jp2.format.main_header import read_main_header
from sidecar_jp2.format.markers import MOST_SEGMENTS, Marker, Segment, segment_bytes, segments_before
from sidecar_jp2.format.metadata import EXIF, LONG_XMP_BYTES, XMP
from sidecar_jp2.format.siz import MOST_COMPONENTS
from sidecar_jp2.format.tile_part_header import parse_tlm, tile_part_markers
from sidecar_jp2.head import Head, read_head
from sidecar_jp2.hollow import Hollow
from sidecar_jp2.testing import SIGNATURE, box, cmap, colr, exif, ftyp, ihdr, jp2, pclr, profile, xmp

from sidecar.plugin import ByteRange, Unsupported
from sidecar.testing.fakes import MemoryBlob

P = ParamSpec("P")
T = TypeVar("T")

STREAM = Hollow(size=(64, 48)).codestream
MUCH = 6 * 2**20
"""Bytes of memory that opening any of these files stays below; each of them has more, or led to more."""
COM = segment_bytes(Marker.COM, b"")
BOMBS = {
    "more than 4096 marker segments": Hollow(size=(64, 48), comments=1 << 21).codestream,
    "a main header of more than": STREAM[: STREAM.index(b"\xff\x90")]
    + segment_bytes(Marker.COM, bytes(65000)) * 200
    + STREAM[STREAM.index(b"\xff\x90") :],
    "SIZ: 16384 components": Hollow(size=(64, 48), components=16384).codestream,
    "cmap: .* bytes": jp2(STREAM, ihdr(), pclr([(1, 2, 3)], (8, 8, 8)), cmap(*[(0, 1, 0)] * (1 << 18))),
    "cdef: .* bytes": jp2(STREAM, ihdr(), box(b"cdef", struct.pack(">H", 65535) + bytes(6 * 65535))),
    "pclr: 255 columns": jp2(STREAM, ihdr(), pclr([[1] * 255] * 8, [8] * 255), cmap((0, 1, 0))),
    "ftyp: .* bytes": SIGNATURE + box(b"ftyp", b"jp2 " + bytes(1 << 23)) + jp2(STREAM, ihdr())[32:],
    "colr: .* bytes": jp2(STREAM, ihdr(), profile(bytes(8 << 20))),
    "more than 512 boxes in jp2h": SIGNATURE
    + ftyp()
    + box(b"jp2h", box(b"free", b"") * 400) * 400
    + box(b"jp2c", STREAM),
}


@pytest.mark.parametrize("text", BOMBS)
def test_bombs_are_refused(text: str) -> None:
    """Counts and sizes beyond those of any image raise Unsupported, and take little memory until then."""
    blob = MemoryBlob("a.jp2", BOMBS[text])
    tracemalloc.start()
    try:
        with pytest.raises(Unsupported, match=text):
            read_head(blob)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # A main header that is too long is read up to the limit, and is in memory several times while it grows.
    assert most < (6 * MUCH if "main header" in text else MUCH)


def test_profiles_that_count_for_nothing_are_not_read() -> None:
    """Of colr boxes with unknown methods, and of those after the first known one, only the beginning is read."""
    unknown, second = box(b"colr", b"\x03\0\0" + bytes(1 << 20)), profile(bytes(1 << 20))
    blob = MemoryBlob("a.jp2", jp2(STREAM, ihdr(), *[unknown] * 3, colr(16), *[second] * 3))
    assert read_head(blob).color.enumerated == 16
    assert sum(each.length for each in blob.asked) <= 10 * BLOCK


def test_each_segment_is_parsed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A header that comes in several reads is parsed on from where it ended, not from its beginning."""
    comment = segment_bytes(Marker.COM, bytes(1000))
    at = STREAM.index(b"\xff\x90")
    blob = MemoryBlob("a.j2k", STREAM[:at] + comment * 500 + STREAM[at:])
    begun: list[int] = []

    def counted(end: Marker, data: bytes, at: int, most: int = MOST_SEGMENTS) -> Iterator[Segment]:
        begun.append(at)
        return segments_before(end, data, at, most)

    monkeypatch.setattr("sidecar_jp2.format.main_header.segments_before", counted)
    header = read_main_header(BlockCachedBlob(blob), 0)
    assert len(header.segments) == 503
    assert begun == sorted(set(begun))
    assert len(blob.asked) < 10


def test_contents_that_nobody_reads_are_not_kept() -> None:
    """Of comments, and of packet headers and lengths in the main header, only that they are there is kept."""
    at = STREAM.index(b"\xff\x90")
    long = [segment_bytes(marker, bytes(60_000)) for marker in (Marker.COM, Marker.PLM, Marker.CRG)]
    plain = read_main_header(MemoryBlob("a.j2k", STREAM), 0)
    header = read_main_header(MemoryBlob("b.j2k", STREAM[:at] + b"".join(long) + STREAM[at:]), 0)
    assert header.stop - plain.stop == sum(map(len, long))
    assert header.has(Marker.PLM)
    assert header.nbytes - plain.nbytes < 1000


def test_as_many_components_as_are_read() -> None:
    """The limit on components is far above what is shown as colours: 1,024 are parsed."""
    content = Hollow(size=(64, 48), components=MOST_COMPONENTS).codestream
    assert len(read_main_header(MemoryBlob("a.j2k", content), 0).geometry.components) == MOST_COMPONENTS


def test_a_tile_part_of_comments() -> None:
    """What follows too many segments of a tile-part header is not looked at."""
    content = segment_bytes(Marker.SOT, struct.pack(">HIBB", 0, 0, 0, 1)) + COM * 50_000
    assert tile_part_markers(content) == {Marker.COM}


@pytest.mark.parametrize("style,layout", [(0x50, ">BI"), (0x10, ">BH"), (0x60, ">HI"), (0x40, ">I")])
def test_tlm_of_each_form(style: int, layout: str) -> None:
    """TLM lists tile numbers of no, one or two bytes and lengths of two or four (T.800 table A.34)."""
    entries = [(number, 1000 + number) for number in range(5)]
    packed = [struct.pack(layout, *(entry if len(layout) > 2 else entry[1:])) for entry in entries]
    parts = [
        segment_bytes(Marker.TLM, bytes([number, style]) + b"".join(some) + b"\0")
        for number, some in enumerate((packed[:2], packed[2:]))
    ]
    at = STREAM.index(b"\xff\x90")
    header = read_main_header(MemoryBlob("a.j2k", STREAM[:at] + b"".join(parts) + STREAM[at:]), 0)
    listed = parse_tlm(header.segments, 5)
    assert listed is not None
    assert [*zip(listed.tiles.tolist(), listed.lengths.tolist(), strict=True)] == entries
    assert parse_tlm(header.segments, 4) is None


def _orientation(kind: bytes, content: bytes) -> tuple[Head, list[int]]:
    calls: list[int] = []

    def native(call: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        calls.append(sum(len(each) for each in args if isinstance(each, bytes)))
        return call(*args, **kwargs)

    head = SIGNATURE + ftyp() + box(b"jp2h", ihdr() + colr(16)) + box(b"uuid", kind + content)
    return read_head(MemoryBlob("a.jp2", head + box(b"jp2c", STREAM)), native), calls


def test_long_metadata_is_parsed_in_a_native_thread() -> None:
    """Long XMP is parsed in a native thread, so that other requests go on; the usual is not worth a thread."""
    padding = b"<!--" + b" " * LONG_XMP_BYTES + b"-->"
    long = xmp("6").replace(b"<rdf:Description", padding + b"<rdf:Description")
    found, calls = _orientation(XMP, long)
    assert (found.orientation, calls) == (6, [len(long)])
    found, calls = _orientation(XMP, xmp("6"))
    assert (found.orientation, calls) == (6, [])
    found, calls = _orientation(EXIF, exif(3))
    assert (found.orientation, calls) == (3, [])


def test_ranges_are_read_once() -> None:
    """Boxes, header, tile-part, metadata and the end: whatever lies in the same block is read once."""
    blob = MemoryBlob("a.jp2", jp2(STREAM, ihdr(), colr(16)))
    read_head(blob)
    assert blob.asked == [ByteRange(0, blob.size)]
