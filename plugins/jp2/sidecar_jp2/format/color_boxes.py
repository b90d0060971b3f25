"""The boxes of jp2h that define colours: colr, pclr, cmap and cdef (ITU-T T.800 I.5.3)."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from sidecar.plugin import Unsupported
from sidecar_jp2.format.broken import Broken
from sidecar_jp2.format.rounding import ceil_div

ENUMERATED, PROFILE = 1, 2
"""METH of colr (T.800 table I.9). Boxes with other methods, also with those of T.801, are ignored as by OpenJPEG."""
MAX_PALETTE_ENTRIES = 1024
"""T.800 I.5.3.4."""
MOST_COLUMNS = 16
"""No image with a palette of more is shown as colours."""


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


def fields(name: str, layout: str, data: bytes) -> tuple[Any, ...]:
    """Unpack the first fields of a box. Raises Broken if it is shorter."""
    try:
        return struct.unpack_from(layout, data)
    except struct.error as error:
        raise Broken(f"{name}: only {len(data)} bytes") from error


def parse_specification(data: bytes) -> tuple[int | None, bytes | None]:
    """Return the enumerated colour space or the profile in a colr box (I.5.3.3); neither if there is no box."""
    if not data:
        return None, None
    if data[0] == ENUMERATED:
        return int(fields("colr", ">3sI", data)[1]), None
    return None, data[3:]


def parse_palette(data: bytes) -> Palette:
    entries, columns = fields("pclr", ">HB", data)
    if columns > MOST_COLUMNS:
        raise Unsupported(f"pclr: {columns} columns")
    depths = data[3 : 3 + columns]
    precisions = tuple((depth & 0x7F) + 1 for depth in depths)
    widths = [ceil_div(bits, 8) for bits in precisions]
    # Bytes after the last entry mean nothing.
    if not 1 <= entries <= MAX_PALETTE_ENTRIES or not columns or len(data) < 3 + columns + entries * sum(widths):
        raise Broken(f"pclr: {entries} entries of {columns} columns in {len(data)} bytes")
    values = iter(data[3 + columns :])
    rows = tuple(tuple(int.from_bytes(_take(values, width)) for width in widths) for _ in range(entries))
    if any(value >> bits for row in rows for value, bits in zip(row, precisions, strict=True)):
        raise Unsupported("pclr: values beyond their depth")
    return Palette(precisions, tuple(bool(depth & 0x80) for depth in depths), rows)


def _take(values: Iterator[int], count: int) -> bytes:
    return bytes(next(values) for _ in range(count))


def parse_mappings(data: bytes, palette: Palette) -> tuple[Mapping, ...]:
    if len(data) < 4 * len(palette.precisions):
        raise Broken(f"cmap: {len(data)} bytes")
    rows = [*struct.iter_unpack(">HBB", data[: len(data) // 4 * 4])]
    if any(kind > 1 or (kind and column >= len(palette.precisions)) for _, kind, column in rows):
        raise Broken("cmap: a column that the palette does not have")
    return tuple(Mapping(component, column if kind else None) for component, kind, column in rows)


def parse_definitions(data: bytes) -> tuple[Definition, ...]:
    (count,) = fields("cdef", ">H", data)
    if not count or len(data) < 2 + 6 * count:
        raise Broken(f"cdef: {count} definitions in {len(data)} bytes")
    # A definition that stands twice is one.
    definitions = tuple(dict.fromkeys(Definition(*row) for row in struct.iter_unpack(">HHH", data[2 : 2 + 6 * count])))
    if len({definition.channel for definition in definitions}) != len(definitions):
        raise Unsupported("cdef: a channel defined twice")
    return definitions
