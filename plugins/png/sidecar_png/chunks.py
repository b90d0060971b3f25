"""Chunks of a PNG file (W3C PNG, third edition, sections 5 and 11)."""

from __future__ import annotations

import struct
import zlib

from sidecar.plugin import Frame

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_COLOUR_TYPES = {1: 0, 2: 4, 3: 2, 4: 6}
"""Channels -> grey, grey with alpha, truecolour, truecolour with alpha (section 11.2.1)."""
_DEFLATE = _ADAPTIVE = _PROGRESSIVE = 0


def head(frame: Frame, depth: int) -> bytes:
    """Return signature, IHDR, and iCCP if there is a profile; `depth` is the bits of a sample."""
    ihdr = struct.pack(
        ">IIBBBBB",
        *(frame.size.width, frame.size.height),
        *(depth, _COLOUR_TYPES[frame.channels], _DEFLATE, _ADAPTIVE, _PROGRESSIVE),
    )
    return _SIGNATURE + _chunk(b"IHDR", ihdr) + (_iccp(frame.icc) if frame.icc else b"")


def idat(data: bytes) -> bytes:
    """Return a chunk with a part of the compressed rows; nothing for an empty part."""
    return _chunk(b"IDAT", data) if data else b""


def _iccp(profile: bytes) -> bytes:
    name = b"ICC profile\0"
    return _chunk(b"iCCP", name + bytes((_DEFLATE,)) + zlib.compress(profile))


def _chunk(kind: bytes, data: bytes) -> bytes:
    crc = zlib.crc32(data, zlib.crc32(kind))
    return b"".join((struct.pack(">I", len(data)), kind, data, struct.pack(">I", crc)))


END = _chunk(b"IEND", b"")
