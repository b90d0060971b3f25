"""Marker segments of a JPEG file (ITU-T T.81 annex B): where the scan begins, the height, the ICC profile."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from sidecar.plugin import EncodeError

RST7 = b"\xff\xd7"
EOI = b"\xff\xd9"
SOF0, DRI = 0xFFC0, 0xFFDD

_SOI_SIZE = 2
_APP0, _APP2, _SOS = 0xFFE0, 0xFFE2, 0xFFDA
_ICC_SIGNATURE = b"ICC_PROFILE\0"
_ICC_PART = 65535 - 2 - len(_ICC_SIGNATURE) - 2
"""Bytes of a profile that one APP2 segment holds beside length, signature, number and count (ICC.1 annex B.4)."""
_ICC_PARTS = 255


def segment(jpeg: bytes, wanted: int) -> tuple[int, int]:
    """Return where a marker's segment begins and ends. Raises EncodeError if the header has none."""
    for marker, start, end in _segments(jpeg):
        if marker == wanted:
            return start, end
    raise EncodeError(f"libjpeg-turbo wrote no segment {wanted:X}")


def split(jpeg: bytes) -> tuple[bytes, memoryview]:
    """Return the header, SOS included, and the entropy-coded data of the one scan, without EOI. Raises EncodeError."""
    _, start = segment(jpeg, _SOS)
    if not jpeg.endswith(EOI):
        raise EncodeError("libjpeg-turbo wrote no end of image")
    return jpeg[:start], memoryview(jpeg)[start : -len(EOI)]


def with_height(header: bytes, height: int) -> bytes:
    """Return the header with another number of lines in its baseline frame (ITU-T T.81 B.2.2). Raises EncodeError."""
    start, _ = segment(header, SOF0)
    lines = start + 5  # after marker, length and precision
    return header[:lines] + struct.pack(">H", height) + header[lines + 2 :]


def with_profile(header: bytes, segments: bytes) -> bytes:
    """Return the header with APP2 segments after the one of JFIF, which must come first (ITU-T T.871 clause 10)."""
    _, end = segment(header, _APP0)
    return header[:end] + segments + header[end:]


def profile_segments(profile: bytes) -> bytes:
    """Return an ICC profile in as many APP2 segments as it takes (ICC.1 annex B.4). Raises EncodeError above 255."""
    parts = [profile[at : at + _ICC_PART] for at in range(0, len(profile), _ICC_PART)]
    if len(parts) > _ICC_PARTS:
        raise EncodeError(f"JPEG has no room for an ICC profile of {len(profile)} bytes")
    return b"".join(_profile_segment(part, number, len(parts)) for number, part in enumerate(parts, 1))


def _profile_segment(part: bytes, number: int, count: int) -> bytes:
    payload = _ICC_SIGNATURE + bytes((number, count)) + part
    return struct.pack(">HH", _APP2, 2 + len(payload)) + payload


def _segments(jpeg: bytes) -> Iterator[tuple[int, int, int]]:
    """Return marker, start and end of each segment after SOI, up to the first SOS."""
    at, marker = _SOI_SIZE, 0
    while marker != _SOS and at + 4 <= len(jpeg):
        marker, length = struct.unpack_from(">HH", jpeg, at)
        yield marker, at, at + 2 + length
        at += 2 + length
