"""LZW as TIFF has it (TIFF 6.0 section 13), which labels are compressed by: small pictures, so no library is needed."""

from __future__ import annotations

from typing import Final

from sidecar.plugin import Buffer, DecodeError

_CLEAR, _END = 256, 257
_FIRST: Final = (*(bytes((value,)) for value in range(256)), b"", b"")
_SHORTEST, _LONGEST = 9, 12
"""Bits of a code."""
TABLE_BYTES: Final = 10 << 20
"""The most that the table takes: each entry is a byte longer than another, in the worst case than the one before."""


def decode(data: Buffer, length: int) -> bytearray:
    """Return the first `length` bytes of what was compressed. Raises DecodeError if they are not all there."""
    table, width, before = [*_FIRST], _SHORTEST, b""
    bits, held = 0, 0
    found = bytearray()
    for byte in bytes(data):
        bits, held = bits << 8 | byte, held + 8
        if held < width:
            continue
        held -= width
        code, bits = bits >> held, bits & ((1 << held) - 1)
        if code == _CLEAR:
            table, width, before = [*_FIRST], _SHORTEST, b""
            continue
        if code == _END:
            break
        if code > len(table) or (code == len(table) and not before):
            raise DecodeError("LZW: a code that stands for nothing yet")
        entry = table[code] if code < len(table) else before + before[:1]
        found += entry
        if len(found) >= length:
            del found[length:]
            return found
        if before and len(table) < 1 << _LONGEST:
            table.append(before + entry[:1])
            # A code earlier than needed, as the first writers of TIFF did.
            width = min(_LONGEST, max(width, (len(table) + 1).bit_length()))
        before = entry
    raise DecodeError(f"LZW: {len(found)} bytes instead of {length}")
