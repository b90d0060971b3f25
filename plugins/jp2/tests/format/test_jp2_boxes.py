"""Boxes: they are found in any order, and errors name the broken one."""

from __future__ import annotations

import struct

import pytest
from sidecar_jp2.format.boxes import Container, read_container
from sidecar_jp2.format.broken import Broken
from sidecar_jp2.format.color_boxes import Definition, Mapping
from sidecar_jp2.format.header_blocks import BLOCK, BlockCachedBlob
from sidecar_jp2.testing import SIGNATURE, box, cdef, cmap, colr, ftyp, ihdr, jp2, pclr, profile

from sidecar.plugin import ByteRange, Malformed, Unsupported
from sidecar.testing.fakes import MemoryBlob

STREAM = b"\xff\x4f\xff\x51" + bytes(60)
HEADER = box(b"jp2h", ihdr() + colr(16))
BROKEN = {
    "ftyp: it does not follow": SIGNATURE + HEADER,
    "ftyp: only 4 bytes": SIGNATURE + box(b"ftyp", b"jp2 ") + HEADER,
    "jp2c: the file has no": SIGNATURE + ftyp() + HEADER,
    "jp2h: the file has no": SIGNATURE + ftyp() + box(b"jp2c", STREAM),
    "box: only 3 bytes": SIGNATURE + ftyp() + HEADER + b"\0\0\0",
    "'xml ': only 4 bytes": SIGNATURE + ftyp() + struct.pack(">I4sI", 1, b"xml ", 0),
    "ihdr: 0 bytes": jp2(STREAM, colr(16)),
    "xml: 4 bytes longer": SIGNATURE + ftyp() + struct.pack(">I4s", 12, b"xml "),
    "cmap: no palette": jp2(STREAM, ihdr(), cmap((0, 1, 0)), pclr([(1,)], (8,))),
    "pclr: two of it": jp2(STREAM, ihdr(), pclr([(1,)], (8,)), pclr([(1,)], (8,)), cmap((0, 1, 0))),
    "cdef: two of it": jp2(STREAM, ihdr(), cdef((0, 0, 1)), cdef((0, 0, 1))),
    "colr: a box of 0 bytes": jp2(STREAM, ihdr(), b"\0\0\0\0" + colr(16)[4:]),
    "ihdr: 3 bytes": jp2(STREAM, box(b"ihdr", b"abc")),
    "colr: only 2 bytes": jp2(STREAM, ihdr(), box(b"colr", b"\1\0")),
    "colr: only 5 bytes": jp2(STREAM, ihdr(), box(b"colr", b"\1\0\0\0\0")),
    "pclr: 2 entries of 3 columns in": jp2(STREAM, ihdr(), box(b"pclr", b"\0\2\3\7\7\7abc"), cmap((0, 1, 0))),
    "pclr: 0 entries": jp2(STREAM, ihdr(), box(b"pclr", b"\0\0\1\7"), cmap((0, 1, 0))),
    "cmap: a column": jp2(STREAM, ihdr(), pclr([(1,)], (8,)), cmap((0, 1, 1))),
    "cmap: 3 bytes": jp2(STREAM, ihdr(), pclr([(1,)], (8,)), box(b"cmap", b"abc")),
    "cdef: 2 definitions in 8": jp2(STREAM, ihdr(), box(b"cdef", b"\0\2" + bytes(6))),
}
HANGING = {
    "a box of 0 bytes": struct.pack(">I4s", 0, b"xml ") + bytes(40),
    "a box of 5 bytes": struct.pack(">I4s", 5, b"xml ") + bytes(40),
    "a box of 3556769812 bytes": struct.pack(">I4s", 3556769812, b"xml ") + bytes(40),
    "a box of 15 bytes": struct.pack(">I4sQ", 1, b"xml ", 15),
    "a box of 9223372036854775808 bytes": struct.pack(">I4sQ", 1, b"xml ", 1 << 63),
}
"""Lengths that lead Cantaloupe's reader back to what it has read."""
ELSEWHERE = {
    "neither": b"GIF89a" + bytes(100),
    "neither a JP2 file": b"",
    "brand": SIGNATURE + ftyp(b"mjp2") + HEADER,
    "a palette without": jp2(STREAM, ihdr(), pclr([(1, 2, 3)], (8, 8, 8))),
    "values beyond their depth": jp2(STREAM, ihdr(), box(b"pclr", b"\0\1\1\3\xff"), cmap((0, 1, 0))),
    "a channel defined twice": jp2(STREAM, ihdr(), cdef((0, 0, 1), (0, 0, 2))),
    "more than one codestream": SIGNATURE + ftyp(b"jpx ") + HEADER + box(b"jp2c", STREAM) * 2,
    "comp: a JPX composition": SIGNATURE + ftyp(b"jpx ") + HEADER + box(b"jp2c", STREAM) + box(b"comp", b""),
    "boxes in a row": SIGNATURE + ftyp() + box(b"free", b"") * 600,
}


def container(content: bytes) -> Container:
    """Read the boxes of a file in memory."""
    return read_container(BlockCachedBlob(MemoryBlob("a.jp2", content)))


@pytest.mark.parametrize("text", BROKEN)
def test_broken_boxes_are_named(text: str) -> None:
    """Broken structure is handed over, and the message names the box."""
    with pytest.raises(Broken, match=text.replace("(", r"\(")):
        container(BROKEN[text])


@pytest.mark.parametrize("text", HANGING)
def test_lengths_that_hang_readers_are_refused(text: str) -> None:
    """A box length that makes Cantaloupe read for ever raises Malformed; after the codestream it reads nothing."""
    with pytest.raises(Malformed, match=text):
        container(SIGNATURE + ftyp() + HANGING[text] + HEADER + box(b"jp2c", STREAM))
    sound = SIGNATURE + ftyp(b"jpx ") + HEADER + box(b"jp2c", STREAM)
    assert container(sound + HANGING[text]) == container(sound)


@pytest.mark.parametrize("text", ELSEWHERE)
def test_foreign_content_is_handed_over(text: str) -> None:
    """Anything but a single JPEG 2000 image raises Unsupported."""
    with pytest.raises(Unsupported, match=text):
        container(ELSEWHERE[text])


def test_a_bare_codestream_is_the_whole_file() -> None:
    """A file that begins with SOC and SIZ is a codestream without boxes."""
    assert container(STREAM) == (ByteRange(0, len(STREAM)), container(STREAM).color, ())


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
    """A file truncated before its codestream is handed over; truncated in it, the codestream reaches to its end."""
    whole = jp2(STREAM, ihdr(), colr(16))
    start = container(whole).codestream.start
    if cut < start:
        with pytest.raises((Broken, Unsupported)):
            container(whole[:cut])
    elif cut < len(whole):
        assert container(whole[:cut]).codestream == ByteRange(start, cut)


AFTER = {
    "two bytes": b"\r\n",
    "a box without contents": b"\0\0",
    "text": b"not a box at all, but longer than its head",
    "a box longer than the file": struct.pack(">I4s", 5000, b"uuid") + bytes(20),
    "a box of three bytes": struct.pack(">I4s", 3, b"xml "),
}


@pytest.mark.parametrize("brand", [b"jp2 ", b"jpx ", b"xyz "])
@pytest.mark.parametrize("after", AFTER)
def test_what_follows_the_codestream_is_no_fault(brand: bytes, after: str) -> None:
    """Whatever follows a whole codestream, the image is that of the boxes before."""
    sound = SIGNATURE + ftyp(brand) + HEADER + box(b"jp2c", STREAM)
    assert container(sound + AFTER[after]) == container(sound)


@pytest.mark.parametrize("length", [8 + len(STREAM) + 500, 1, 7, 1 << 31])
def test_the_length_of_the_codestream_may_be_wrong(length: int) -> None:
    """A codestream box longer than the file reaches to its end, as does one whose length is none."""
    content = SIGNATURE + ftyp() + HEADER + struct.pack(">I4s", length, b"jp2c")
    content += struct.pack(">Q", 10_000) * (length == 1) + STREAM
    start, stop = container(content).codestream
    assert content[start:stop] == STREAM


@pytest.mark.parametrize("content", [b"jp2 \0\0\0\0", b"xyz \0\0\0\0", b"xyz \0\0\0\0zyx ", b"mjp2\0\0\0\0jp2 "])
def test_brands_do_not_matter(content: bytes) -> None:
    """An unknown brand or an empty list of compatible ones is no fault, as long as the boxes are those of JP2."""
    whole = SIGNATURE + box(b"ftyp", content) + HEADER + box(b"jp2c", STREAM)
    assert container(whole).color.enumerated == 16


PALETTE = pclr([(1, 2, 3), (4, 5, 6)], (8, 8, 8))
MAPPED = cmap((0, 1, 0), (0, 1, 1), (0, 1, 2))
TWICE_OR_ELSEWHERE = {
    "ihdr twice": ((ihdr(), ihdr(), colr(17), PALETTE, MAPPED), ()),
    "colr twice": ((ihdr(), colr(17), colr(16), PALETTE, MAPPED), ()),
    "cmap after jp2h": ((ihdr(), colr(17), PALETTE), (MAPPED,)),
    "pclr and cmap after jp2h": ((ihdr(), colr(17)), (PALETTE, MAPPED)),
    "colr after jp2h": ((ihdr(), PALETTE, MAPPED), (colr(17), colr(16))),
    "jp2h twice": ((ihdr(), colr(17), PALETTE, MAPPED), (box(b"jp2h", ihdr() + colr(16)),)),
    "an unknown method first": ((ihdr(), box(b"colr", b"\4\0\0abc"), colr(17), PALETTE, MAPPED), ()),
    "a profile of JPX first": ((ihdr(), box(b"colr", b"\3\0\0abc"), colr(17), PALETTE, MAPPED), ()),
    "bytes after the palette": ((ihdr(), colr(17), box(b"pclr", PALETTE[8:] + b"!"), MAPPED), ()),
    "bytes after the mapping": ((ihdr(), colr(17), PALETTE, box(b"cmap", MAPPED[8:] + b"!")), ()),
    "bytes after the colour space": ((ihdr(), box(b"colr", colr(17)[8:] + b"!"), PALETTE, MAPPED), ()),
}


@pytest.mark.parametrize("case", TWICE_OR_ELSEWHERE)
def test_header_boxes_twice_or_elsewhere(case: str) -> None:
    """Of doubled boxes the first counts, boxes after jp2h count as if in it, surplus bytes do not: as in OpenJPEG."""
    inside, after = TWICE_OR_ELSEWHERE[case]
    content = SIGNATURE + ftyp() + box(b"jp2h", b"".join(inside)) + b"".join(after) + box(b"jp2c", STREAM)
    assert container(content).color == container(jp2(STREAM, ihdr(), colr(17), PALETTE, MAPPED)).color


def test_header_boxes_before_jp2h_are_ignored() -> None:
    """OpenJPEG ignores a misplaced box that comes before jp2h."""
    content = SIGNATURE + ftyp() + colr(17) + HEADER + box(b"jp2c", STREAM)
    assert container(content).color.enumerated == 16


def test_a_definition_that_stands_twice_is_one() -> None:
    """A row of cdef that is repeated changes nothing."""
    rows = ((0, 0, 1), (1, 0, 2), (2, 0, 3))
    once, twice = (container(jp2(STREAM, ihdr(), cdef(*each))).color for each in (rows, (*rows, rows[2])))
    assert once == twice
