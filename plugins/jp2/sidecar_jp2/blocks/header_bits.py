"""The bits of packet headers as text of 0 and 1, without and with the bits stuffed after 0xFF (ITU-T T.800 B.10.1).

Text is the fastest form in Python: a number in unary is one `index`, any other field is one `int`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from sidecar.plugin import Buffer

STUFFED_AFTER = 0xFF
BITS = 8
CHUNK_BITS = 2048
"""Headers are packed in steps of this many bits, so that stuffing takes time in proportion to their length."""


class BadPacketHeader(Exception):
    """The bytes are no packet header, or not the one of such a precinct."""


class HeaderBits(NamedTuple):
    """The first bits of a packet."""

    text: str
    removed: Sequence[int]
    """Where stuffed bits were removed, in positions of `text`."""

    @classmethod
    def of(cls, data: Buffer) -> HeaderBits:
        """Unpack the beginning of a packet; what follows the header is unpacked as if it belonged to it."""
        packed = bytes(data)
        text = bin(int.from_bytes(b"\1" + packed))[3:]
        full = packed.find(STUFFED_AFTER)
        if full < 0:
            return cls(text, ())
        kept, removed, at = list[str](), list[int](), 0
        while 0 <= full < len(packed) - 1:
            stop = BITS * (full + 1)
            kept.append(text[at:stop])
            removed.append(stop - len(removed))
            at = stop + 1
            full = packed.find(STUFFED_AFTER, full + 1)
        kept.append(text[at:])
        return cls("".join(kept), removed)

    def packed_length(self, bits: int, data: Buffer) -> int:
        """Return how many bytes the first bits take up in the data that they were unpacked from."""
        raw = bits + sum(place < bits for place in self.removed)
        length = -(-raw // BITS)
        # A header never ends with 0xFF: a byte of stuffing follows.
        return length + (length > 0 and data[length - 1] == STUFFED_AFTER)


def packed(text: str) -> bytes:
    """Return the bytes of a packet header."""
    made, at = bytearray(), 0
    while at < len(text):
        chunk = text[at : at + CHUNK_BITS]
        data = int(chunk.ljust(-(-len(chunk) // BITS) * BITS, "0"), 2).to_bytes(-(-len(chunk) // BITS))
        full = data.find(STUFFED_AFTER)
        if full < 0:
            made += data
            at += len(chunk)
            continue
        made += data[: full + 1]
        at += BITS * (full + 1)
        # The next byte has seven bits, the first one being stuffed.
        seven = text[at : at + BITS - 1]
        made.append(int(seven.ljust(BITS - 1, "0"), 2))
        at += len(seven)
    return bytes(made)
