"""Blocks of an object: which ones ranges lie in, which to fetch together, and ranges cut from them. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from sidecar.plugin import Buffer, ByteRange


def numbers(ranges: Iterable[ByteRange], block: int) -> Sequence[int]:
    """Return the blocks that the ranges touch, rising, each once."""
    touched = {number for start, stop in ranges if stop > start for number in _touched(start, stop, block)}
    return sorted(touched)


def spans(missing: Iterable[int], gap: int, longest: int) -> Sequence[range]:
    """Return runs of blocks to fetch as one, from rising numbers.

    A run has at most `gap` unwanted blocks between two wanted ones, and at most `longest` blocks in all.
    """
    runs: list[range] = []
    for number in missing:
        if runs and number - runs[-1].stop <= gap and number - runs[-1].start < longest:
            runs[-1] = range(runs[-1].start, number + 1)
        else:
            runs.append(range(number, number + 1))
    return runs


def extent(span: range, block: int, size: int) -> ByteRange:
    """Return the bytes of a run of blocks of an object of `size` bytes."""
    return ByteRange(span.start * block, min(span.stop * block, size))


def cut(wanted: ByteRange, block: int, blocks: Mapping[int, bytes]) -> Buffer:
    """Return the bytes of a range: a view if it lies in one block, else a copy."""
    start, stop = wanted
    if stop <= start:
        return b""
    touched = _touched(start, stop, block)
    views = [memoryview(blocks[number]) for number in touched]
    views[-1] = views[-1][: stop - touched[-1] * block]
    views[0] = views[0][start - touched[0] * block :]
    return views[0] if len(views) == 1 else b"".join(views)


def _touched(start: int, stop: int, block: int) -> range:
    return range(start // block, (stop - 1) // block + 1)
