"""The part of a decoder's contract about optional powers of readers; skipped for readers that do not have them."""
# ruff: noqa: S101  # these are tests, though they are shipped

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import product
from typing import Final

import numpy as np
import pytest
from PIL import Image

from sidecar.plugin import (
    EXACT,
    Blob,
    Describes,
    EncodedTile,
    Fact,
    Pixels,
    Rect,
    SupportsEncodedTiles,
    SupportsGathering,
    SupportsTolerance,
    Tolerance,
)
from sidecar.testing.contracts.decoder_case import DecoderCase, Reader, quarters
from sidecar.testing.reading import fetched, pixels_of, read

_MODES: Final = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}
_TOLERANCE: Final = Tolerance(80, "4:2:0")
_ABOUT, _ROUNDING = 1.06, 0.1
"""By how much the mean square error of a JPEG may grow: a quarter of a decibel, and what rounding makes."""


class DecoderPowers(DecoderCase):
    """Encoded tiles, windows with small errors, windows decoded together."""

    def test_encoded_tiles(self, reader: Reader, blob: Blob) -> None:
        """A stored tile, decoded by Pillow, shows the pixels of the same window: size, channels, colours, profile."""
        if not isinstance(reader, SupportsEncodedTiles):
            pytest.skip("it passes on no tiles")
        stored = [(index, tile) for index, region in _tiles(reader) if (tile := reader.encoded_tile(index, region))]
        if not stored:
            pytest.skip("no tile of this sample can be passed on")
        for index, tile in stored:
            wanted = read(reader, blob, index, tile.region)
            found = _decoded(blob, tile, reader.info.channels, reader.info.icc)
            assert found.shape == wanted.shape
            error = float(np.sqrt(np.mean((found.astype(float) - wanted) ** 2)))
            assert error <= self.tile_tolerance, f"level {index}, {tile.region}"

    def test_regions_that_are_no_tile(self, reader: Reader) -> None:
        """A region that no stored tile shows exactly has no encoded tile; any other tile has the region asked for."""
        if not isinstance(reader, SupportsEncodedTiles):
            pytest.skip("it passes on no tiles")
        for index, region in _tiles(reader):
            tile = reader.encoded_tile(index, region)
            assert tile is None or tile.region == region
            for other in (replace(region, width=region.width - 1), replace(region, x=region.x + 1)):
                assert not other.width or reader.encoded_tile(index, other) is None

    def test_tolerance_of_nothing(self, reader: Reader) -> None:
        """A window that tolerates no error is the window."""
        if not isinstance(reader, SupportsTolerance):
            pytest.skip("it decodes exactly only")
        for index, region in quarters(reader):
            assert reader.tolerant_window(index, region, tolerance=EXACT) == reader.window(index, region)

    def test_tolerance(self, reader: Reader, blob: Blob) -> None:
        """A JPEG of a tolerant window shows the image about as well as one of the window."""
        if not isinstance(reader, SupportsTolerance):
            pytest.skip("it decodes exactly only")
        for index, region in quarters(reader):
            window = reader.tolerant_window(index, region, tolerance=_TOLERANCE)
            found, wanted = pixels_of(reader, window, fetched(blob, window)), read(reader, blob, index, region)
            assert _error(found, wanted) <= _error(wanted, wanted) * _ABOUT + _ROUNDING, f"level {index}, {region}"

    def test_gathering(self, reader: Reader, blob: Blob) -> None:
        """Windows that may be decoded as one are the same pixels as each alone; what reads it changes nothing."""
        if not isinstance(reader, SupportsGathering):
            pytest.skip("it decodes each window alone")
        regions = [*quarters(reader)]
        for (index, one), (other_index, other) in product(regions, regions):
            if index == other_index and reader.gathers(index, one, other):
                assert reader.gathers(index, other, one)
                both = one.hull(other)
                found, wanted = read(reader, blob, index, both), read(reader, blob, index, one)
                x, y = one.x - both.x, one.y - both.y
                assert np.array_equal(found[y : y + one.height, x : x + one.width], wanted), f"level {index}, {one}"

    def test_descriptions(self, reader: Reader) -> None:
        """Facts have names of their own, in a few lower-case words, and plain values; advice is no sentence's end."""
        if not isinstance(reader, Describes):
            pytest.skip("it describes nothing")
        _check_facts(reader.facts())
        for index, region in quarters(reader):
            _check_facts(reader.window_facts(reader.window(index, region)))
        for advice in reader.advice():
            assert advice.reason
            assert advice.remedy
            assert not advice.reason.endswith(".")
            assert not advice.remedy.endswith(".")
            assert all("IN" in command and "OUT" in command for command in advice.commands)


def _check_facts(facts: Sequence[Fact]) -> None:
    names = [fact.name for fact in facts]
    assert len({*names}) == len(names), names
    for name, value in facts:
        assert name
        assert name == name.strip()
        assert not name[0].isupper(), name
        assert isinstance(value, str | int | float | bool)
        assert "\n" not in str(value)


def _error(pixels: Pixels, wanted: Pixels) -> float:
    """Return the mean square error of the colours after JPEG."""
    count = 1 if pixels.shape[2] < 3 else 3  # noqa: PLR2004  # of colours; opacity is not in a JPEG
    file = io.BytesIO()
    Image.fromarray(pixels[..., 0] if count == 1 else pixels[..., :3]).save(file, "JPEG", quality=80, subsampling=2)
    with Image.open(file) as image:
        shown = np.asarray(image, float).reshape(*pixels.shape[:2], count)
    return float(np.mean((shown - wanted[..., :count]) ** 2))


def _tiles(reader: Reader) -> Iterator[tuple[int, Rect]]:
    """Return the first, a middle and the last piece of each level's grid, cut to the level."""
    for index, level in enumerate(reader.info.levels):
        if level.grid is None:
            continue
        columns = [0, *level.grid.columns(0, level.size.width), level.size.width]
        rows = [0, *level.grid.rows(0, level.size.height), level.size.height]
        for column, row in {
            (0, 0),
            ((len(columns) - 1) // 2, (len(rows) - 1) // 2),
            (len(columns) - 2, len(rows) - 2),
        }:
            (left, right), (top, bottom) = columns[column : column + 2], rows[row : row + 2]
            yield index, Rect(left, top, right - left, bottom - top)


def _decoded(blob: Blob, tile: EncodedTile, channels: int, icc: bytes | None) -> Pixels:
    file = tile.file(blob.read(tile.ranges))
    with Image.open(io.BytesIO(file)) as image:
        assert image.get_format_mimetype() == tile.media_type
        assert image.info.get("icc_profile") == icc
        pixels = np.asarray(image.convert(_MODES[channels]))
    return pixels.reshape(*pixels.shape[:2], -1)
