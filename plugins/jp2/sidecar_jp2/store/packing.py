"""Entries as bytes: named arrays, compressed, with a seal; whoever wrote them, reading one is bounded and runs nothing.

An entry is a fixed head and a body. The seal covers both and the name, so that a damaged entry, one of another image
and, if there is a secret, one that somebody else wrote are refused before anything of the body is looked at.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b
from hmac import compare_digest
from itertools import chain
from types import MappingProxyType
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

VERSION: Final = 4
"""The version of the format; other versions are not read, and are kept under other names."""
MOST_BYTES: Final = 8 * 2**20
"""An entry larger than this is not kept. An image of 1,600 megapixels in 1,600 tiles takes 110 KB."""
MOST_UNPACKED: Final = 64 * 2**20
"""What an entry may become when it is unpacked."""
SEAL_BYTES: Final = 32
_HEAD: Final = struct.Struct("<4sIB")
"""Magic, extent, complete."""
_MAGIC: Final = b"sjx" + bytes([VERSION])
HEAD_BYTES: Final = _HEAD.size
_COUNT: Final = struct.Struct("<I")
KINDS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "span": "<i8",  # begin, stop, ended, marked
        "tile": "<u2",
        "length": "<u8",
        "total": "<u1",
        "known": "<i8",
        "known_parts": "<i8",
        "parts": "<i8",  # four rows, one after the other
        "split": "<u1",
        "lengths": "<u4",
        "losses": "<f8",
        "blocks": "<i8",
        "head": "<u1",
    }
)
"""The arrays of an entry, in this order, and the type of their numbers; all have one dimension."""

Arrays = Mapping[str, NDArray[Any]]


class Corrupt(Exception):
    """The bytes do not hold what they should."""


@dataclass(frozen=True, slots=True)
class Extent:
    """How much an entry knows."""

    size: int
    """Grows with what is known."""
    complete: bool
    """Whether there is nothing more to learn of the file's structure."""

    def covers(self, other: Extent) -> bool:
        """Report whether nothing is gained by the other one."""
        return self.complete >= other.complete and self.size >= other.size


class Packing:
    """Entries sealed with a secret, or, if that is empty, against damage only."""

    def __init__(self, secret: str = "") -> None:
        self._key = blake2b(secret.encode(), digest_size=32).digest() if secret else b""
        self.tag = f"-{blake2b(b'', key=self._key, digest_size=4).hexdigest()}" if secret else ""
        """Part of the names of entries: with another secret they are others, so that nobody takes these for known."""

    def pack(self, name: str, arrays: Arrays, extent: Extent) -> bytes:
        """Compress arrays to an entry. Takes long enough to be worth a native thread."""
        values = {field: np.ascontiguousarray(arrays[field], kind).ravel() for field, kind in KINDS.items()}
        counts = (_COUNT.pack(len(value)) for value in values.values())
        body = zlib.compress(b"".join(chain(counts, (value.tobytes() for value in values.values()))))
        head = _HEAD.pack(_MAGIC, min(extent.size, (1 << 32) - 1), extent.complete)
        return head + self._seal(name, head, body) + body

    def unpack(self, name: str, data: bytes) -> Arrays:
        """Return the arrays of an entry. Raises Corrupt. Takes long enough to be worth a native thread."""
        head, seal, body = data[:HEAD_BYTES], data[HEAD_BYTES:][:SEAL_BYTES], data[HEAD_BYTES + SEAL_BYTES :]
        if extent_of(head) is None or len(data) > MOST_BYTES:
            raise Corrupt("written by another version, or too large")
        if not compare_digest(seal, self._seal(name, head, body)):
            raise Corrupt("the seal is wrong: it is damaged, of another image, or written with another secret")
        return arrays_of(_decompressed(body))

    def _seal(self, name: str, head: bytes, body: bytes) -> bytes:
        seal = blake2b(head, digest_size=SEAL_BYTES, key=self._key, person=b"sidecar-jp2")
        seal.update(blake2b(name.encode("utf-8", "surrogatepass")).digest())
        seal.update(body)
        return seal.digest()


def extent_of(data: bytes) -> Extent | None:
    """Return how much an entry that begins like this says that it knows; None if it is none of this version."""
    if len(data) < HEAD_BYTES:
        return None
    magic, size, complete = _HEAD.unpack_from(data)
    return Extent(size, bool(complete)) if magic == _MAGIC else None


def _decompressed(body: bytes) -> bytes:
    decompression = zlib.decompressobj()
    try:
        data = decompression.decompress(body, MOST_UNPACKED)
    except zlib.error as error:
        raise Corrupt(str(error)) from error
    if not decompression.eof:
        raise Corrupt("it ends too soon, or is too large")
    return data


def arrays_of(data: bytes) -> Arrays:
    """Return the arrays of an unpacked body. Raises Corrupt."""
    at = _COUNT.size * len(KINDS)
    if len(data) < at:
        raise Corrupt("it is too short")
    arrays = {}
    for (field, kind), (count,) in zip(KINDS.items(), _COUNT.iter_unpack(data[:at]), strict=True):
        stop = at + count * np.dtype(kind).itemsize
        if stop > len(data):
            raise Corrupt(f"{field} is too short")
        arrays[field] = np.frombuffer(data[at:stop], kind)
        at = stop
    if at != len(data):
        raise Corrupt("there is more than belongs to it")
    return arrays
