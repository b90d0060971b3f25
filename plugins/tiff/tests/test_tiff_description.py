"""What `sidecar inspect` and `explain` say of TIFF slides, against OpenSlide."""

from __future__ import annotations

from pathlib import Path

import openslide
import pytest
from sidecar_tiff import samples
from sidecar_tiff.slide import Coding
from sidecar_tiff.testing import Making

from sidecar.plugin import Rect
from sidecar.testing.fakes import on_disk


def test_levels_are_those_of_openslide(tmp_path: Path) -> None:
    """Each stored level has the size and the tiles that OpenSlide states; others say what they are made of."""
    path = samples.aperio(tmp_path, Making(tile=96))
    found = dict(samples.decoder().open(on_disk(path)).facts())
    levels = [str(value) for name, value in found.items() if name.startswith("level ")]
    stored = [each for each in levels if "decoded at" not in each]
    with openslide.OpenSlide(path) as slide:
        sizes = [f"{width} x {height}, " for width, height in slide.level_dimensions]
        tile = slide.properties["openslide.level[0].tile-width"]
    assert len(stored) == len(sizes) < len(levels)
    assert all(each.startswith(size) for each, size in zip(stored, sizes, strict=True))
    assert all(each.endswith(f"tiles of {tile} x {tile}") for each in stored)
    assert (found["tiles"], found["tiles passed on as they are"]) == ("JPEG, YCbCr", True)


def test_a_window(tmp_path: Path) -> None:
    """A window that touches four tiles says so, and how they are decoded."""
    reader = samples.decoder().open(on_disk(samples.aperio(tmp_path, Making(tile=96))))
    found = dict(reader.window_facts(reader.window(0, Rect(95, 95, 2, 2))))
    assert found == {"tiles decoded": 4, "tiles not scanned": 0, "tiles decoded at": "1:1"}


@pytest.mark.parametrize("coding, told", [(Coding.JPEG_YCC, ""), (Coding.JPEG_2000_RGB, "JPEG 2000")])
def test_advice(tmp_path: Path, coding: Coding, told: str) -> None:
    """A slide of JPEG tiles needs none; one of JPEG 2000 would be faster as JPEG."""
    reader = samples.decoder().open(on_disk(samples.aperio(tmp_path, Making(coding=coding, tile=128))))
    assert told in "; ".join(each.reason for each in reader.advice())
    assert bool(reader.advice()) == bool(told)
