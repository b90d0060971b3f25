"""What the decoder says of slides, and the pixels it gives, beside OpenSlide."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import numpy as np
import openslide
import pytest
from PIL import Image
from sidecar_openslide import OpenSlideDecoder
from sidecar_openslide.library import load
from sidecar_openslide.sample import Tile, write_tiff
from sidecar_tiff import samples as made
from sidecar_tiff.reader import TiffReader
from sidecar_tiff.slide import Coding
from sidecar_tiff.testing import Making, halved

from sidecar.plugin import Grid, Pixels, Rect, Size, run_inline
from sidecar.testing.fakes import on_disk
from sidecar.testing.reading import read

APERIO = Path(__file__).parents[3] / "tests" / "data" / "images" / "slide.svs"


@contextmanager
def opened(path: Path) -> Iterator[TiffReader]:
    """The reader under test."""
    with closing(made.decoder().open(on_disk(path))) as reader:
        yield reader


def plain(path: Path, level: int, region: Rect) -> Pixels:
    """What OpenSlide shows of a region of a level, on white. At a whole level it does not interpolate."""
    with openslide.OpenSlide(path) as slide:
        whole = slide.read_region((0, 0), level, slide.level_dimensions[level])
    shown = Image.alpha_composite(Image.new("RGBA", whole.size, "white"), whole).convert("RGB")
    return np.asarray(shown)[region.y : region.bottom, region.x : region.right]


def difference(found: Pixels, wanted: Pixels) -> float:
    """Grey levels, on the average."""
    return float(np.abs(found.astype(int) - wanted).mean())


def compare(path: Path) -> None:
    """Every stored level, in several windows, is what OpenSlide shows."""
    with opened(path) as reader, openslide.OpenSlide(path) as slide:
        stored = [
            index
            for index, level in enumerate(reader.info.levels)
            if tuple(_sides(level.size)) in slide.level_dimensions
        ]
        assert len(stored) == slide.level_count
        for number, index in enumerate(stored):
            width, height = _sides(reader.info.levels[index].size)
            wanted = plain(path, number, Rect(0, 0, width, height))
            for region in (
                Rect(0, 0, width, height),
                Rect(width // 3, height // 4, width // 2, height // 2),
                Rect(width - 40, height - 50, 40, 50),
            ):
                found = read(reader, on_disk(path), index, region)
                there = wanted[region.y : region.bottom, region.x : region.right]
                assert difference(found, there) <= 1, (index, region)


def _sides(size: Size) -> tuple[int, int]:
    return size.width, size.height


def test_a_slide_that_we_did_not_write() -> None:
    """The sample slide reads as by OpenSlide, in all of its levels."""
    compare(APERIO)


@pytest.mark.parametrize("making", made.CODINGS, ids=lambda making: f"{making.coding.name}-{making.shared_tables}")
@pytest.mark.parametrize("size", [made.ODD, made.EVEN], ids=["odd", "even"])
def test_codings(tmp_path: Path, making: Making, size: Size) -> None:
    """Tiles of every coding, with tables of their own and shared ones, read as by OpenSlide."""
    compare(made.aperio(tmp_path, making, size))


@pytest.mark.parametrize("coding", [Coding.JPEG_YCC, Coding.JPEG_RGB, Coding.JPEG_GREY])
def test_plain_pyramids(tmp_path: Path, coding: Coding) -> None:
    """So do those of tiled pyramids of no maker."""
    compare(made.plain(tmp_path, Making(coding=coding, tile=256)))


def test_missing_tiles_are_white(tmp_path: Path) -> None:
    """Where nothing was scanned it is white, as behind OpenSlide."""
    path = tmp_path / "sparse.tif"
    write_tiff(path, made.levels(made.EVEN), tile=128, missing={Tile(0, 0, 0), Tile(0, 2, 3), Tile(1, 0, 0)})
    compare(path)


@pytest.mark.parametrize("icc", [None, made.SRGB], ids=["plain", "ICC"])
@pytest.mark.parametrize("size", [made.ODD, made.EVEN], ids=["odd", "even"])
def test_what_a_slide_is(tmp_path: Path, size: Size, icc: bytes | None) -> None:
    """Size, tile, profile and the stored levels are those that the plugin of OpenSlide reports."""
    path = made.aperio(tmp_path, Making(), size, icc)
    with opened(path) as reader, closing(OpenSlideDecoder(load(0), ["svs"], run_inline).open(on_disk(path))) as other:
        ours, theirs = reader.info, other.info
    assert (ours.size, ours.tile, ours.icc, ours.channels) == (theirs.size, theirs.tile, theirs.icc, theirs.channels)
    assert (ours.orientation, ours.alpha_is_optional) == (theirs.orientation, theirs.alpha_is_optional)
    found = {level.size: (level.grid, level.downsample) for level in ours.levels}
    for level in theirs.levels:
        grid, downsample = found[level.size]
        assert grid == level.grid
        # A ratio that was rounded in the file is the whole number that it comes from.
        assert downsample == pytest.approx(level.downsample, rel=0.01)
        assert float(downsample).is_integer()


def test_levels_in_between(tmp_path: Path) -> None:
    """Between and behind the stored levels there are those at 1:2, as far as tiles can be halved."""
    with opened(made.aperio(tmp_path, Making(), Size(1536, 1024))) as reader:
        levels = reader.info.levels
    assert [level.downsample for level in levels] == [1, 2, 4, 8, 16]
    assert [level.grid for level in levels][:3] == [Grid(width=side, height=side) for side in (240, 120, 240)]


@pytest.mark.parametrize("making", made.CODINGS[:3], ids=lambda making: f"{making.coding.name}-{making.shared_tables}")
def test_pixels_of_levels_in_between(tmp_path: Path, making: Making) -> None:
    """Tiles decoded at 1:2 and 1:8 show what OpenSlide's pixels show, averaged."""
    path = made.plain(tmp_path, making, Size(1536, 1024))
    with opened(path) as reader:
        levels = reader.info.levels
        assert [level.downsample for level in levels] == [1, 2, 4, 8, 16]
        for index, number, ratio in ((1, 0, 2), (3, 1, 2), (4, 1, 4)):
            level = levels[index]
            found = read(reader, on_disk(path), index, Rect(0, 0, level.size.width, level.size.height))
            region = Rect(0, 0, level.size.width * ratio, level.size.height * ratio)
            assert difference(found, halved(plain(path, number, region), ratio)) <= 2, index


def test_jpeg_2000_is_halved_by_its_wavelet(tmp_path: Path) -> None:
    """Tiles of JPEG 2000 without their finest resolution are what the whole tile shows, about as well."""
    path = made.aperio(tmp_path, Making(coding=Coding.JPEG_2000_RGB), made.EVEN)
    with opened(path) as reader:
        level = reader.info.levels[1]
        found = read(reader, on_disk(path), 1, Rect(0, 0, level.size.width, level.size.height))
    assert level.downsample == 2
    wanted = halved(plain(path, 0, Rect(0, 0, made.EVEN.width, made.EVEN.height)), 2)
    assert difference(found, wanted) <= 2
