"""Boxes: they are found in any order, and errors name the broken one."""

from __future__ import annotations

import struct

import pytest
from sidecar_jp2.format.boxes import Container, Definition, Mapping, read_container
from sidecar_jp2.format.header_blocks import BLOCK, BlockCachedBlob
from sidecar_jp2.testing import SIGNATURE, box, cdef, cmap, colr, ftyp, ihdr, jp2, pclr, profile

from sidecar.plugin import ByteRange, Malformed, Unsupported
from sidecar.testing.fakes import MemoryBlob

STREAM = b"\xff\x4f\xff\x51" + bytes(60)
HEADER = box(b"jp2h", ihdr() + colr(16))
REFUSED = {
    "ftyp: it does not follow": SIGNATURE + HEADER,
    "ftyp: only 4 bytes": SIGNATURE + box(b"ftyp", b"jp2 ") + HEADER,
    "jp2c: the file has no": SIGNATURE + ftyp() + HEADER,
    "jp2h: the file has no": SIGNATURE + ftyp() + box(b"jp2c", STREAM),
    "box: only 3 bytes": SIGNATURE + ftyp() + HEADER + b"\0\0\0",
    "a box of 5 bytes": SIGNATURE + ftyp() + struct.pack(">I4s", 5, b"xml ") + bytes(40),
    "'xml ': only 4 bytes": SIGNATURE + ftyp() + struct.pack(">I4sI", 1, b"xml ", 0),
    "jp2c: 1 bytes longer": jp2(STREAM, ihdr(), colr(16))[:-1],
    "ihdr: only 0 bytes": jp2(STREAM, colr(16)),
    "ihdr: two of it": jp2(STREAM, ihdr(), ihdr()),
    "ihdr: only 3 bytes": jp2(STREAM, box(b"ihdr", b"abc")),
    "colr: only 2 bytes": jp2(STREAM, ihdr(), box(b"colr", b"\1\0")),
    "colr: only 5 bytes": jp2(STREAM, ihdr(), box(b"colr", b"\1\0\0\0\0")),
    "do not come together": jp2(STREAM, ihdr(), pclr([(1, 2, 3)], (8, 8, 8))),
    "pclr: 2 entries of 3 columns in": jp2(STREAM, ihdr(), box(b"pclr", b"\0\2\3\7\7\7abc"), cmap((0, 1, 0))),
    "pclr: 0 entries": jp2(STREAM, ihdr(), box(b"pclr", b"\0\0\1\7"), cmap((0, 1, 0))),
    "cmap: a column": jp2(STREAM, ihdr(), pclr([(1,)], (8,)), cmap((0, 1, 1))),
    "cmap: 3 bytes": jp2(STREAM, ihdr(), pclr([(1,)], (8,)), box(b"cmap", b"abc")),
    "cdef: 2 definitions in 8": jp2(STREAM, ihdr(), box(b"cdef", b"\0\2" + bytes(6))),
    "cdef: a channel defined twice": jp2(STREAM, ihdr(), cdef((0, 0, 1), (0, 0, 2))),
}
ELSEWHERE = {
    "neither": b"GIF89a" + bytes(100),
    "neither a JP2 file": b"",
    "brand": SIGNATURE + ftyp(b"mjp2") + HEADER,
    "colr: method 4": jp2(STREAM, ihdr(), box(b"colr", b"\4\0\0" + bytes(20))),
    "more than one codestream": SIGNATURE + ftyp(b"jpx ") + HEADER + box(b"jp2c", STREAM) * 2,
    "comp: a JPX composition": SIGNATURE + ftyp(b"jpx ") + HEADER + box(b"jp2c", STREAM) + box(b"comp", b""),
    "boxes in a row": SIGNATURE + ftyp() + box(b"free", b"") * 600,
}


def container(content: bytes) -> Container:
    """Read the boxes of a file in memory."""
    return read_container(BlockCachedBlob(MemoryBlob("a.jp2", content)))


@pytest.mark.parametrize("text", REFUSED)
def test_broken_boxes_are_named(text: str) -> None:
    """Broken structure raises Malformed, and the message names the box."""
    with pytest.raises(Malformed, match=text.replace("(", r"\(")):
        container(REFUSED[text])


@pytest.mark.parametrize("text", ELSEWHERE)
def test_foreign_content_is_handed_over(text: str) -> None:
    """Anything but a single JPEG 2000 image raises Unsupported."""
    with pytest.raises(Unsupported, match=text):
        container(ELSEWHERE[text])


def test_a_bare_codestream_is_the_whole_file() -> None:
    """A file that begins with SOC and SIZ is a codestream without boxes."""
    assert container(STREAM) == (ByteRange(0, len(STREAM)), container(STREAM).color)


@pytest.mark.parametrize("lengths", ["LBox", "XLBox", "to the end"])
def test_each_form_of_a_box_length(lengths: str) -> None:
    """A length of 32 bits, one of 64 bits, and 0 for the rest of the file find the same codestream."""
    heads = {
        "LBox": struct.pack(">I4s", 8 + len(STREAM), b"jp2c"),
        "XLBox": struct.pack(">I4sQ", 1, b"jp2c", 16 + len(STREAM)),
        "to the end": struct.pack(">I4s", 0, b"jp2c"),
    }
    content = SIGNATURE + ftyp() + HEADER + heads[lengths] + STREAM
    start, stop = container(content).codestream
    assert content[start:stop] == STREAM


def test_the_codestream_may_come_first() -> None:
    """A jp2h box after the codestream is found too."""
    found = container(SIGNATURE + ftyp() + box(b"jp2c", STREAM) + HEADER)
    assert found.color.enumerated == 16


def test_large_boxes_are_not_read() -> None:
    """Megabytes of XML before the header are skipped: only blocks with box headers are read."""
    blob = MemoryBlob("a.jp2", SIGNATURE + ftyp() + box(b"xml ", bytes(5_000_000)) + HEADER + box(b"jp2c", STREAM))
    read_container(BlockCachedBlob(blob))
    assert sum(stop - start for start, stop in blob.asked) <= 3 * BLOCK


def test_an_ordinary_file_takes_one_read() -> None:
    """If all boxes lie in the first block, one read is enough."""
    blob = MemoryBlob("a.jp2", jp2(STREAM, ihdr(), colr(16)) + bytes(100_000))
    read_container(BlockCachedBlob(blob))
    assert blob.asked == [ByteRange(0, BLOCK)]


def test_the_header_boxes_are_read() -> None:
    """Palette, mapping, definitions and the first known colour specification are read as written."""
    header = (
        ihdr(1),
        box(b"colr", b"\4\0\0"),
        profile(b"x" * 130),
        colr(17),
        pclr([(1, 700), (255, 2)], (8, 12)),
        cmap((0, 1, 1), (0, 0, 0)),
        cdef((0, 0, 1), (1, 1, 0)),
    )
    color = container(jp2(STREAM, *header)).color
    assert (color.icc, color.enumerated) == (b"x" * 130, None)
    assert color.palette is not None
    assert color.palette.rows == ((1, 700), (255, 2))
    assert color.palette.precisions == (8, 12)
    assert color.mappings == (Mapping(0, 1), Mapping(0, None))
    assert color.definitions == (Definition(0, 0, 1), Definition(1, 1, 0))


@pytest.mark.parametrize("cut", range(0, 200, 7))
def test_a_truncated_file_is_never_misread(cut: int) -> None:
    """A file truncated at any place raises Malformed or Unsupported."""
    whole = jp2(STREAM, ihdr(), colr(16))
    if cut < len(whole):
        with pytest.raises((Malformed, Unsupported)):
            container(whole[:cut])
