"""The boxes of a JP2 file: its codestream and its colours (ITU-T T.800 Annex I; for JPX, T.801 Annex M)."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from sidecar.plugin import ByteRange, Malformed, Unsupported
from sidecar_jp2.format.header_blocks import BlockCachedBlob
from sidecar_jp2.format.rounding import ceil_div

SIGNATURE = b"\x00\x00\x00\x0cjP  \r\n\x87\n"
CODESTREAM = b"\xff\x4f\xff\x51"
"""The markers SOC and SIZ, with which a bare codestream begins."""
BRANDS = frozenset({b"jp2 ", b"jpx ", b"jpxb", b"jph "})
COMPOSED = frozenset({b"comp", b"jpch", b"jplh", b"ftbl"})
"""Boxes of JPX files that compose an image: codestream headers, layer headers, fragments."""
ENUMERATED, PROFILES = 1, (2, 3)
"""METH of colr (T.800 table I.9, T.801 table M.22): enumerated; restricted and any ICC profile."""
MAX_BOXES = 512
MAX_PALETTE_ENTRIES = 1024
"""T.800 I.5.3.4."""
MAX_BOX_BYTES = 16 * 2**20
"""The largest box that is read whole, which is an ICC profile."""


class Box(NamedTuple):
    """A box, whose contents lie from `start` to `stop`."""

    kind: bytes
    start: int
    stop: int

    @property
    def name(self) -> str:
        """The box type as text."""
        return self.kind.decode("ascii", "backslashreplace").strip()


class Palette(NamedTuple):
    """The pclr box (T.800 I.5.3.4): each column makes one channel."""

    precisions: tuple[int, ...]
    """Bits of each column."""
    signed: tuple[bool, ...]
    rows: tuple[tuple[int, ...], ...]
    """The stored values, one row for each index."""


class Mapping(NamedTuple):
    """One row of cmap (I.5.3.5): the component of a channel, and its palette column (None: no palette)."""

    component: int
    column: int | None


class Definition(NamedTuple):
    """One row of cdef (I.5.3.6). Kind 0 is colour, 1 opacity, 2 premultiplied opacity."""

    channel: int
    kind: int
    association: int


@dataclass(frozen=True, slots=True)
class ColorBoxes:
    """The parts of jp2h (I.5.3) that define colours. They are all empty for a bare codestream."""

    enumerated: int | None = None
    """EnumCS, for example 16 for sRGB, 17 for grey, 18 for sYCC, 12 for CMYK."""
    icc: bytes | None = field(default=None, repr=False)
    palette: Palette | None = None
    mappings: tuple[Mapping, ...] = ()
    definitions: tuple[Definition, ...] = ()


class Container(NamedTuple):
    """The byte range of the codestream, and the colours that the boxes define."""

    codestream: ByteRange
    color: ColorBoxes


def read_container(blob: BlockCachedBlob) -> Container:
    """Find the codestream and read the header boxes.

    Raises Unsupported if the blob is not JPEG 2000 or holds more than one image, Malformed if boxes are broken, and
    SourceError.
    """
    head = blob.slice(0, len(SIGNATURE))
    if head.startswith(CODESTREAM):
        return Container(ByteRange(0, blob.size), ColorBoxes())
    if head != SIGNATURE:
        raise Unsupported("neither a JP2 file nor a JPEG 2000 codestream")
    boxes = _top(blob)
    if b"jp2c" not in boxes:
        raise Malformed("jp2c: the file has no codestream")
    if b"jp2h" not in boxes:
        raise Malformed("jp2h: the file has no JP2 header box")
    stream = boxes[b"jp2c"]
    return Container(ByteRange(stream.start, stream.stop), _header(blob, boxes[b"jp2h"]))


def _top(blob: BlockCachedBlob) -> dict[bytes, Box]:
    boxes = walk(blob, len(SIGNATURE), blob.size)
    brands = _brands(blob, next(boxes, None))
    found: dict[bytes, Box] = {}
    for box in boxes:
        if box.kind in COMPOSED:
            raise Unsupported(f"{box.name}: a JPX composition")
        if box.kind == b"jp2c" and b"jp2c" in found:
            raise Unsupported("jp2c: more than one codestream")
        found.setdefault(box.kind, box)
        # Only in a JPX file can a box after the codestream change the image.
        if brands == {b"jp2 "} and b"jp2c" in found and b"jp2h" in found:
            break
    return found


def _brands(blob: BlockCachedBlob, box: Box | None) -> set[bytes]:
    if box is None or box.kind != b"ftyp":
        raise Malformed("ftyp: it does not follow the signature box")
    data = _contents(blob, box)
    (major, _, _) = _fields("ftyp", ">4sI4s", data)
    brands = {major, *(data[at : at + 4] for at in range(8, len(data), 4))}
    if not brands & BRANDS:
        raise Unsupported(f"ftyp: brand {major!r}")
    return brands


def walk(blob: BlockCachedBlob, at: int, stop: int) -> Iterator[Box]:
    """Return the boxes between two places. Raises Malformed, Unsupported, SourceError."""
    for _ in range(MAX_BOXES):
        if at >= stop:
            return
        box = _box(blob, at, stop)
        yield box
        at = box.stop
    raise Unsupported(f"more than {MAX_BOXES} boxes in a row")


def _box(blob: BlockCachedBlob, at: int, stop: int) -> Box:
    head = blob.slice(at, min(at + 16, stop))
    length, kind = _fields("box", ">I4s", head)
    start = at + 8
    if length == 1:  # XLBox (I.4)
        (length,) = _fields(f"{kind!r}", ">Q", head[8:])
        start = at + 16
    box = Box(kind, start, at + length if length else stop)
    if box.stop < start:
        raise Malformed(f"{box.name}: a box of {length} bytes")
    if box.stop > stop:
        raise Malformed(f"{box.name}: {box.stop - stop} bytes longer than its container")
    return box


def _fields(name: str, layout: str, data: bytes) -> tuple[Any, ...]:
    """Unpack the first fields of a box. Raises Malformed if it is shorter."""
    try:
        return struct.unpack_from(layout, data)
    except struct.error as error:
        raise Malformed(f"{name}: only {len(data)} bytes") from error


def _contents(blob: BlockCachedBlob, box: Box) -> bytes:
    if box.stop - box.start > MAX_BOX_BYTES:
        raise Malformed(f"{box.name}: {box.stop - box.start} bytes")
    return blob.slice(box.start, box.stop)


def _header(blob: BlockCachedBlob, header: Box) -> ColorBoxes:
    found: dict[bytes, bytes] = {}
    specifications: list[bytes] = []
    for box in walk(blob, header.start, header.stop):
        if box.kind == b"colr":
            specifications.append(_contents(blob, box))
        elif box.kind in (b"ihdr", b"pclr", b"cmap", b"cdef"):
            if box.kind in found:
                raise Malformed(f"{box.name}: two of it")
            found[box.kind] = _contents(blob, box)
    # ihdr and bpcc repeat the size and depths of SIZ, which decoders use.
    _fields("ihdr", ">IIHBBBB", found.get(b"ihdr", b""))
    if (b"pclr" in found) != (b"cmap" in found):
        raise Malformed("pclr: palette and component mapping do not come together")
    enumerated, icc = _specification(specifications)
    palette = _palette(found[b"pclr"]) if b"pclr" in found else None
    return ColorBoxes(
        enumerated,
        icc,
        palette,
        _mappings(found[b"cmap"], palette) if palette else (),
        _definitions(found[b"cdef"]) if b"cdef" in found else (),
    )


def _specification(boxes: list[bytes]) -> tuple[int | None, bytes | None]:
    """Read the first colr box with a known method; readers ignore the others (I.5.3.3)."""
    for data in boxes:
        method, _, _ = _fields("colr", ">BbB", data)
        if method == ENUMERATED:
            return int(_fields("colr", ">3sI", data)[1]), None
        if method in PROFILES:
            return None, data[3:]
    if boxes:
        raise Unsupported(f"colr: method {boxes[0][0]}")
    return None, None


def _palette(data: bytes) -> Palette:
    entries, columns = _fields("pclr", ">HB", data)
    depths = data[3 : 3 + columns]
    precisions = tuple((depth & 0x7F) + 1 for depth in depths)
    widths = [ceil_div(bits, 8) for bits in precisions]
    if not 1 <= entries <= MAX_PALETTE_ENTRIES or not columns or len(data) != 3 + columns + entries * sum(widths):
        raise Malformed(f"pclr: {entries} entries of {columns} columns in {len(data)} bytes")
    values = iter(data[3 + columns :])
    rows = tuple(tuple(int.from_bytes(_take(values, width)) for width in widths) for _ in range(entries))
    return Palette(precisions, tuple(bool(depth & 0x80) for depth in depths), rows)


def _take(values: Iterator[int], count: int) -> bytes:
    return bytes(next(values) for _ in range(count))


def _mappings(data: bytes, palette: Palette) -> tuple[Mapping, ...]:
    if not data or len(data) % 4:
        raise Malformed(f"cmap: {len(data)} bytes")
    rows = [*struct.iter_unpack(">HBB", data)]
    if any(kind > 1 or (kind and column >= len(palette.precisions)) for _, kind, column in rows):
        raise Malformed("cmap: a column that the palette does not have")
    return tuple(Mapping(component, column if kind else None) for component, kind, column in rows)


def _definitions(data: bytes) -> tuple[Definition, ...]:
    (count,) = _fields("cdef", ">H", data)
    if not count or len(data) != 2 + 6 * count:
        raise Malformed(f"cdef: {count} definitions in {len(data)} bytes")
    definitions = tuple(Definition(*row) for row in struct.iter_unpack(">HHH", data[2:]))
    if len({definition.channel for definition in definitions}) != len(definitions):
        raise Malformed("cdef: a channel defined twice")
    return definitions
