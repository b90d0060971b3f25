"""Boxes: what a JP2 file says is found wherever it lies, and what is broken is named."""

from __future__ import annotations

import struct

import pytest
from sidecar_jp2.boxes import Container, Definition, Mapping, read_container
from sidecar_jp2.peek import BLOCK, Peek
from sidecar_jp2.testing import SIGNATURE, box, cdef, cmap, colr, ftyp, ihdr, jp2, pclr, profile

from sidecar.errors import Malformed, Unsupported
from sidecar.model import ByteRange
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
    """Read the boxes of a file held in memory."""
    return read_container(Peek(MemoryBlob("a.jp2", content)))


@pytest.mark.parametrize("text", REFUSED)
def test_broken_boxes_are_named(text: str) -> None:
    """Broken structure is Malformed, with a text that names the box."""
    with pytest.raises(Malformed, match=text.replace("(", r"\(")):
        container(REFUSED[text])


@pytest.mark.parametrize("text", ELSEWHERE)
def test_foreign_content_is_handed_over(text: str) -> None:
    """What is no single JPEG 2000 picture is Unsupported, so that someone else may answer."""
    with pytest.raises(Unsupported, match=text):
        container(ELSEWHERE[text])


def test_a_bare_codestream_is_the_whole_file() -> None:
    """SOC and SIZ at the beginning make a file without boxes."""
    assert container(STREAM) == (ByteRange(0, len(STREAM)), container(STREAM).colour)


@pytest.mark.parametrize("lengths", ["LBox", "XLBox", "to the end"])
def test_each_way_of_giving_a_length(lengths: str) -> None:
    """A length of 32 bits, of 64 bits, and 0 for the rest of the file lead to the same codestream."""
    heads = {
        "LBox": struct.pack(">I4s", 8 + len(STREAM), b"jp2c"),
        "XLBox": struct.pack(">I4sQ", 1, b"jp2c", 16 + len(STREAM)),
        "to the end": struct.pack(">I4s", 0, b"jp2c"),
    }
    content = SIGNATURE + ftyp() + HEADER + heads[lengths] + STREAM
    start, stop = container(content).codestream
    assert content[start:stop] == STREAM


def test_the_codestream_may_come_first() -> None:
    """A jp2h behind the codestream is found as well."""
    found = container(SIGNATURE + ftyp() + box(b"jp2c", STREAM) + HEADER)
    assert found.colour.enumerated == 16


def test_large_boxes_are_not_read() -> None:
    """Megabytes of XML before the header cost neither reads nor memory: only blocks with box headers are asked for."""
    blob = MemoryBlob("a.jp2", SIGNATURE + ftyp() + box(b"xml ", bytes(5_000_000)) + HEADER + box(b"jp2c", STREAM))
    read_container(Peek(blob))
    assert sum(stop - start for start, stop in blob.asked) <= 3 * BLOCK


def test_an_ordinary_file_takes_one_read() -> None:
    """All boxes in the first block cost one read of a remote."""
    blob = MemoryBlob("a.jp2", jp2(STREAM, ihdr(), colr(16)) + bytes(100_000))
    read_container(Peek(blob))
    assert blob.asked == [ByteRange(0, BLOCK)]


def test_what_the_header_says_is_kept() -> None:
    """Palette, mapping, definitions and the first known colour specification come out as they went in."""
    header = (
        ihdr(1),
        box(b"colr", b"\4\0\0"),
        profile(b"x" * 130),
        colr(17),
        pclr([(1, 700), (255, 2)], (8, 12)),
        cmap((0, 1, 1), (0, 0, 0)),
        cdef((0, 0, 1), (1, 1, 0)),
    )
    colour = container(jp2(STREAM, *header)).colour
    assert (colour.icc, colour.enumerated) == (b"x" * 130, None)
    assert colour.palette is not None
    assert colour.palette.rows == ((1, 700), (255, 2))
    assert colour.palette.precisions == (8, 12)
    assert colour.mappings == (Mapping(0, 1), Mapping(0, None))
    assert colour.definitions == (Definition(0, 0, 1), Definition(1, 1, 0))


@pytest.mark.parametrize("cut", range(0, 200, 7))
def test_a_truncated_file_is_never_misread(cut: int) -> None:
    """Cut at any place, the boxes are Malformed, or what is left is not JPEG 2000 at all."""
    whole = jp2(STREAM, ihdr(), colr(16))
    if cut < len(whole):
        with pytest.raises((Malformed, Unsupported)):
            container(whole[:cut])
