"""How large a pixel is by TIFF's own resolution: counted if it is a microscope's, and alike in both plugins."""

from __future__ import annotations

import gc
import tracemalloc
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import tifffile
from sidecar_openslide import OpenSlideDecoder
from sidecar_openslide.library import load
from sidecar_openslide.sample import tissue
from sidecar_tiff import samples

from sidecar.plugin import Size, run_inline
from sidecar.testing.fakes import on_disk

MICROMETRES = {
    ("centimeter", 40_000.0, 40_000.0): 0.25,
    ("centimeter", 40_000.0, 39_900.0): 0.25,
    ("inch", 50_800.0, 50_800.0): 0.5,
    ("inch", 72.0, 72.0): None,
    ("centimeter", 10.0, 10.0): None,
    ("centimeter", 40_000.0, 20_000.0): None,
    ("none", 40_000.0, 40_000.0): None,
}


@pytest.mark.parametrize("unit,across,down", MICROMETRES)
def test_resolution(tmp_path: Path, unit: str, across: float, down: float) -> None:
    """A pixel of a pyramid of no maker's has a size if its resolution is fine, with a unit, and the same both ways."""
    path = tmp_path / "slide.tif"
    options: Any = {"tile": (64, 64), "photometric": "rgb", "compression": "jpeg", "metadata": None}
    tifffile.imwrite(path, tissue(Size(200, 140)), resolution=(across, down), resolutionunit=unit, **options)
    for decoder in (samples.decoder(), OpenSlideDecoder(load(0), ["tif"], run_inline)):
        with closing(decoder.open(on_disk(path))) as reader:
            found = reader.info.pixel_micrometres
        assert found == pytest.approx(MICROMETRES[unit, across, down])


def test_memory_of_properties(tmp_path: Path) -> None:
    """The properties of an open slide are among the bytes that it holds."""
    path = tmp_path / "slide.svs"
    description = "Aperio |" + "|".join(f"name{number} = {number}" for number in range(3000))
    options: Any = {"tile": (64, 64), "photometric": "rgb", "compression": "jpeg", "metadata": None}
    tifffile.imwrite(path, tissue(Size(200, 140)), description=description, **options)
    decoder, blob = samples.decoder(), on_disk(path)
    decoder.open(blob).close()
    tracemalloc.start()
    with closing(decoder.open(blob)) as reader:
        gc.collect()
        held = tracemalloc.get_traced_memory()[0]
        tracemalloc.stop()
        assert 0.8 * held < reader.held_bytes < 1.5 * held


def test_without_a_resolution(tmp_path: Path) -> None:
    """A pyramid that states none has no size of a pixel, and properties all the same."""
    path = samples.plain(tmp_path, samples.CODINGS[0])
    with closing(samples.decoder().open(on_disk(path))) as reader:
        assert reader.info.pixel_micrometres is None
        assert reader.properties()["openslide.vendor"] == "generic-tiff"
