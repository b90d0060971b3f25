"""Damaged JPEG 2000 files, made along their structure (ITU-T T.800 Annexes A and I): cuts, changes, and lies."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Final

from sidecar_jp2.format.markers import Marker

Draw = Callable[[int], int]
"""A number below another one."""

NUMBERS: Final = (
    0,
    1,
    2,
    3,
    7,
    8,
    13,
    14,
    0x7F,
    0x80,
    0xFF,
    0x7FFF,
    0x8000,
    0xFFFF,
    0x7FFFFFFF,
    0x80000000,
    0xFFFFFFFF,
)
LAYOUTS: Final = (">B", ">H", ">I", ">Q")
FIELDS: Final = 44
"""Of a piece so many first bytes are changed: lengths, types, numbers."""
NESTED: Final = (b"jp2h", b"jp2c")
LONGEST: Final = 16 * 1024
MOST_PIECES: Final = 200


def pieces(data: bytes) -> list[bytes]:
    """The bytes parted before each box, marker segment, tile-part and its data; never fails."""
    edges = {0, len(data)}
    at, stop = 0, len(data)
    while at + 8 <= stop and int.from_bytes(data[at : at + 2]) != Marker.SOC:
        length, kind = struct.unpack_from(">I4s", data, at)
        edges.add(at)
        at = at + 8 if kind in NESTED else at + max(length, 8)
    edges.update(markers(data, at))
    kept = sorted(edge for edge in edges if edge <= len(data))
    return [data[start:end] for start, end in pairwise(kept)]


def markers(data: bytes, at: int = -1) -> list[int]:
    """Where each marker of a codestream stands, data of tile-parts passed over."""
    at = data.index(b"\xff\x4f\xff\x51") if at < 0 else at
    found, part = [], (0, 0)
    while at + 4 <= len(data) and data[at] == 0xFF:
        found.append(at)
        marker, length = struct.unpack_from(">HH", data, at)
        if marker == Marker.SOT and at + 12 <= len(data):
            part = at, struct.unpack_from(">I", data, at + 6)[0]
        if marker == Marker.SOD:
            found.append(at + 2)
            at = max(sum(part), at + 2)
        else:
            at += 2 if marker == Marker.SOC else 2 + length
    return found + ([at] if at < len(data) else [])


def cuts(data: bytes) -> list[int]:
    """Where to cut: at each marker, inside it, inside its length, and just before the end."""
    return sorted({max(at + step, 0) for at in markers(data) for step in (0, 1, 3)} | {len(data) - 1} - {len(data)})


def mutated(draw: Draw, seeds: Sequence[bytes]) -> bytes:
    """A file out of others by up to four changes."""
    parts = pieces(seeds[draw(len(seeds))])
    for _ in range(1 + draw(4)):
        if parts:
            _CHANGES[draw(len(_CHANGES))](draw, parts, seeds)
    return b"".join(parts)[:LONGEST]


def _number(draw: Draw, parts: list[bytes], seeds: Sequence[bytes]) -> None:
    del seeds
    index, layout = draw(len(parts)), LAYOUTS[draw(len(LAYOUTS))]
    size = struct.calcsize(layout)
    part = parts[index]
    if len(part) >= size:
        at = draw(min(len(part), FIELDS) - size + 1)
        value = NUMBERS[draw(len(NUMBERS))] & ((1 << 8 * size) - 1)
        parts[index] = part[:at] + struct.pack(layout, value) + part[at + size :]


def _flip(draw: Draw, parts: list[bytes], seeds: Sequence[bytes]) -> None:
    del seeds
    index = draw(len(parts))
    if part := parts[index]:
        at = draw(len(part))
        parts[index] = part[:at] + bytes([part[at] ^ 1 << draw(8)]) + part[at + 1 :]


def _drop(draw: Draw, parts: list[bytes], seeds: Sequence[bytes]) -> None:
    del seeds
    del parts[draw(len(parts))]


def _repeat(draw: Draw, parts: list[bytes], seeds: Sequence[bytes]) -> None:
    del seeds
    index = draw(len(parts))
    if len(parts) < MOST_PIECES:
        parts[index:index] = [parts[index]] * (1 + draw(40))


def _swap(draw: Draw, parts: list[bytes], seeds: Sequence[bytes]) -> None:
    del seeds
    one, other = draw(len(parts)), draw(len(parts))
    parts[one], parts[other] = parts[other], parts[one]


def _cut(draw: Draw, parts: list[bytes], seeds: Sequence[bytes]) -> None:
    del seeds
    index = draw(len(parts))
    parts[index] = parts[index][: draw(len(parts[index]) + 1)]


def _splice(draw: Draw, parts: list[bytes], seeds: Sequence[bytes]) -> None:
    others = pieces(seeds[draw(len(seeds))])
    parts.insert(draw(len(parts) + 1), others[draw(len(others))])


_CHANGES: Final = (_number, _number, _number, _flip, _drop, _repeat, _swap, _cut, _splice)
