"""The bounded cache of blocks."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.remote.block_cache import BlockCache


@given(puts=st.lists(st.tuples(st.integers(0, 9), st.integers(0, 60)), max_size=60))
@settings(max_examples=200, deadline=None, database=None, derandomize=True)
def test_never_more_than_its_capacity(puts: Sequence[tuple[int, int]]) -> None:
    """What is held is counted rightly, stays within the bound, and is what was last put."""
    cache: BlockCache[int] = BlockCache(100)
    last = {}
    for key, size in puts:
        cache.put(key, bytes([key]) * size)
        last[key] = bytes([key]) * size
        kept = [block for key in range(10) if (block := cache.get(key)) is not None]
        assert cache.held == sum(map(len, kept)) <= 100
        assert cache.get(key) == last[key]


def test_the_least_recently_used_goes_first() -> None:
    """Getting a block keeps it."""
    cache: BlockCache[str] = BlockCache(3)
    for key in "abc":
        cache.put(key, b".")
    cache.get("a")
    cache.put("d", b".")
    assert [cache.get(key) for key in "abcd"] == [b".", None, b".", b"."]


def test_a_block_larger_than_the_cache() -> None:
    """It is not kept, and nothing is held."""
    cache: BlockCache[str] = BlockCache(3)
    cache.put("a", b"....")
    assert (cache.get("a"), cache.held) == (None, 0)


def test_clear() -> None:
    """Nothing stays."""
    cache: BlockCache[str] = BlockCache(3)
    cache.put("a", b"..")
    cache.clear()
    assert (cache.get("a"), cache.held) == (None, 0)
