"""A bounded cache of blocks, the least recently used dropped first."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Generic, TypeVar

from cachetools import LRUCache

K = TypeVar("K", bound=Hashable)


class BlockCache(Generic[K]):
    """Blocks by key, `capacity` bytes at most. Used from one thread."""

    def __init__(self, capacity: int) -> None:
        self._blocks: LRUCache[K, bytes] = LRUCache(capacity, getsizeof=len)

    @property
    def held(self) -> int:
        """Bytes kept."""
        return int(self._blocks.currsize)

    def get(self, key: K) -> bytes | None:
        """Return the block, now the most recently used."""
        return self._blocks.get(key)

    def put(self, key: K, block: bytes) -> None:
        """Keep a block; one larger than the cache is not kept."""
        self._blocks.pop(key, None)
        if len(block) <= self._blocks.maxsize:
            self._blocks[key] = block

    def clear(self) -> None:
        """Drop everything."""
        self._blocks.clear()
