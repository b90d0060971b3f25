"""What the whole-slide decoder says of a slide and the pixels it gives, beside plain OpenSlide and Pillow."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

import numpy as np
import openslide
import pytest
import tifffile
from PIL import Image, ImageCms
from sidecar_openslide import OpenSlideDecoder
from sidecar_openslide.colours import show
from sidecar_openslide.library import load
from sidecar_openslide.reader import SlideReader
from sidecar_openslide.sample import Tile, pyramid, tissue, write_svs, write_tiff

from sidecar.plugin import DecodeError, Grid, Malformed, Pixels, Rect, Size, Unsupported, run_inline
from sidecar.testing.contracts.decoder import read
from sidecar.testing.fakes import on_disk
from sidecar.testing.reading import pixels_of

APERIO = Path(__file__).parents[3] / "tests" / "data" / "images" / "slide.svs"
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
LAB = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
RED = (200, 30, 10)


@contextmanager
def opened(path: Path) -> Iterator[SlideReader]:
    """The reader under test."""
    with closing(OpenSlideDecoder(load(2**22), ["svs", "tif"], run_inline).open(on_disk(path))) as reader:
        yield reader


def pixels(path: Path, level: int, region: Rect) -> Pixels:
    """What the reader under test makes of a region."""
    with opened(path) as reader:
        return read(reader, on_disk(path), level, region)


def plain(path: Path, level: int, start: tuple[int, int], size: Size, background: tuple[int, ...]) -> Pixels:
    """What OpenSlide makes of a place in level 0, on a background by Pillow."""
    with openslide.OpenSlide(path) as slide:
        region = slide.read_region(start, level, (size.width, size.height))
    shown = Image.new("RGBA", region.size, background)
    return np.asarray(Image.alpha_composite(shown, region).convert("RGB"))


def noise(*sizes: Size) -> Sequence[Pixels]:
    """Levels in which every pixel differs from its neighbours."""
    random = np.random.default_rng(7)
    return [random.integers(0, 256, (size.height, size.width, 3), np.uint8) for size in sizes]


def test_what_a_slide_is() -> None:
    """Sizes, downsamples, the grid of each level's tiles and the tile are those of the file."""
    with opened(APERIO) as reader:
        info = reader.info
    assert info.size == Size(3000, 2400)
    assert [level.size for level in info.levels] == [Size(3000, 2400), Size(750, 600)]
    assert [level.downsample for level in info.levels] == [1.0, 4.0]
    assert {level.grid for level in info.levels} == {Grid(width=240, height=240)}
    assert (info.tile, info.channels, info.icc) == (Size(240, 240), 3, None)


@pytest.mark.parametrize("level, region", [(0, Rect(100, 200, 500, 300)), (0, Rect(2900, 2300, 100, 100))])
@pytest.mark.parametrize("scale", [1, 4])
def test_pixels_of_an_aperio_slide(level: int, region: Rect, scale: int) -> None:
    """Any region of any level is what OpenSlide reads there."""
    at = Rect(region.x // scale, region.y // scale, region.width // scale, region.height // scale)
    level += scale == 4
    assert np.array_equal(
        pixels(APERIO, level, at), plain(APERIO, level, (at.x * scale, at.y * scale), at.size, (255, 255, 255))
    )


def test_large_reads(tmp_path: Path) -> None:
    """A read beyond 4096 pixels, which OpenSlide parts on its own, is what the file holds."""
    path = tmp_path / "long.tif"
    (level,) = noise(Size(5000, 300))
    write_tiff(path, [level], compression="adobe_deflate")
    assert np.array_equal(pixels(path, 0, Rect(0, 0, 5000, 300)), level)


def test_levels_at_odd_ratios(tmp_path: Path) -> None:
    """Where OpenSlide has to interpolate, each block of 128 pixels is what it reads from the block's own corner."""
    path = tmp_path / "odd.tif"
    levels = noise(Size(2051, 1533), Size(512, 383))
    write_tiff(path, levels, tile=128, compression="adobe_deflate")
    found = pixels(path, 1, Rect(0, 0, 512, 383))
    with opened(path) as reader:
        downsample = reader.info.levels[1].downsample
    for x in range(0, 512, 128):
        for y in range(0, 383, 128):
            size = Size(128, min(128, 383 - y))
            wanted = plain(path, 1, (round(x * downsample), round(y * downsample)), size, (255, 255, 255))
            assert np.abs(found[y : y + 128, x : x + 128].astype(int) - wanted).max() <= 1, (x, y)
    assert np.array_equal(found[:128, :128], levels[1][:128, :128])


def test_odd_ratios_hardly_show(tmp_path: Path) -> None:
    """Interpolated levels are at most an eighth of a pixel off: under two grey levels on average in tissue."""
    path = tmp_path / "odd.tif"
    levels = pyramid(tissue(Size(2051, 1533)), [Size(512, 383)])
    write_tiff(path, levels, tile=128, compression="adobe_deflate")
    found = pixels(path, 1, Rect(0, 0, 512, 383))
    assert np.abs(found.astype(int) - levels[1]).mean() < 2


def test_missing_tiles_are_white(tmp_path: Path) -> None:
    """Where nothing was scanned the slide is white, and what surrounds it is as it was."""
    path = tmp_path / "sparse.tif"
    (level,) = noise(Size(512, 384))
    write_tiff(path, [level], tile=128, compression="adobe_deflate", missing={Tile(0, 1, 2)})
    wanted = level.copy()
    wanted[128:256, 256:384] = 255
    assert np.array_equal(pixels(path, 0, Rect(0, 0, 512, 384)), wanted)


def test_background_of_the_scanner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the scanner names a background colour, that is shown, also through pixels that are partly there."""
    path = tmp_path / "sparse.tif"
    levels = noise(Size(2051, 1533), Size(512, 383))
    write_tiff(path, levels, tile=128, compression="adobe_deflate", missing={Tile(1, 1, 1)})
    properties = inspect.getattr_static(openslide.OpenSlide, "properties").fget

    def named(slide: openslide.OpenSlide) -> dict[str, str]:
        return {**properties(slide), "openslide.background-color": bytes(RED).hex().upper()}

    monkeypatch.setattr(openslide.OpenSlide, "properties", property(named))
    found = pixels(path, 1, Rect(128, 128, 128, 128))
    start = (round(128 * 2051 / 512), round(128 * 2051 / 512))
    wanted = plain(path, 1, start, Size(128, 128), (*RED, 255))
    assert {tuple(pixel) for pixel in found[8:120, 8:120].reshape(-1, 3)} == {RED}
    assert np.abs(found.astype(int) - wanted).max() <= 1


def test_what_is_partly_there_lets_the_background_through() -> None:
    """Every opacity with every colour it can have: rounded, it is what exact arithmetic makes of it."""
    alpha, light = np.mgrid[:256, :256].astype(np.uint32)
    light = np.minimum(light, alpha)
    shown = np.empty((256, 256, 3), np.uint8)
    show(alpha << 24 | light << 16 | light // 2 << 8 | light // 3, RED, shown)
    for index, below in enumerate(RED):
        exact = light // (index + 1) + below * (1 - alpha / 255)
        assert np.abs(shown[..., index] - exact).max() <= 0.5, index


@pytest.mark.parametrize("kind", ["svs", "tif"])
def test_profile(tmp_path: Path, kind: str) -> None:
    """The ICC profile comes as it is in the file, byte for byte."""
    path = tmp_path / f"slide.{kind}"
    profile = SRGB + b"\0" * 5
    levels = noise(Size(300, 200))
    if kind == "svs":
        write_svs(path, levels, icc=profile)
    else:
        write_tiff(path, levels, icc=profile)
    with opened(path) as reader:
        assert reader.info.icc == profile


def test_profile_of_another_space(tmp_path: Path) -> None:
    """RGB pixels are not given out under a profile that is about something else."""
    path = tmp_path / "lab.svs"
    write_svs(path, noise(Size(300, 200)), icc=LAB)
    with pytest.raises(Unsupported, match="profile"), opened(path):
        pass


def test_grey_tiles(tmp_path: Path) -> None:
    """A tiled TIFF of grey pixels is given as RGB."""
    path = tmp_path / "grey.tif"
    grey = noise(Size(200, 150))[0][..., 0]
    tifffile.imwrite(path, grey, tile=(64, 64), photometric="minisblack", metadata=None)
    assert np.array_equal(pixels(path, 0, Rect(0, 0, 200, 150)), np.stack([grey] * 3, axis=-1))


def test_broken_or_only_foreign(tmp_path: Path) -> None:
    """A TIFF whose directories are broken is refused for good; one that is only no slide may go elsewhere."""
    whole = tmp_path / "strips.tif"
    Image.new("RGB", (100, 80)).save(whole)
    with pytest.raises(Unsupported), opened(whole):
        pass
    cut = tmp_path / "cut.tif"
    cut.write_bytes(whole.read_bytes()[:-20])
    broken = cut.read_bytes()[:4] + (2**31 - 1).to_bytes(4, "little") + cut.read_bytes()[8:]
    cut.write_bytes(broken)
    with pytest.raises(Malformed), opened(cut):
        pass


def test_levels_of_another_shape(tmp_path: Path) -> None:
    """A file whose second level is no smaller picture of the first is left to others."""
    path = tmp_path / "label.tif"
    write_tiff(path, noise(Size(600, 600), Size(300, 100)))
    with pytest.raises(Unsupported, match="shape"), opened(path):
        pass


def test_read_after_close() -> None:
    """A closed reader says so."""
    with opened(APERIO) as reader:
        pass
    with pytest.raises(DecodeError, match="closed"):
        pixels_of(reader, reader.window(0, Rect(0, 0, 1, 1)), [])
