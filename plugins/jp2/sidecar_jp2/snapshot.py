"""What is known of a chain of tile-parts as bytes, to be kept on disk.

NumPy's own archive is used, without pickle: data only. The CRC-32 in it does not cover its directory, so a digest of
the whole stands before it.
"""

from __future__ import annotations

import io
import zipfile
import zlib
from array import array
from collections.abc import Mapping
from hashlib import blake2b
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sidecar_jp2.chain import Chain, Tile
from sidecar_jp2.tileparts import compact

VERSION = 2
"""Of the form of the bytes and of what they mean; others are not read."""

DIGEST_BYTES = 16

NOTHING = np.zeros(0, np.uint32)

Arrays = Mapping[str, NDArray[Any]]


class Corrupt(Exception):
    """The bytes are not those of a snapshot of this chain."""


def take(chain: Chain) -> Arrays:
    """A copy of what is known, made in one go so that no other greenlet changes it meanwhile."""
    numbers, tiles = [*chain.tiles], [*chain.tiles.values()]
    return {
        "version": np.array([VERSION, chain.begin, chain.stop, chain.frontier, chain.ended], np.int64),
        "tile": np.array(chain.tile, np.uint16),
        "start": np.array(chain.start, np.uint64),
        "length": np.array(chain.length, np.uint64),
        "total": np.array(chain.total, np.uint8),
        "known": np.array(numbers, np.int64),
        "known_parts": np.array([tile.parts.shape[1] for tile in tiles], np.int64),
        "parts": np.concatenate([np.zeros((4, 0), np.int64), *(tile.parts for tile in tiles)], axis=1),
        "split": np.array([tile.lengths is not None for tile in tiles], bool),
        "lengths": np.concatenate([NOTHING, *(tile.lengths for tile in tiles if tile.lengths is not None)]),
    }


def dump(arrays: Arrays) -> bytes:
    """The bytes of a copy. Made for a native thread."""
    stream = io.BytesIO()
    np.savez_compressed(stream, **arrays)  # type: ignore[arg-type]  # the stub takes the names for its own arguments
    return _digest(stream.getvalue()) + stream.getvalue()


def _digest(archive: bytes) -> bytes:
    return blake2b(archive, digest_size=DIGEST_BYTES).digest()


def restore(chain: Chain, data: bytes) -> None:
    """Take what the bytes say for what is known. Raises Corrupt; then nothing of the bytes is believed."""
    digest, content = data[:DIGEST_BYTES], data[DIGEST_BYTES:]
    if digest != _digest(content):
        raise Corrupt("not as it was written")
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as archive:
            arrays = dict(archive)
        _fill(chain, arrays)
    except (
        ValueError,
        KeyError,
        IndexError,
        OverflowError,
        OSError,
        EOFError,
        zipfile.BadZipFile,
        zlib.error,
    ) as error:
        chain.forget()
        raise Corrupt(str(error)) from error


def _fill(chain: Chain, arrays: Arrays) -> None:
    version, begin, stop, frontier, ended = arrays["version"].tolist()
    if (version, begin, stop) != (VERSION, chain.begin, chain.stop):
        raise Corrupt("of another version, or of another codestream")
    chain.tile, chain.start = array("H", arrays["tile"].tolist()), array("Q", arrays["start"].tolist())
    chain.length, chain.total = array("Q", arrays["length"].tolist()), array("B", arrays["total"].tolist())
    chain.part = array("B", bytes(len(chain.total)))  # read again with the headers of tiles that are not known yet
    chain.frontier, chain.ended = frontier, bool(ended)
    parts, lengths = arrays["parts"], arrays["lengths"]
    for number, count, is_split in zip(
        *(arrays[name].tolist() for name in ("known", "known_parts", "split")), strict=True
    ):
        own, parts = parts[:, :count], parts[:, count:]
        packets = int(own[3].sum()) if is_split else 0
        chain.keep(number, Tile(own.copy(), compact(lengths[:packets]) if is_split else None))
        lengths = lengths[packets:]
