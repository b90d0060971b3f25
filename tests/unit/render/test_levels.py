"""Levels: what a region shows is what it holds, whatever surrounds it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from math import ceil
from pathlib import Path
from tempfile import mkdtemp
from typing import Final

import numpy as np
import openslide
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sidecar_jp2.decoder import Jp2Decoder
from sidecar_jp2.openjpeg.codec import OpenJpeg
from sidecar_jp2.openjpeg.library import bind
from sidecar_jp2.testing import compress
from sidecar_openslide import OpenSlideDecoder
from sidecar_openslide.library import load
from sidecar_openslide.sample import pyramid, write_tiff

from sidecar.iiif.geometry import Geometry
from sidecar.limits.admission import Admission
from sidecar.limits.threads import NativePool
from sidecar.plugin import Decoder, ImageInfo, Level, Pixels, Rect, Size, run_inline
from sidecar.render.client import Client
from sidecar.render.decoder_choice import DecoderChoice
from sidecar.render.level import choose_level
from sidecar.render.plan import PlanLimits, make_plan
from sidecar.render.reader_cache import ReaderCache
from sidecar.render.renderer import Renderer
from sidecar.testing.fakes import MemoryBlob, RawEncoderFactory, on_disk, unraw

LIMITS: Final = PlanLimits(cores=2, request_memory=16 << 20, memory=1 << 30, filter="bicubic", background=(0, 0, 0))
POOL: Final = NativePool(2)
SIDE: Final = 1024
COLOURS: Final = ((0, 0, 0), (255, 255, 255), (255, 0, 0), (0, 0, 255))


@dataclass(frozen=True)
class Image:
    """A file, what opens it, and its pixels as the library itself decodes the whole."""

    renderer: Renderer
    blob: MemoryBlob
    plain: Pixels

    def shown(self, region: Rect, size: Size) -> Pixels:
        """Return what a request is answered with."""
        factory = RawEncoderFactory()
        plan = make_plan(Geometry(region, size), "default", self.renderer.readers.info(self.blob), factory, LIMITS)
        body = self.renderer.start(plan, self.blob, factory, Client())
        try:
            return unraw(b"".join(body))
        finally:
            body.close()


def quarters() -> Pixels:
    """Return a picture of four flat quarters: black and white above, red and blue below."""
    pixels = np.empty((SIDE, SIDE, 3), np.uint8)
    for index, colour in enumerate(COLOURS):
        y, x = (SIDE // 2 * part for part in divmod(index, 2))
        pixels[y : y + SIDE // 2, x : x + SIDE // 2] = colour
    return pixels


def noise() -> Pixels:
    """Return a picture of which every pixel differs from its neighbours."""
    return np.random.default_rng(3).integers(0, 256, (SIDE, SIDE, 3), np.uint8)


def opened(decoder: Decoder, blob: MemoryBlob, plain: Pixels) -> Image:
    """Return an image behind a renderer of its own."""
    return Image(Renderer(ReaderCache(DecoderChoice([decoder]), 1), Admission(1 << 30, 4, 5), POOL, POOL), blob, plain)


def jp2(pixels: Pixels, *options: str) -> Image:
    """Return a JPEG 2000 image of eight resolutions, lossless: its plain decode is what it was made from."""
    content = compress(
        [pixels[..., index].astype(np.uint16) for index in range(3)], (SIDE, SIDE), ((1, 1),) * 3, "-n", "8", *options
    )
    return opened(Jp2Decoder(OpenJpeg(bind())), MemoryBlob("made.j2k", content), pixels)


def slide(pixels: Pixels) -> Image:
    """Return a slide with levels at 1:4 and 1:16, lossless."""
    path = Path(mkdtemp()) / "made.tif"
    write_tiff(
        path, pyramid(pixels, [Size(SIDE // 4, SIDE // 4), Size(SIDE // 16, SIDE // 16)]), compression="adobe_deflate"
    )
    with openslide.OpenSlide(path) as whole:
        plain = np.asarray(whole.read_region((0, 0), 0, (SIDE, SIDE)).convert("RGB"))
    return opened(OpenSlideDecoder(load(1 << 22), ["tif"], run_inline), on_disk(path), plain)


MADE: Final[dict[str, Callable[[Pixels], Image]]] = {
    "untiled": jp2,
    "tiles": lambda pixels: jp2(pixels, "-t", "160,144"),
    "slide": slide,
}


@cache
def image(kind: str, picture: Callable[[], Pixels]) -> Image:
    """Return an image, made once."""
    return MADE[kind](picture())


spans = st.integers(1, SIDE // 2).flatmap(
    lambda length: st.tuples(st.integers(0, SIDE // 2 - length), st.just(length), st.integers(1, length))
)
"""Within a quarter: where it begins, its length, and the length it is scaled to."""
kinds = st.sampled_from(sorted(MADE))
FEW: Final = 128 * 128
MARGIN: Final = 16
"""Pixels that the levels which are read of these images hold of their neighbours, at most."""


@pytest.mark.parametrize("kind", MADE)
@pytest.mark.parametrize("region", [(10, 10, 1, 1), (10, 10, 8, 8), (384, 384, 128, 128), (511, 511, 1, 1)])
def test_a_region_smaller_than_a_pixel_of_a_level_is_not_its_surroundings(
    kind: str, region: tuple[int, int, int, int]
) -> None:
    """A region of one colour, scaled to a single pixel, has that colour in each quarter."""
    x, y, width, height = region
    for index, colour in enumerate(COLOURS):
        down, across = (SIDE // 2 * part for part in divmod(index, 2))
        shown = image(kind, quarters).shown(Rect(x + across, y + down, width, height), Size(1, 1))
        assert shown.tolist() == [[list(colour)]]


@settings(max_examples=300)
@given(kind=kinds, quarter=st.integers(0, 3), across=spans, down=spans)
def test_a_flat_region_scales_to_its_colour(
    kind: str, quarter: int, across: tuple[int, int, int], down: tuple[int, int, int]
) -> None:
    """Whatever lies beside a small region; of a large one, beyond what its level's filters reach."""
    (x, width, columns), (y, height, rows) = across, down
    if width * height > FEW:
        x, y = (max(MARGIN, min(at, SIDE // 2 - MARGIN - length)) for at, length in ((x, width), (y, height)))
        width, height = (min(length, SIDE // 2 - 2 * MARGIN) for length in (width, height))
    top, left = (SIDE // 2 * part for part in divmod(quarter, 2))
    shown = image(kind, quarters).shown(
        Rect(left + x, top + y, width, height), Size(min(columns, width), min(rows, height))
    )
    assert np.array_equal(shown, np.broadcast_to(np.array(COLOURS[quarter], np.uint8), shown.shape))


@settings(max_examples=200)
@given(
    kind=kinds,
    x=st.integers(0, SIDE - 1),
    y=st.integers(0, SIDE - 1),
    size=st.tuples(st.integers(1, 200), st.integers(1, 200)),
)
def test_a_region_at_its_own_size_is_the_crop_of_the_plain_decode(
    kind: str, x: int, y: int, size: tuple[int, int]
) -> None:
    """Down to a single pixel, every sample is that of the whole image as the library decodes it."""
    region = Rect(x, y, min(size[0], SIDE - x), min(size[1], SIDE - y))
    made = image(kind, noise)
    assert np.array_equal(made.shown(region, region.size), made.plain[y : region.bottom, x : region.right])


def pyramids(image_size: Size, downsamples: Sequence[float], *, up: bool) -> ImageInfo:
    """Return an image whose levels are rounded up, as those of JPEG 2000, or down, as those of slides."""
    levels = []
    for each in downsamples:
        width, height = image_size.width / each, image_size.height / each
        whole = Size(ceil(width), ceil(height)) if up else Size(int(width + 1e-9), int(height + 1e-9))
        levels.append(Level(size=whole, downsample=each, grid=None))
    return ImageInfo(size=image_size, channels=3, levels=tuple(levels))


@given(data=st.data(), up=st.booleans(), step=st.sampled_from([1.004, 2.0, 4.0, 4.0013]))
def test_pixels_of_the_level_are_as_small_as_those_wanted(data: st.DataObject, up: bool, step: float) -> None:  # noqa: FBT001 - a value that is drawn
    """But for one in each direction, which large regions may lack; a region at its own size is of the finest level."""
    width, height = (data.draw(st.integers(100, 30_000)) for _ in range(2))
    info = pyramids(Size(width, height), [step**index for index in range(4)], up=up)
    x, y = data.draw(st.integers(0, width - 1)), data.draw(st.integers(0, height - 1))
    region = Rect(x, y, data.draw(st.integers(1, width - x)), data.draw(st.integers(1, height - y)))
    size = Size(data.draw(st.integers(1, region.width)), data.draw(st.integers(1, region.height)))
    index = choose_level(info, region, size)
    assert index == 0 or size != region.size
    if index:
        assert region.width / info.levels[index].downsample + 1 >= size.width
        assert region.height / info.levels[index].downsample + 1 >= size.height
        assert region.size == info.size or region.size.area / info.levels[index].downsample ** 2 > 64 * 64 / 2


@pytest.mark.parametrize("tile", [Rect(0, 0, 2048, 2048), Rect(2048, 2048, 2048, 2048), Rect(10240, 8192, 1761, 808)])
def test_a_missing_pixel_forces_no_finer_level(tile: Rect) -> None:
    """Of a slide whose levels are rounded down, tiles at 1:4 are read at 1:4, those at its edges too."""
    info = pyramids(Size(12001, 9003), [1.0, 12001 / 3000, 12001 / 750], up=False)
    assert choose_level(info, tile, Size(-(-tile.width // 4), -(-tile.height // 4))) == 1


@pytest.mark.parametrize("tile", [Rect(0, 0, 1024, 1024), Rect(1024, 0, 511, 1024), Rect(1024, 1024, 511, 201)])
def test_the_edge_of_an_image_forces_no_finer_level(tile: Rect) -> None:
    """The last pixel of a JPEG 2000 level counts whole: an edge tile is read at the level of the others."""
    info = pyramids(Size(1535, 1225), [1.0, 2.0, 4.0], up=True)
    assert choose_level(info, tile, Size(-(-tile.width // 2), -(-tile.height // 2))) == 1
