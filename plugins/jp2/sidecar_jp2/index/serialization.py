"""Tile-part indexes as bytes, for the cache on disk.

The format is NumPy's archive without pickle, so it holds data only. Its CRC-32 does not cover the archive's directory,
so a digest of the whole archive stands before it.
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

from sidecar_jp2.format.tile_part_header import compact
from sidecar_jp2.index.tile_part_index import Tile, TilePartIndex

VERSION = 3
"""The version of the format; other versions are not read."""

DIGEST_BYTES = 16

_NO_LENGTHS = np.zeros(0, np.uint32)

Arrays = Mapping[str, NDArray[Any]]


class Corrupt(Exception):
    """The bytes do not hold an index of this codestream."""


def to_arrays(index: TilePartIndex) -> Arrays:
    """Copy an index without switching greenlets, so that the copy is consistent."""
    numbers, tiles = [*index.tiles], [*index.tiles.values()]
    return {
        "version": np.array([VERSION, index.begin, index.stop, index.frontier, index.ended], np.int64),
        "tile": np.array(index.tile, np.uint16),
        "start": np.array(index.start, np.uint64),
        "length": np.array(index.length, np.uint64),
        "total": np.array(index.total, np.uint8),
        "known": np.array(numbers, np.int64),
        "known_parts": np.array([tile.parts.shape[1] for tile in tiles], np.int64),
        "parts": np.concatenate([np.zeros((4, 0), np.int64), *(tile.parts for tile in tiles)], axis=1),
        "split": np.array([tile.lengths is not None for tile in tiles], bool),
        "lengths": np.concatenate([_NO_LENGTHS, *(tile.lengths for tile in tiles if tile.lengths is not None)]),
    }


def dump(arrays: Arrays) -> bytes:
    """Compress a copy to bytes. Takes long enough to be worth a native thread."""
    stream = io.BytesIO()
    np.savez_compressed(stream, **arrays)  # type: ignore[arg-type]  # the stub reads the names as its own arguments
    return _digest(stream.getvalue()) + stream.getvalue()


def _digest(archive: bytes) -> bytes:
    return blake2b(archive, digest_size=DIGEST_BYTES).digest()


def restore(index: TilePartIndex, data: bytes) -> Arrays:
    """Fill an index from bytes, and return all that they hold. Raises Corrupt, after which the index is empty."""
    digest, content = data[:DIGEST_BYTES], data[DIGEST_BYTES:]
    if digest != _digest(content):
        raise Corrupt("the digest does not match")
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as archive:
            arrays = dict(archive)
        _fill(index, arrays)
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
        index.forget()
        raise Corrupt(str(error)) from error
    return arrays


def _fill(index: TilePartIndex, arrays: Arrays) -> None:
    version, begin, stop, frontier, ended = arrays["version"].tolist()
    if (version, begin, stop) != (VERSION, index.begin, index.stop):
        raise Corrupt("written by another version, or for another codestream")
    index.tile, index.start = array("H", arrays["tile"].tolist()), array("Q", arrays["start"].tolist())
    index.length, index.total = array("Q", arrays["length"].tolist()), array("B", arrays["total"].tolist())
    index.part = array("B", bytes(len(index.total)))  # read again with the headers of tiles that are still unknown
    index.frontier, index.ended = frontier, bool(ended)
    parts, lengths = arrays["parts"], arrays["lengths"]
    for number, count, is_split in zip(
        *(arrays[name].tolist() for name in ("known", "known_parts", "split")), strict=True
    ):
        own, parts = parts[:, :count], parts[:, count:]
        packets = int(own[3].sum()) if is_split else 0
        index.add_tile(number, Tile(own.copy(), compact(lengths[:packets]) if is_split else None))
        lengths = lengths[packets:]
