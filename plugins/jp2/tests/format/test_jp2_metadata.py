"""Orientation in uuid boxes.

What decides, and which values are read, was found by asking a Cantaloupe 5.0.6 about files with such boxes. Where it
answers 500, the image is shown as it is stored.
"""

from __future__ import annotations

import io
import struct
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from sidecar_jp2.format.boxes import read_container
from sidecar_jp2.format.header_blocks import BLOCK, BlockCachedBlob
from sidecar_jp2.format.metadata import EXIF, MAX_XMP_BYTES, XMP, read_orientation
from sidecar_jp2.testing import SIGNATURE, box, colr, exif, ftyp, ihdr, xmp

from sidecar.testing.fakes import MemoryBlob

HEADER = SIGNATURE + ftyp() + box(b"jp2h", ihdr() + colr(16))
STREAM = box(b"jp2c", b"\xff\x4f\xff\x51" + bytes(60))
ADOBE = bytes.fromhex("0537cdab9d0c4431a72afa561f2a113e")
"""The UUID under which some write EXIF; Cantaloupe does not read it."""
NAMESPACE = b' xmlns:tiff="http://ns.adobe.com/tiff/1.0/"'


def uuid(kind: bytes, content: bytes) -> bytes:
    """A box of a kind of its own (ITU-T T.800 I.7.2)."""
    return box(b"uuid", kind + content)


def orientation(*before: bytes, after: bytes = b"") -> int:
    """What is read of boxes before and after the codestream."""
    return found(MemoryBlob("a.jp2", HEADER + b"".join(before) + STREAM + after))


def found(blob: MemoryBlob) -> int:
    """What is read of a file: its boxes are walked once, for colours and metadata alike."""
    blocks = BlockCachedBlob(blob)
    return read_orientation(blocks, read_container(blocks).metadata)


@pytest.mark.parametrize("value", range(1, 9))
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("form", ["H", "I"])
def test_exif(order: Literal["<", ">"], form: Literal["H", "I"], value: int) -> None:
    """All eight values are read in either byte order, as SHORT and as LONG, with the name of APP1 and without."""
    assert orientation(uuid(EXIF, exif(value, order, form))) == value
    assert orientation(uuid(EXIF, b"Exif\0\0" + exif(value, order, form))) == value


@pytest.mark.parametrize("value", range(1, 9))
def test_exif_of_pillow(value: int) -> None:
    """The tag is found among others, as Pillow writes them."""
    tags = Image.Exif()
    tags[271], tags[274], tags[306] = "A maker of cameras", value, "2026:01:02 03:04:05"
    assert orientation(uuid(EXIF, tags.tobytes())) == value


@pytest.mark.parametrize("value", range(1, 9))
def test_xmp(value: int) -> None:
    """XMP counts as an attribute and as an element; Pillow reads the same of it."""
    assert orientation(uuid(XMP, xmp(str(value)))) == value
    assert orientation(uuid(XMP, xmp(str(value), element=True))) == value
    file = io.BytesIO()
    Image.new("RGB", (3, 2)).save(file, "JPEG", xmp=xmp(str(value)))
    assert Image.open(file).getexif()[274] == value


CASES: dict[str, tuple[int, list[bytes]]] = {
    "nothing": (1, []),
    "exif before xmp": (3, [uuid(EXIF, exif(3)), uuid(XMP, xmp("6"))]),
    "exif before xmp, whatever comes first": (3, [uuid(XMP, xmp("6")), uuid(EXIF, exif(3))]),
    "exif with a value that nobody defines keeps xmp out": (1, [uuid(EXIF, exif(0)), uuid(XMP, xmp("6"))]),
    "exif without the tag": (6, [uuid(EXIF, b"MM\0*\0\0\0\x08\0\0\0\0\0\0"), uuid(XMP, xmp("6"))]),
    "the last of two": (3, [uuid(EXIF, exif(6)), uuid(EXIF, exif(3))]),
    "exif 0": (1, [uuid(EXIF, exif(0))]),
    "exif 9": (1, [uuid(EXIF, exif(9))]),
    "xmp 0": (1, [uuid(XMP, xmp("0"))]),
    "xmp 9": (1, [uuid(XMP, xmp("9"))]),
    "xmp with a sign and a zero": (6, [uuid(XMP, xmp("+06"))]),
    "xmp with spaces": (1, [uuid(XMP, xmp(" 6 ", element=True))]),
    "xmp that is no number": (1, [uuid(XMP, xmp("six"))]),
    "xmp that breaks off": (1, [uuid(XMP, xmp("6").replace(b"</rdf:Description>", b"<a>"))]),
    "xmp with its prefix declared outside of rdf": (
        1,
        [uuid(XMP, xmp("6").replace(NAMESPACE, b"").replace(b"<x:xmpmeta", b"<x:xmpmeta" + NAMESPACE))],
    ),
    "xmp of another property": (1, [uuid(XMP, xmp("6").replace(b"tiff/1.0", b"exif/1.0"))]),
    "exif under another uuid": (1, [uuid(ADOBE, exif(6))]),
    "exif cut after the value": (6, [uuid(EXIF, exif(6)[:-4])]),
    # These are 500 there.
    "exif cut in the entry": (1, [uuid(EXIF, exif(6)[:16])]),
    "exif of a header only": (1, [uuid(EXIF, exif(6)[:8])]),
    "exif cut in its header": (1, [uuid(EXIF, exif(6)[:6])]),
    "exif that is none": (1, [uuid(EXIF, b"abcdefghijklmnopqrstuvwxyz")]),
    "exif that leads out of its box": (1, [uuid(EXIF, exif(6).replace(b"\0\0\0\x08", b"\xff\xff\xff\xff", 1))]),
    "an empty box": (1, [uuid(EXIF, b""), uuid(XMP, b"")]),
    "a box shorter than its uuid": (1, [box(b"uuid", b"Jpg")]),
    "xmp without rdf": (1, [uuid(XMP, b"<x:xmpmeta/>")]),
    "xmp with a line break after rdf": (6, [uuid(XMP, xmp("6").replace(b"<rdf:RDF ", b"<rdf:RDF\n"))]),
}


@pytest.mark.parametrize("case", CASES)
def test_what_decides(case: str) -> None:
    """Of several statements one decides, and what is broken says nothing."""
    wanted, boxes = CASES[case]
    assert orientation(*boxes) == wanted


def test_boxes_after_the_codestream_are_not_read() -> None:
    """Cantaloupe stops at the codestream, and remote files would cost one more request."""
    assert orientation(after=uuid(EXIF, exif(6))) == 1


def test_bare_codestreams_are_shown_as_stored() -> None:
    """A file without boxes has no metadata, and none is looked for."""
    blob = MemoryBlob("a.j2k", b"\xff\x4f\xff\x51" + bytes(60))
    assert found(blob) == 1
    assert len(blob.asked) == 1


def test_entities_are_not_expanded() -> None:
    """A document type, with entities that grow to gigabytes, stands outside of what is parsed."""
    bomb = b'<!DOCTYPE r [<!ENTITY a "6666"><!ENTITY b "&a;&a;&a;">]>' + xmp("&b;", element=True)
    assert orientation(uuid(XMP, bomb)) == 1
    inside = xmp("6").replace(b"<rdf:Description", b'<!DOCTYPE r [<!ENTITY b "6">]><rdf:Description')
    assert orientation(uuid(XMP, inside)) == 1


def test_large_boxes_are_not_read() -> None:
    """Of EXIF no more is read than leads to the tag, and XMP beyond the limit is left alone."""
    picture = exif(6) + bytes(20 * BLOCK)
    blob = MemoryBlob("a.jp2", HEADER + uuid(EXIF, picture) + STREAM)
    assert found(blob) == 6
    assert sum(read.length for read in blob.asked) <= 2 * BLOCK
    assert orientation(uuid(XMP, xmp("6") + bytes(MAX_XMP_BYTES))) == 1


@given(st.binary(max_size=200), st.sampled_from([EXIF, XMP]))
def test_broken_metadata_is_no_error(noise: bytes, kind: bytes) -> None:
    """Whatever stands in a box, reading it gives a value of EXIF's."""
    assert orientation(uuid(kind, noise)) in range(1, 9)


@given(st.data())
def test_damaged_exif_is_no_error(data: st.DataObject) -> None:
    """EXIF with any bytes changed or lost gives a value of EXIF's."""
    content = bytearray(exif(6, data.draw(st.sampled_from("<>"))))
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    assert orientation(uuid(EXIF, bytes(content[: data.draw(st.integers(0, len(content)))]))) in range(1, 9)


def test_many_entries_lead_to_no_value() -> None:
    """A directory of 65,535 entries is read once, wherever their values are said to lie."""
    entries = struct.pack(">HHII", 270, 2, 1 << 20, 8) * 65535
    content = struct.pack(">2sHIH", b"MM", 42, 8, 65535) + entries
    blob = MemoryBlob("a.jp2", HEADER + uuid(EXIF, content) + STREAM)
    assert found(blob) == 1
    assert sum(read.length for read in blob.asked) <= blob.size


def test_a_codestream_to_the_end_of_the_file() -> None:
    """The codestream's box may have no length (T.800 I.4), as many encoders write it: the boxes before it count."""
    before = HEADER + uuid(EXIF, exif(6))
    blob = MemoryBlob("a.jp2", before + bytes(4) + STREAM[4:])
    assert found(blob) == 6
