"""Variants of a JP2 file along its structure: boxes and segments doubled, dropped, moved, of wrong length; cuts."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Final

from tests.resilience.corruption import markers

Variant = tuple[str, bytes]
"""What has been done, and the file."""

LENGTHS: Final = (-500, -1, 1, 500)
"""What is added to the length of a box whose contents stay."""
AFTER: Final = {
    "a line break": b"\r\n",
    "zeros": bytes(40),
    "a box longer than the file": struct.pack(">I4s", 5000, b"xml ") + b"<a/>",
    "half a box": b"\0\0\0\x10xm",
    "a box of three bytes": struct.pack(">I4s", 3, b"xml "),
    "a second header": b"\0\0\0\x08jp2h",
}
"""What may follow the last box."""
SOT: Final = b"\xff\x90"


def boxes(content: bytes) -> list[bytes]:
    """Return the boxes of a sound file or of a superbox's contents."""
    found, at = [], 0
    while at < len(content):
        (length,) = struct.unpack_from(">I", content, at)
        found.append(content[at : at + length] if length else content[at:])
        at += len(found[-1])
    return found


def variants(content: bytes) -> Iterator[Variant]:
    """Yield the variants of a sound JP2 file, one change each."""
    top = boxes(content)
    yield from _joined(_arranged(top, "file"))
    yield from _joined(_lengthened(top))
    yield from ((f"followed by {name}", content + after) for name, after in AFTER.items())
    (place,) = (index for index, box in enumerate(top) if box[4:8] == b"jp2h")
    children = boxes(top[place][8:])
    for title, changed in (*_arranged(children, "jp2h"), *_resized(children), *_lengthened(children)):
        yield title, b"".join([*top[:place], boxed(b"jp2h", b"".join(changed)), *top[place + 1 :]])
    for index, child in enumerate(children):
        rest = boxed(b"jp2h", b"".join([*children[:index], *children[index + 1 :]]))
        yield f"{_name(child)} after jp2h", b"".join([*top[:place], rest, child, *top[place + 1 :]])
        yield f"{_name(child)} before jp2h", b"".join([*top[:place], child, rest, *top[place + 1 :]])
    start = content.index(b"\xff\x4f\xff\x51")
    for title, stream in headers(content[start:]):
        yield title, content[: start - 8] + boxed(b"jp2c", stream)
    edges = [sum(map(len, top[:index])) for index in range(1, len(top))]
    for at in sorted({edge + step for edge in (*edges, *markers(content, start), len(content)) for step in (-1, 0, 1)}):
        if at < len(content):
            yield f"cut at {at}", content[:at]


def boxed(kind: bytes, content: bytes) -> bytes:
    """Return a box (ITU-T T.800 I.4)."""
    return struct.pack(">I4s", 8 + len(content), kind) + content


def headers(stream: bytes) -> Iterator[Variant]:
    """Yield codestreams whose main header has segments doubled, dropped or moved, or reserved markers between them."""
    stop = stream.index(SOT)
    edges = [edge for edge in markers(stream) if edge <= stop]
    segments = [stream[edge:end] for edge, end in pairwise(edges)]
    for title, changed in _arranged(segments, "main header"):
        yield title, b"".join(changed) + stream[stop:]
    for index in range(1, len(segments) + 1):
        for marker in (b"\xff\x30", b"\xff\x3f", b"\xff\x6f\0\x04ab", b"\xff\x66\0\x02"):
            yield (
                f"{marker.hex()} before segment {index}",
                b"".join([*segments[:index], marker, *segments[index:]]) + stream[stop:],
            )


def _name(part: bytes) -> str:
    return part[4:8].decode("ascii", "replace") if part[:1] == b"\0" else part[:2].hex()


def _arranged(parts: Sequence[bytes], where: str) -> Iterator[tuple[str, list[bytes]]]:
    """Yield the parts with one of them doubled, dropped, or moved to each other place."""
    for index, part in enumerate(parts):
        name, rest = f"{where}: {_name(part)}", [*parts[:index], *parts[index + 1 :]]
        yield f"{name} twice", [*parts[: index + 1], part, *parts[index + 1 :]]
        yield f"{name} again at the end", [*parts, part]
        yield f"{name} dropped", rest
        for place in range(len(parts)):
            if place != index:
                yield f"{name} moved to {place}", [*rest[:place], part, *rest[place:]]


def _lengthened(parts: Sequence[bytes]) -> Iterator[tuple[str, list[bytes]]]:
    """Yield the parts with a wrong length in one of them."""
    for index, part in enumerate(parts):
        for length in {0, *(len(part) + more for more in LENGTHS if len(part) + more >= 0)}:
            changed = struct.pack(">I", length) + part[4:]
            yield f"{_name(part)} says {length} of {len(part)}", [*parts[:index], changed, *parts[index + 1 :]]


def _resized(parts: Sequence[bytes]) -> Iterator[tuple[str, list[bytes]]]:
    """Yield the parts with more or fewer bytes in one of them, and the right length."""
    for index, part in enumerate(parts):
        for content in (part[8:] + b"\0", part[8:] + bytes(9), part[8:-1], b""):
            changed = boxed(part[4:8], content)
            yield f"{_name(part)} of {len(content)} bytes", [*parts[:index], changed, *parts[index + 1 :]]


def _joined(changed: Iterator[tuple[str, list[bytes]]]) -> Iterator[Variant]:
    return ((title, b"".join(parts)) for title, parts in changed)
