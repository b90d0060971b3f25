"""The boxes of a JP2 file: its codestream and its colours (ITU-T T.800 Annex I; for JPX, T.801 Annex M)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import count
from typing import Final, NamedTuple

from sidecar.plugin import ByteRange, Malformed, Unsupported
from sidecar_jp2.format.broken import Broken
from sidecar_jp2.format.color_boxes import (
    ENUMERATED,
    PROFILE,
    ColorBoxes,
    fields,
    parse_definitions,
    parse_mappings,
    parse_palette,
    parse_specification,
)
from sidecar_jp2.format.header_blocks import BlockCachedBlob

SIGNATURE = b"\x00\x00\x00\x0cjP  \r\n\x87\n"
CODESTREAM = b"\xff\x4f\xff\x51"
"""The markers SOC and SIZ, with which a bare codestream begins."""
OTHER_BRANDS = frozenset({b"mjp2", b"mj2s", b"jpm "})
"""Motion JPEG 2000 (T.802) and compound images (T.805). A brand that nobody knows is no reason to refuse a JP2 file."""
COMPOSED = frozenset({b"comp", b"jpch", b"jplh", b"ftbl"})
"""Boxes of JPX files that compose an image: codestream headers, layer headers, fragments."""
HEADER_BOXES = frozenset({b"ihdr", b"colr", b"pclr", b"cmap", b"cdef"})
"""Boxes of jp2h that are read. OpenJPEG also reads those that stand after it by mistake."""
MAX_BOXES = 512
"""The most boxes in a row, and the most in all jp2h."""
IHDR_BYTES = 14
"""T.800 I.5.3.1."""
METHOD_BYTES, ENUMERATED_BYTES = 3, 7
"""What stands before a profile in colr, and the box of an enumerated colour space (T.800 I.5.3.3)."""
MOST_BYTES: Final[Mapping[bytes, int]] = {
    b"ftyp": 1 << 12,
    b"ihdr": 1 << 6,
    b"pclr": 1 << 17,
    b"cmap": 1 << 12,
    b"cdef": 1 << 13,
    b"colr": (4 << 20) + METHOD_BYTES,
}
"""The largest boxes that are read whole: a thousand brands, channels or definitions, a palette of 16 columns, and an
ICC profile of 4 MiB (those of printers with several tables have some megabytes)."""


class Box(NamedTuple):
    """A box, whose contents lie from `start` to `stop`."""

    kind: bytes
    start: int
    stop: int

    @property
    def name(self) -> str:
        """The box type as text."""
        return self.kind.decode("ascii", "backslashreplace").strip()


class Container(NamedTuple):
    """The byte range of the codestream, the colours that the boxes define, and what may be metadata."""

    codestream: ByteRange
    color: ColorBoxes
    metadata: tuple[Box, ...] = ()
    """The uuid boxes before the codestream (T.800 I.7.2), unread."""


def read_container(blob: BlockCachedBlob) -> Container:
    """Find the codestream and read the header boxes.

    Raises Unsupported if the blob is not JPEG 2000 or holds more than one image, Broken if boxes break the standard in
    a way that OpenJPEG does not forgive, Malformed if they make other readers hang, and SourceError.
    """
    head = blob.slice(0, len(SIGNATURE))
    if head.startswith(CODESTREAM):
        return Container(ByteRange(0, blob.size), ColorBoxes())
    if head != SIGNATURE:
        raise Unsupported("neither a JP2 file nor a JPEG 2000 codestream")
    stream, headers, metadata = _top(blob)
    if stream is None:
        raise Broken("jp2c: the file has no codestream")
    if not any(box.kind == b"jp2h" for box in headers):
        raise Broken("jp2h: the file has no JP2 header box")
    return Container(ByteRange(stream.start, stream.stop), _header(blob, headers), tuple(metadata))


def _top(blob: BlockCachedBlob) -> tuple[Box | None, list[Box], list[Box]]:
    """Return the codestream, jp2h with the header boxes that are misplaced after it, and the uuid boxes."""
    boxes = walk(blob, len(SIGNATURE), blob.size, top=True)
    brands = _brands(blob, next(boxes, None))
    stream: Box | None = None
    headers: list[Box] = []
    metadata: list[Box] = []
    for box in boxes:
        if box.kind in COMPOSED:
            raise Unsupported(f"{box.name}: a JPX composition")
        if box.kind == b"jp2c" and stream:
            raise Unsupported("jp2c: more than one codestream")
        stream = stream or (box if box.kind == b"jp2c" else None)
        if box.kind == b"jp2h" or (box.kind in HEADER_BOXES and headers and not stream):
            headers.append(box)
        if box.kind == b"uuid" and not stream:
            metadata.append(box)
        # Only in a JPX file can a box after the codestream change the image.
        if brands == {b"jp2 "} and stream and headers:
            break
    return stream, headers, metadata


def _brands(blob: BlockCachedBlob, box: Box | None) -> set[bytes]:
    if box is None or box.kind != b"ftyp":
        raise Broken("ftyp: it does not follow the signature box")
    data = _contents(blob, box)
    (major, _) = fields("ftyp", ">4sI", data)
    brands = {major, *(data[at : at + 4] for at in range(8, len(data), 4))}
    if major in OTHER_BRANDS and b"jp2 " not in brands:
        raise Unsupported(f"ftyp: brand {major!r}")
    return brands


def walk(blob: BlockCachedBlob, at: int, stop: int, *, top: bool = False) -> Iterator[Box]:
    """Yield the boxes between two places. Raises Broken, Malformed, Unsupported, SourceError.

    At the `top` of a file, whatever follows a codestream ends the walk if it is no box.
    """
    streamed = False
    for _ in range(MAX_BOXES):
        if at >= stop:
            return
        try:
            box = _box(blob, at, stop, read_by_others=top and not streamed, nested=not top)
        except Broken:
            if streamed:
                return
            raise
        streamed |= top and box.kind == b"jp2c"
        yield box
        at = box.stop
    raise Unsupported(f"more than {MAX_BOXES} boxes in a row")


def _box(blob: BlockCachedBlob, at: int, stop: int, *, read_by_others: bool, nested: bool) -> Box:
    head = blob.slice(at, min(at + 16, stop))
    length, kind = fields("box", ">I4s", head)
    start, sign = at + 8, 1 << 31
    if length == 1:  # XLBox (I.4)
        (length,) = fields(f"{kind!r}", ">Q", head[8:])
        start, sign = at + 16, 1 << 63
    box = Box(kind, start, at + length if length else stop)
    if box.kind == b"jp2c" and (box.stop < start or box.stop > stop):
        # Its length is wrong, or the file has been cut short. OpenJPEG never looks at it.
        return box._replace(stop=stop)
    if (
        read_by_others
        and (box.stop < start or not length or (length >= sign and box.stop > stop))
        and box.kind != b"jp2c"
    ):
        # Cantaloupe takes lengths as signed, and passes over contents by length - 8 bytes: such a length leads it back
        # to bytes that it has read, again and again (edf_c2_1377017.jp2, issue362-2866.jp2 and issue362-2894.jp2 of the
        # public OpenJPEG corpus keep a core of it busy for ever). No file that OpenJPEG decodes has one.
        raise Malformed(f"{box.name}: a box of {length} bytes")
    if box.stop < start or (nested and not length):  # only the last box of a file may have none (I.4)
        raise Broken(f"{box.name}: a box of {length} bytes")
    if box.stop > stop:
        raise Broken(f"{box.name}: {box.stop - stop} bytes longer than its container")
    return box


def _contents(blob: BlockCachedBlob, box: Box) -> bytes:
    if box.stop - box.start > MOST_BYTES[box.kind]:
        raise Unsupported(f"{box.name}: {box.stop - box.start} bytes")
    return blob.slice(box.start, box.stop)


def _header(blob: BlockCachedBlob, headers: list[Box]) -> ColorBoxes:
    found: dict[bytes, bytes] = {}
    specification: bytes | None = None
    for box in _header_boxes(blob, headers):
        if box.kind == b"colr":
            specification = specification or _specification(blob, box)
        elif box.kind == b"cmap" and b"pclr" not in found:
            raise Broken("cmap: no palette comes before it")
        elif box.kind in found and box.kind != b"ihdr":
            raise Broken(f"{box.name}: two of it")
        elif box.kind in HEADER_BOXES:
            found.setdefault(box.kind, _contents(blob, box))
    # ihdr and bpcc repeat the size and depths of SIZ, which decoders use.
    if len(found.get(b"ihdr", b"")) != IHDR_BYTES:
        raise Broken(f"ihdr: {len(found.get(b'ihdr', b''))} bytes")
    if b"pclr" in found and b"cmap" not in found:
        raise Unsupported("pclr: a palette without component mapping")
    enumerated, icc = parse_specification(specification or b"")
    palette = parse_palette(found[b"pclr"]) if b"pclr" in found else None
    return ColorBoxes(
        enumerated,
        icc,
        palette,
        parse_mappings(found[b"cmap"], palette) if palette else (),
        parse_definitions(found[b"cdef"]) if b"cdef" in found else (),
    )


def _specification(blob: BlockCachedBlob, box: Box) -> bytes | None:
    """Read a colr box; None if its method is unknown: readers ignore it then (T.800 I.5.3.3)."""
    method, _, _ = fields("colr", ">BbB", blob.slice(box.start, min(box.start + METHOD_BYTES, box.stop)))
    if method == ENUMERATED:
        return blob.slice(box.start, min(box.start + ENUMERATED_BYTES, box.stop))
    return _contents(blob, box) if method == PROFILE else None


def _header_boxes(blob: BlockCachedBlob, headers: list[Box]) -> Iterator[Box]:
    number = count(1)
    for box in headers:
        for each in walk(blob, box.start, box.stop) if box.kind == b"jp2h" else (box,):
            if next(number) > MAX_BOXES:
                raise Unsupported(f"more than {MAX_BOXES} boxes in jp2h")
            yield each
