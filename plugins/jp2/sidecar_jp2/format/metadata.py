"""How a JP2 file says that its image is to be shown: EXIF and XMP in uuid boxes (ITU-T T.800 I.7.2).

Read as Cantaloupe 5 does, so that both show the same picture: of boxes before the codestream, the last of each kind;
EXIF decides if it has the tag, else XMP. What is broken says nothing, and is never an error.

Pillow's EXIF reader does not fit here: it reads the value of every tag, and with Pillow 11 all of them may lead to the
same megabyte (2,000 tags took a gigabyte). Of XMP only what is inside of `rdf:RDF` is parsed, where no DOCTYPE and so
no entity can be declared.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from typing import Final
from xml.parsers import expat

from sidecar.plugin import ByteRange, Native, run_inline
from sidecar_jp2.format.boxes import Box
from sidecar_jp2.format.header_blocks import BlockCachedBlob

EXIF: Final = b"JpgTiffExif->JP2"
"""The UUID of a box that holds what a JPEG has in APP1, with or without its name: a TIFF header and directory."""
XMP: Final = bytes.fromhex("be7acfcb97a942e89c71999491e3afac")
"""ISO 16684-1 (XMP part 3, 1.1.4)."""
MAX_XMP_BYTES: Final = 2 * 2**20
"""XMP beyond this is not read: it would be parsed for 150 ms and more. A packet with a long editing history has some
hundred kilobytes."""
LONG_XMP_BYTES: Final = 64 * 2**10
"""XMP beyond this is parsed in a native thread, so that other requests go on."""
MOST_TAGS: Final = 4096
"""Tags of a directory that are looked at."""
AS_STORED: Final = 1
_APP1: Final = b"Exif\0\0"
_ORDERS: Final[Mapping[bytes, str]] = {b"II": "<", b"MM": ">"}
_TAG: Final = 274
_ENTRY: Final = 12
_FORMS: Final[Mapping[int, str]] = {3: "H", 4: "I"}
"""TIFF 6.0 section 2: SHORT, as EXIF demands, and LONG, which some write."""
_PROPERTY: Final = "http://ns.adobe.com/tiff/1.0/ Orientation"


def read_orientation(blob: BlockCachedBlob, boxes: Sequence[Box], native: Native = run_inline) -> int:
    """Return the EXIF value, 1 to 8, by which the image is to be shown.

    `boxes` are the uuid boxes before the codestream; `native` runs what takes long. Raises SourceError, Unsupported.
    """
    found = {blob.slice(box.start, min(box.start + 16, box.stop)): ByteRange(box.start + 16, box.stop) for box in boxes}
    value = _exif(blob, found[EXIF]) if EXIF in found else None
    if value is None and XMP in found and found[XMP].length <= MAX_XMP_BYTES:
        run = native if found[XMP].length > LONG_XMP_BYTES else run_inline
        value = run(_xmp, blob.slice(*found[XMP]))
    return value if value is not None and value in range(1, 9) else AS_STORED


def _exif(blob: BlockCachedBlob, box: ByteRange) -> int | None:
    """Return the tag of the first directory; None if there is none."""
    start = box.start + len(_APP1) * (blob.slice(box.start, box.start + len(_APP1)) == _APP1)
    head = blob.slice(start, min(start + 8, box.stop))
    order = _ORDERS.get(head[:2])
    if order is None or len(head) < 8:  # noqa: PLR2004  # a TIFF header
        return None
    (offset,) = struct.unpack(f"{order}I", head[4:])
    directory = start + offset
    if directory + 2 > box.stop:
        return None
    (count,) = struct.unpack(f"{order}H", blob.slice(directory, directory + 2))
    entries = blob.slice(directory + 2, min(directory + 2 + min(count, MOST_TAGS) * _ENTRY, box.stop))
    value = None
    for at in range(0, len(entries) - _ENTRY + 1, _ENTRY):
        tag, kind = struct.unpack_from(f"{order}HH", entries, at)
        if tag == _TAG and kind in _FORMS:
            (value,) = struct.unpack_from(order + _FORMS[kind], entries, at + 8)
    return value


def _xmp(packet: bytes) -> int | None:
    """Return the first `tiff:Orientation`, an attribute or an element; None if there is none or no number."""
    start, stop = packet.find(b"<rdf:RDF"), packet.find(b"</rdf:RDF>")
    if not 0 <= start < stop:
        return None
    property_ = _Property()
    try:
        property_.parse(packet[start : stop + len(b"</rdf:RDF>")].decode(errors="replace"))
    except expat.ExpatError:
        return None
    text = property_.text or ""
    return int(text) if text.removeprefix("+").isdecimal() and text.isascii() and len(text) < 10 else None  # noqa: PLR2004


class _Property:
    """Finds the first value of the property in RDF/XML."""

    def __init__(self) -> None:
        self.text: str | None = None
        self._parser = expat.ParserCreate("utf-8", " ")
        self._parser.StartElementHandler = self._start

    def parse(self, rdf: str) -> None:
        """Raises ExpatError."""
        self._parser.Parse(rdf, True)  # noqa: FBT003  # final; expat takes no keywords

    def _start(self, name: str, attributes: Mapping[str, str]) -> None:
        if name == _PROPERTY:
            self.text = ""
            self._parser.CharacterDataHandler = self._characters
            self._parser.EndElementHandler = self._end
        else:
            self.text = attributes.get(_PROPERTY)
        if self.text is not None:
            self._parser.StartElementHandler = None

    def _characters(self, data: str) -> None:
        self.text = f"{self.text}{data}"

    def _end(self, _name: str) -> None:
        self._parser.CharacterDataHandler = self._parser.EndElementHandler = None
