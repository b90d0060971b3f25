"""The part of a decoder's contract about memory: the byte counts of a level are upper bounds."""
# ruff: noqa: S101  # these are tests, though they are shipped

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from typing import Final

import numpy as np

from sidecar.plugin import Blob, Level, Pixels, Rect
from sidecar.testing import resident
from sidecar.testing.contracts.decoder_case import DecoderCase, Reader, whole
from sidecar.testing.reading import fetched, read

_HEADERS: Final = 2**16
"""Bytes of headers that windows of small levels may fetch beyond `coded_bytes`."""


class DecoderMemory(DecoderCase):
    """The largest level whole, the coarser ones, and one piece of a grid; native memory included."""

    def test_memory_of_a_read(self, reader: Reader, blob: Blob) -> None:
        """Decoding takes no more than the level promises, beside the array that is written and the bytes fetched."""
        read(reader, blob, 0, Rect(0, 0, 1, 1))  # the first time loads what is loaded once
        for index, region in _measured(reader):
            window = reader.window(index, region)
            data = fetched(blob, window)
            into = _touched(reader, region)
            promised = _promised(reader.info.levels[index], region)
            grown = resident.growth(partial(reader.read, window, data, into), promised + resident.SLACK)
            assert grown <= promised + resident.SLACK, f"level {index}, {region}: read took more than it promised"

    def test_memory_from_open_to_read(self, blob: Blob) -> None:
        """Opening, finding the window and decoding together take no more either, beside the bytes fetched."""
        with closing(self.decoder.open(blob)) as reader:
            read(reader, blob, 0, Rect(0, 0, 1, 1))
            level = reader.info.levels[0]
            window = reader.window(0, whole(level))
            into = _touched(reader, window.region)
        promised = _promised(level, window.region) + sum(each.length for each in window.ranges)

        def decode() -> None:
            with closing(self.decoder.open(blob)) as reader:
                window = reader.window(0, whole(level))
                reader.read(window, fetched(blob, window), into)

        grown = resident.growth(decode, promised + resident.SLACK)
        assert grown <= promised + resident.SLACK, "open, window and read took more than the level promises"

    def test_coded_bytes(self, reader: Reader) -> None:
        """A window of a whole level fetches no more bytes than the level says."""
        for index, level in enumerate(reader.info.levels):
            asked = sum(each.length for each in reader.window(index, whole(level)).ranges)
            assert asked <= level.coded_bytes * level.size.area + _HEADERS, f"level {index}"


def _measured(reader: Reader) -> Iterator[tuple[int, Rect]]:
    """Return every level whole, and a piece in its middle if it has a grid of more than a few."""
    for index, level in enumerate(reader.info.levels):
        yield index, whole(level)
        if level.grid and 4 * level.grid.width * level.grid.height < level.size.area:
            middle = Rect(level.size.width // 2, level.size.height // 2, 1, 1)
            yield index, _in_pieces(level, middle)


def _promised(level: Level, region: Rect) -> int:
    area = _in_pieces(level, region).size.area
    return math.ceil(level.fixed_bytes + level.pixel_bytes * area)


def _in_pieces(level: Level, region: Rect) -> Rect:
    """Return the pieces of the level's grid that a region touches, the last ones whole too."""
    grid = level.grid
    if grid is None:
        return whole(level)
    left, right = _outwards(region.x, region.right, grid.x, grid.width)
    top, bottom = _outwards(region.y, region.bottom, grid.y, grid.height)
    return Rect(left, top, right - left, bottom - top)


def _outwards(start: int, stop: int, origin: float, step: float) -> tuple[int, int]:
    first, last = math.floor((start - origin) / step), math.ceil((stop - origin) / step)
    return math.ceil(origin + first * step), math.ceil(origin + last * step)


def _touched(reader: Reader, region: Rect) -> Pixels:
    """Return an array whose pages are resident already, as those of a band are when it is filled again."""
    return np.full((region.height, region.width, reader.info.channels), 1, np.uint8)
