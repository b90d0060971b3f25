"""What a slide is said to be is what OpenSlide and tifffile say of it."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np
import openslide
import pytest
import tifffile
from sidecar_openslide.decoder import OpenSlideDecoder
from sidecar_openslide.library import load
from sidecar_openslide.settings import OpenSlideSettings

from sidecar.plugin import Rect, run_inline
from sidecar.testing.fakes import on_disk

SLIDE: Final = Path(__file__).parents[3] / "tests" / "data" / "images" / "slide.svs"


@pytest.fixture(scope="module")
def decoder() -> OpenSlideDecoder:
    """Return a decoder."""
    return OpenSlideDecoder(load(2**20), OpenSlideSettings().suffixes, run_inline)


def test_facts_are_those_of_openslide(decoder: OpenSlideDecoder) -> None:
    """Format, magnification, resolution, levels, tiles and associated images are as OpenSlide states them."""
    found, slide = dict(decoder.open(on_disk(SLIDE)).facts()), openslide.OpenSlide(SLIDE)
    assert found["format"] == slide.properties["openslide.vendor"]
    assert found["objective power"] == slide.properties["openslide.objective-power"]
    assert found["micrometres per pixel, across"] == slide.properties["openslide.mpp-x"]
    for index, (width, height) in enumerate(slide.level_dimensions):
        assert str(found[f"level {index}"]).startswith(f"{width} x {height}, 1:{slide.level_downsamples[index]:g}")
    assert found["associated images"] == ", ".join(sorted(slide.associated_images))
    with tifffile.TiffFile(SLIDE) as tiff:
        assert found["compression of tiles"] == tifffile.COMPRESSION(tiff.pages.first.compression).name


def test_tiles_of_a_window(decoder: OpenSlideDecoder) -> None:
    """The tiles that a window touches are counted."""
    reader = decoder.open(on_disk(SLIDE))
    assert dict(reader.window_facts(reader.window(0, Rect(239, 0, 242, 240)))) == {"tiles decoded": 3, "reads": 1}


def test_a_slide_that_is_well_made_needs_no_advice(decoder: OpenSlideDecoder) -> None:
    """Levels near each other, small tiles, JPEG."""
    assert [*decoder.open(on_disk(SLIDE)).advice()] == []


def test_advice(decoder: OpenSlideDecoder, tmp_path: Path) -> None:
    """Large tiles, and a single large level, are reasons to store a slide in another way."""
    path = tmp_path / "a.tif"
    pixels = np.zeros((2304, 2304, 3), np.uint8)
    tifffile.imwrite(path, pixels, tile=(1152, 1152), photometric="rgb", compression="zlib")
    (advice,) = decoder.open(on_disk(path)).advice()
    assert "the smallest level is 2304 x 2304" in advice.reason
    assert "1152 x 1152" in advice.reason
    assert advice.commands[0].startswith("vips tiffsave IN OUT.tif")
