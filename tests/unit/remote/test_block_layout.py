"""Ranges and blocks: pure planning."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.plugin import ByteRange
from sidecar.remote import block_layout

_laws = settings(max_examples=200, deadline=None, database=None, derandomize=True)
_CONTENT = bytes(range(256)) * 4
_ends = st.integers(0, len(_CONTENT))
_ranges = st.lists(st.tuples(_ends, _ends).map(lambda pair: ByteRange(*sorted(pair))), max_size=8)


@given(ranges=_ranges, block=st.integers(1, 300))
@_laws
def test_blocks_hold_their_ranges(ranges: Sequence[ByteRange], block: int) -> None:
    """A range cut from the blocks it touches, and from no others, is the range of the content."""
    held = {number: _CONTENT[number * block : (number + 1) * block] for number in block_layout.numbers(ranges, block)}
    for start, stop in ranges:
        assert bytes(block_layout.cut(ByteRange(start, stop), block, held)) == _CONTENT[start:stop]


def test_a_range_in_one_block_is_not_copied() -> None:
    """Small ranges are views of the block."""
    block = b"0123456789"
    view = block_layout.cut(ByteRange(12, 15), 10, {1: block})
    assert isinstance(view, memoryview)
    assert view.obj is block


@given(missing=st.sets(st.integers(0, 60)).map(sorted), gap=st.integers(0, 5), longest=st.integers(1, 12))
@_laws
def test_spans_hold_the_missing(missing: Sequence[int], gap: int, longest: int) -> None:
    """Each missing block is in exactly one run, which begins and ends with one; gaps and lengths are kept."""
    spans = block_layout.spans(missing, gap, longest)
    covered = [number for span in spans for number in span]
    assert sorted({*covered}) == covered
    assert {*missing} <= {*covered}
    for span in spans:
        inside = [number for number in missing if number in span]
        assert (inside[0], inside[-1]) == (span[0], span[-1])
        assert len(span) <= longest
        assert all(after - before <= gap + 1 for before, after in pairwise(inside))


@given(missing=st.sets(st.integers(0, 60)).map(sorted), gap=st.integers(0, 5), longest=st.integers(1, 12))
@_laws
def test_spans_are_as_few_as_may_be(missing: Sequence[int], gap: int, longest: int) -> None:
    """No run could take in the first block of the next."""
    spans = block_layout.spans(missing, gap, longest)
    for span, following in pairwise(spans):
        assert following[0] - span[-1] > gap + 1 or following[0] - span[0] >= longest


def test_the_last_block_ends_with_the_object() -> None:
    """No byte behind the object is asked for."""
    assert block_layout.extent(range(1, 3), 100, 250) == (100, 250)
    assert block_layout.extent(range(1, 2), 100, 250) == (100, 200)
