"""The part of a decoder's contract about pixels: however they are read, they are the same."""
# ruff: noqa: S101  # these are tests, though they are shipped

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from itertools import pairwise, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.plugin import Blob, Buffer, DecodeError, Pixels, Rect
from sidecar.testing.contracts.decoder_case import DecoderCase, Reader, differing, quarters, whole
from sidecar.testing.reading import fetched, pixels_of, read

_laws = settings(max_examples=15, deadline=None, database=None, derandomize=True)


class DecoderPixels(DecoderCase):
    """Windows of any shape, in any order, also after errors."""

    def test_corners(self, reader: Reader, blob: Blob) -> None:
        """Single pixels in the corners of every level are those of the whole level."""
        for index, level in enumerate(reader.info.levels):
            pixels = read(reader, blob, index, whole(level))
            for x, y in product({0, level.size.width - 1}, {0, level.size.height - 1}):
                corner = read(reader, blob, index, Rect(x, y, 1, 1))
                assert corner[0, 0].tolist() == pixels[y, x].tolist(), (index, x, y)

    def test_any_partition_makes_the_whole(self, reader: Reader, blob: Blob) -> None:
        """However a level is cut into windows, joined they are what reading it whole returns."""
        for index, level in enumerate(reader.info.levels):
            self._try_partitions(reader, blob, index, read(reader, blob, index, whole(level)))

    def _try_partitions(self, reader: Reader, blob: Blob, level: int, pixels: Pixels) -> None:
        @given(rows=_cuts(pixels.shape[0]), columns=_cuts(pixels.shape[1]))
        @_laws
        def law(rows: Sequence[int], columns: Sequence[int]) -> None:
            joined = [
                np.hstack([read(reader, blob, level, _between(span, rows_span)) for span in pairwise(columns)])
                for rows_span in pairwise(rows)
            ]
            assert not differing([np.vstack(joined)], [pixels]), (level, rows, columns)

        law()

    def test_it_writes_all_it_is_given_and_nothing_else(self, reader: Reader, blob: Blob) -> None:
        """A window fills its part of a larger array, whatever was in it, and leaves the rest as it was."""
        for index, region in quarters(reader):
            window = reader.window(index, region)
            data = fetched(blob, window)
            wanted = pixels_of(reader, window, data)
            for before in (0, 255):
                around = np.full((region.height + 3, region.width + 5, reader.info.channels), before, np.uint8)
                part = around[1:-2, 3:-2]
                reader.read(window, data, part)
                assert not differing([part], [wanted]), (index, region)
                part[:] = before
                assert np.count_nonzero(around != before) == 0, (index, region)

    def test_order_does_not_matter(self, reader: Reader, blob: Blob) -> None:
        """Windows read forwards and backwards, across levels, have the same pixels: reads leave nothing behind."""
        windows = [*quarters(reader)]
        forwards = [read(reader, blob, *window) for window in windows]
        backwards = [read(reader, blob, *window) for window in reversed(windows)]
        assert not differing(forwards, backwards[::-1])

    def test_reads_after_scribbled_bytes(self, reader: Reader, blob: Blob) -> None:
        """After a read of bytes that somebody wrote over, which may be an error, others read what they read before."""
        windows = [reader.window(*window) for window in quarters(reader)]
        data = [fetched(blob, window) for window in windows]
        if not any(data):
            pytest.skip("it reads the file itself")
        before = [pixels_of(reader, window, each) for window, each in zip(windows, data, strict=True)]
        for window, each in zip(windows, data, strict=True):
            with suppress(DecodeError):
                pixels_of(reader, window, [_scribbled(buffer) for buffer in each])
        after = [pixels_of(reader, window, each) for window, each in zip(windows, data, strict=True)]
        assert not differing(before, after)


def _scribbled(buffer: Buffer) -> bytes:
    return bytes(byte ^ 0xA5 for byte in bytes(buffer))


def _between(columns: tuple[int, int], rows: tuple[int, int]) -> Rect:
    return Rect(columns[0], rows[0], columns[1] - columns[0], rows[1] - rows[0])


def _cuts(length: int) -> st.SearchStrategy[Sequence[int]]:
    """Both ends of a side and up to two places between them."""
    inner = st.sets(st.integers(1, length - 1), max_size=2) if length > 1 else st.just(set[int]())
    return inner.map(lambda places: sorted({0, length, *places}))
