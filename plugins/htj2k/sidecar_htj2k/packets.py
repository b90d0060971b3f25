"""Packet headers of one layer with one cleanup pass a block, as an HTJ2K encoder writes them (ITU-T T.800 B.10).

OpenJPH's encoder codes the lowest resolution of a stage; its code blocks are taken out of its packets and packed anew.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product
from typing import NamedTuple, TypeAlias

EXCLUDED = 1 << 20
"""The missing bit planes of a block that is not there: more than any that is."""
FULL = 0xFF
"""After a byte of ones, the next has only seven bits (B.10.1)."""


_Node: TypeAlias = tuple[int, int, int]
"""Level, row and column in a tag tree."""
_Nodes: TypeAlias = dict[_Node, int]


class Block(NamedTuple):
    """A code block with its one cleanup pass."""

    missing: int
    """Missing bit planes (B.10.5)."""
    data: bytes


class CodedBlock(NamedTuple):
    """What a packet header declares of a block that is there."""

    row: int
    column: int
    missing: int
    length: int


class BitReader:
    """The bits of a packet header."""

    def __init__(self, data: bytes, at: int) -> None:
        self._data, self._at = data, at
        self._byte = self._left = 0

    def read(self, count: int) -> int:
        """Return the next bits as a number. Raises IndexError after the end of the data."""
        value = 0
        for _ in range(count):
            if not self._left:
                self._left = 7 if self._byte == FULL else 8
                self._byte = self._data[self._at]
                self._at += 1
            self._left -= 1
            value = value << 1 | self._byte >> self._left & 1
        return value

    @property
    def end(self) -> int:
        """Where the header ends."""
        return self._at + (self._byte == FULL)


class BitWriter:
    """The bits of a packet header being written."""

    def __init__(self) -> None:
        self._bits: list[int] = []

    def write(self, value: int, count: int) -> None:
        """Append a number of `count` bits."""
        self._bits += [value >> place & 1 for place in range(count - 1, -1, -1)]

    def done(self) -> bytes:
        """Return the header, which never ends in a byte of ones."""
        made, at, room = bytearray(), 0, 8
        while at < len(self._bits) or room == 7:  # noqa: PLR2004  # a byte of ones came before
            part = self._bits[at : at + room]
            at += room
            made.append(int("".join(map(str, part)).ljust(room, "0"), 2))
            room = 7 if made[-1] == FULL else 8
        return bytes(made)


class _Tree:
    """The nodes of a tag tree (B.10.2) that are known already, by (level, row, column)."""

    def __init__(self, rows: int, columns: int) -> None:
        self._levels = max((rows - 1).bit_length(), (columns - 1).bit_length())
        self.values: _Nodes = {}

    def path(self, row: int, column: int) -> Iterator[_Node]:
        """Yield the nodes from the root to a leaf."""
        for level in range(self._levels, -1, -1):
            yield level, row >> level, column >> level


def read_blocks(bits: BitReader, rows: int, columns: int) -> Iterator[CodedBlock]:
    """Yield the blocks of a subband in a packet that are there. Raises ValueError if one has more than one pass."""
    inclusion, missing = _Tree(rows, columns), _Tree(rows, columns)
    for row, column in product(range(rows), range(columns)):
        absent = 0
        for node in inclusion.path(row, column):
            if not absent and node not in inclusion.values:
                inclusion.values[node] = 1 - bits.read(1)
            absent = absent or inclusion.values[node]
        if absent:
            continue
        value = 0
        for node in missing.path(row, column):
            if node not in missing.values:
                while not bits.read(1):
                    value += 1
                missing.values[node] = value
            value = missing.values[node]
        if bits.read(1):
            raise ValueError("more than one coding pass")
        size = 3
        while bits.read(1):
            size += 1
        yield CodedBlock(row, column, value, bits.read(size))


def write_blocks(bits: BitWriter, blocks: Sequence[Sequence[Block | None]]) -> None:
    """Write the blocks of a subband, row by row."""
    inclusion, missing = _Tree(len(blocks), len(blocks[0])), _Tree(len(blocks), len(blocks[0]))
    least = _least(missing, blocks)
    for row, line in enumerate(blocks):
        for column, block in enumerate(line):
            for node in inclusion.path(row, column):
                if node not in inclusion.values:
                    inclusion.values[node] = int(least[node] == EXCLUDED)
                    bits.write(1 - inclusion.values[node], 1)
                if inclusion.values[node]:
                    break
            if block:
                _write_block(bits, block, missing, missing.path(row, column), least)


def _least(tree: _Tree, blocks: Sequence[Sequence[Block | None]]) -> _Nodes:
    """Return the least number of missing bit planes below each node."""
    least: _Nodes = {}
    for row, line in enumerate(blocks):
        for column, block in enumerate(line):
            for node in tree.path(row, column):
                least[node] = min(least.get(node, EXCLUDED), block.missing if block else EXCLUDED)
    return least


def _write_block(bits: BitWriter, block: Block, missing: _Tree, path: Iterator[_Node], least: _Nodes) -> None:
    value = 0
    for node in path:
        if node not in missing.values:
            bits.write(1, least[node] - value + 1)
            missing.values[node] = least[node]
        value = least[node]
    size = max(3, len(block.data).bit_length())
    bits.write(0, 1)
    bits.write((1 << size - 3) - 1 << 1, size - 2)
    bits.write(len(block.data), size)
