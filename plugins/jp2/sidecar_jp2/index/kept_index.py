"""A packet index as the arrays of an entry, and back: what was kept is believed as far as it fits the file's header.

A seal guards against damage. Whoever can write the store and knows the secret can still say what is not so: that must
neither crash nor lead out of the codestream, and packets of a wrong number or length are found out here.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Mapping
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from sidecar_jp2.format.tile_part_header import MIN_TILE_PART_BYTES, compact
from sidecar_jp2.index.packet_index import PacketIndex
from sidecar_jp2.index.tile_part_index import MAX_PARTS, MAX_PARTS_OF_A_TILE, RESTYLED, Tile, TilePartIndex
from sidecar_jp2.store.packing import Arrays, Corrupt, Extent

_MARKED: Final = (None, False, True)
"""Whether EOC comes last, as numbered in an entry."""


def to_arrays(index: PacketIndex) -> tuple[Arrays, Extent]:
    """Copy what is known, without switching greenlets, so that the copy is consistent."""
    parts = index.tile_parts
    numbers, tiles = [*parts.tiles], [*parts.tiles.values()]
    span = (parts.begin, parts.stop, parts.ended, _MARKED.index(parts.marked))
    lengths = [tile.lengths for tile in tiles if tile.lengths is not None]
    arrays: Arrays = {
        "span": np.array(span, np.int64),
        "tile": np.array(parts.tile, np.uint16),
        "length": np.array(parts.length, np.uint64),
        "total": np.array(parts.total, np.uint8),
        "known": np.array(numbers, np.int64),
        "known_parts": np.array([tile.parts.shape[1] for tile in tiles], np.int64),
        "parts": _joined((tile.parts.ravel() for tile in tiles), np.int64),
        "split": np.array([tile.lengths is not None for tile in tiles], np.uint8),
        "lengths": _joined(lengths, np.uint32),
        "losses": index.losses.to_array(),
        "blocks": np.array([(number, len(data)) for number, data in index.head.items()], np.int64).ravel(),
        "head": np.frombuffer(b"".join(index.head.values()), np.uint8),
    }
    return arrays, index.extent


def head_of(arrays: Arrays) -> Mapping[int, bytes]:
    """Return the blocks of a file's head. Raises Corrupt."""
    places = arrays["blocks"]
    if len(places) % 2 or (places < 0).any() or int(places[1::2].sum()) != len(arrays["head"]):
        raise Corrupt("head: not as long as its blocks")
    data, found, at = arrays["head"].tobytes(), {}, 0
    for number, length in places.reshape(-1, 2).tolist():
        found[number] = data[at : at + length]
        at += length
    return found


def fill(index: PacketIndex, arrays: Arrays) -> None:
    """Fill an index. Raises Corrupt, after which it is empty."""
    try:
        _fill_parts(index.tile_parts, arrays)
        index.losses.fill(arrays)
    except (Corrupt, ValueError, OverflowError, IndexError) as error:
        index.tile_parts.forget()
        index.losses.forget()
        raise Corrupt(str(error)) from error


def _fill_parts(parts: TilePartIndex, arrays: Arrays) -> None:
    begin, stop, ended, marked = arrays["span"].tolist()
    if (begin, stop) != (parts.begin, parts.stop):
        raise Corrupt("written for another codestream")
    tile, length, total = (arrays[name] for name in ("tile", "length", "total"))
    count = len(tile)
    _check(count <= MAX_PARTS and count == len(length) == len(total), "tile-parts")
    _check(not count or int(tile.max()) < parts.tiles_in_image, "tile-parts of tiles that are not there")
    _check(not count or MIN_TILE_PART_BYTES <= int(length.min()) <= int(length.max()) < stop, "lengths of tile-parts")
    stops = begin + np.cumsum(length.astype(np.int64))
    _check(not count or int(stops[-1]) <= stop, "tile-parts beyond the codestream")
    tiles = [*_tiles(parts, arrays)]
    parts.forget()
    parts.tile, parts.length = array("H", tile.tolist()), array("Q", length.tolist())
    parts.start = array("Q", (stops - length.astype(np.int64)).tolist())
    # Read again with the headers of tiles that are still unknown.
    parts.part, parts.total = array("B", bytes(count)), array("B", total.tolist())
    parts.frontier, parts.ended, parts.marked = int(stops[-1]) if count else begin, bool(ended), _MARKED[marked]
    for number, found in tiles:
        parts.add_tile(number, found)


def _tiles(parts: TilePartIndex, arrays: Arrays) -> Iterable[tuple[int, Tile]]:
    """Yield the tiles that are known. Raises Corrupt."""
    places, lengths = arrays["parts"], arrays["lengths"]
    known, counts, split = (arrays[name].tolist() for name in ("known", "known_parts", "split"))
    _check(len(known) == len(counts) == len(split) == len({*known}), "tiles")
    _check(4 * sum(counts) == len(places), "places of tile-parts")
    for number, count, is_split in zip(known, counts, split, strict=True):
        _check(0 <= number < parts.tiles_in_image and 0 < count <= MAX_PARTS_OF_A_TILE, "tiles")
        own, places = places[: 4 * count].reshape(4, count).astype(np.int64), places[4 * count :]
        _check(_lies_within(own, parts.begin, parts.stop), "places of packets")
        packets = int(own[3].sum()) if is_split else 0
        of_tile, lengths = lengths[:packets], lengths[packets:]
        _check(not is_split or _add_up(own, of_tile), "packet lengths")
        yield number, Tile(own, compact(of_tile) if is_split else None)
    _check(not len(lengths), "packet lengths")


def _lies_within(parts: NDArray[np.int64], begin: int, stop: int) -> bool:
    """Report whether tile-parts begin, have their packets, and end in this order within the codestream."""
    start, end, packets, count = parts
    in_order = (begin <= start) & (start < packets) & (packets <= end) & (end <= stop) & (count >= RESTYLED)
    return bool(in_order.all()) and bool((count < (1 << 32)).all())


def _add_up(parts: NDArray[np.int64], lengths: NDArray[np.uint32]) -> bool:
    """Report whether the packets of each tile-part fill it exactly, as those of PLT are known to."""
    if (parts[3] < 0).any() or int(parts[3].sum()) != len(lengths) or not lengths.all():
        return False
    sums = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
    ends = np.concatenate([[0], np.cumsum(parts[3])])
    return all(
        sums[last] - sums[first] == size
        for (first, last), size in zip(pairwise(ends.tolist()), (parts[1] - parts[2]).tolist(), strict=True)
    )


def _joined(arrays: Iterable[NDArray[np.integer]], kind: type[np.integer]) -> NDArray[np.integer]:
    return np.concatenate([np.zeros(0, kind), *arrays]).astype(kind)


def _check(right: bool, what: str) -> None:  # noqa: FBT001  # what is checked reads first
    if not right:
        raise Corrupt(f"{what}: not as a codestream has them")
