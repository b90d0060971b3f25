"""A bounded cache of blocks, least recently used first to go."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)


class BlockCache(Generic[K]):
    """Blocks by key, `capacity` bytes at most. Used from one thread."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._blocks: OrderedDict[K, bytes] = OrderedDict()
        self.held = 0
        """Bytes kept."""

    def get(self, key: K) -> bytes | None:
        """The block, now the most recently used."""
        block = self._blocks.get(key)
        if block is not None:
            self._blocks.move_to_end(key)
        return block

    def put(self, key: K, block: bytes) -> None:
        """Keep a block; one larger than the cache is not kept."""
        self.held += len(block) - len(self._blocks.pop(key, b""))
        self._blocks[key] = block
        while self.held > self._capacity:
            self.held -= len(self._blocks.popitem(last=False)[1])

    def clear(self) -> None:
        """Keep nothing."""
        self._blocks.clear()
        self.held = 0
