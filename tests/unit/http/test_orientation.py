"""The law of orientation: an image that metadata turns is answered as one whose pixels were turned beforehand."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias, get_args

import falcon.testing
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from sidecar.config import Settings
from sidecar.limits.threads import NativePool
from sidecar.plugin import Blob, Buffer, Config, Grid, ImageInfo, Level, Pixels, Rect, Size, Window
from sidecar.registry import Registry
from sidecar.server.application import create_app
from sidecar.testing.fakes import MemoryBlob, MemorySource, RawEncoderFactory, unraw

WIDTH, HEIGHT, COARSEST = 96, 64, 4
"""A multiple of the coarsest level's pixel, so that levels can be turned as the image is."""
VALUES: Final = range(1, 9)
Ask: TypeAlias = Callable[[str], falcon.testing.Result]
Serve: TypeAlias = Callable[[Settings], Ask]
Setting: TypeAlias = Literal["rotations", "all", "stored"]


@dataclass
class Arrays:
    """A reader of levels at hand, an ImageReader."""

    levels: Sequence[Pixels]
    tile: Size
    exif: int
    thread_safe: Literal[True] = True
    info: ImageInfo = field(init=False)

    def __post_init__(self) -> None:
        """Describe the levels, each half as large as the one before."""
        described = tuple(
            Level(
                size=Size(level.shape[1], level.shape[0]),
                downsample=float(2**index),
                grid=Grid(width=self.tile.width / 2**index, height=self.tile.height / 2**index),
            )
            for index, level in enumerate(self.levels)
        )
        self.info = ImageInfo(
            size=described[0].size, channels=3, levels=described, tile=self.tile, orientation=self.exif
        )

    def window(self, level: int, region: Rect) -> Window:
        """Take no bytes."""
        return Window(level=level, region=region)

    def read(self, window: Window, data: Sequence[Buffer], into: Pixels) -> None:
        """Copy the region."""
        del data
        region = window.region
        into[:] = self.levels[window.level][region.y : region.bottom, region.x : region.right]

    def close(self) -> None:
        """Do nothing."""


@dataclass(frozen=True)
class ArrayDecoder:
    """Opens prepared readers by the names of their blobs."""

    readers: Mapping[str, Arrays]
    name: str = "arrays"
    suffixes: frozenset[str] = frozenset({"arrays"})

    def recognizes(self, head: bytes) -> bool:
        """Recognize nothing."""
        del head
        return False

    def open(self, blob: Blob) -> Arrays:
        """Return the reader of that name."""
        return self.readers[blob.name]


def upright(pixels: Pixels, exif: int) -> Pixels:
    """What Pillow shows of pixels with an EXIF orientation."""
    picture = Image.fromarray(pixels)
    picture.getexif()[274] = exif
    return np.asarray(ImageOps.exif_transpose(picture))


def readers() -> Iterator[tuple[str, Arrays]]:
    """Each image twice, of one level and of three: turned by its metadata, and with pixels that were turned."""
    noise = np.random.default_rng(1)
    levels = [noise.integers(0, 256, (HEIGHT >> r, WIDTH >> r, 3), np.uint8) for r in range(3)]
    for exif in VALUES:
        across = exif > 4  # these exchange width and height
        for name, some in (("one", levels[:1]), ("three", levels)):
            tile = Size(32, 16)
            yield f"{name}-{exif}-stated.arrays", Arrays(some, tile, exif)
            turned = [upright(level, exif) for level in some]
            yield f"{name}-{exif}-turned.arrays", Arrays(turned, tile.turned if across else tile, 1)


READERS: Final = dict(readers())


@pytest.fixture(scope="module")
def serve() -> Iterator[Serve]:
    """Make something that asks an application of some settings."""
    native = NativePool(2)
    blobs = {name: MemoryBlob(name, name.encode()) for name in READERS}

    def make(chosen: Settings) -> Ask:
        registry = Registry([MemorySource(blobs)], [ArrayDecoder(READERS)], {"raw": RawEncoderFactory()})
        app = create_app(Config.of(chosen), registry, native)
        return lambda path: falcon.testing.simulate_request(app, "GET", "/", extras={"RAW_URI": path})

    yield make
    native.close()


@pytest.fixture(scope="module")
def ask(serve: Serve) -> Ask:
    """Ask an application that heeds all eight values."""
    return serve(Settings(orientation="all", max_scale=0, min_size=8, min_tile_size=24))


side = st.integers(1, 110)
regions = st.one_of(
    st.sampled_from(["full", "square"]),
    st.builds("{},{},{},{}".format, st.integers(0, 99), st.integers(0, 99), side, side),
    st.builds("pct:{},{},{},{}".format, st.integers(0, 99), st.integers(0, 99), side, side),
)
sizes = st.one_of(
    st.sampled_from(["max", "^max"]),
    st.builds("^{},".format, side),
    st.builds("^,{}".format, side),
    st.builds("^{},{}".format, side, side),
    st.builds("^!{},{}".format, side, side),
    st.builds("pct:{}".format, st.integers(1, 100)),
)
rotations = st.builds("{}{}".format, st.sampled_from(["", "!"]), st.sampled_from([0, 90, 180, 270]))
qualities = st.sampled_from(["default", "gray", "bitonal"])


@settings(max_examples=400)
@given(exif=st.sampled_from(VALUES), region=regions, size=sizes, rotation=rotations, quality=qualities)
def test_turned_by_metadata_is_turned_beforehand(
    ask: Ask, exif: int, region: str, size: str, rotation: str, quality: str
) -> None:
    """Whatever is requested, status, canonical link and every pixel are those of the file that was turned before."""
    stated, turned = (
        ask(f"/iiif/3/one-{exif}-{kind}.arrays/{region}/{size}/{rotation}/{quality}.raw")
        for kind in ("stated", "turned")
    )
    assert stated.status_code == turned.status_code
    assert stated.headers.get("link", "") == turned.headers.get("link", "").replace("turned", "stated")
    assert stated.content == turned.content


@settings(max_examples=200)
@given(st.data(), st.sampled_from(VALUES), st.sampled_from([1, 2, 4]), rotations)
def test_levels_are_chosen_and_cut_alike(ask: Ask, data: st.DataObject, exif: int, reduced: int, rotation: str) -> None:
    """Regions on the pixels of the coarsest level are read from the same level, and the same part of it."""
    across = exif > 4  # these exchange width and height
    width, height = (HEIGHT, WIDTH) if across else (WIDTH, HEIGHT)
    left, right = sorted(data.draw(st.sets(st.integers(0, width // COARSEST), min_size=2, max_size=2)))
    top, bottom = sorted(data.draw(st.sets(st.integers(0, height // COARSEST), min_size=2, max_size=2)))
    region = ",".join(str(edge * COARSEST) for edge in (left, top, right - left, bottom - top))
    size = f"{(right - left) * COARSEST // reduced},{(bottom - top) * COARSEST // reduced}"
    stated, turned = (
        unraw(ask(f"/iiif/3/three-{exif}-{kind}.arrays/{region}/{size}/{rotation}/default.raw").content)
        for kind in ("stated", "turned")
    )
    assert np.array_equal(stated, turned)


@pytest.mark.parametrize("exif", VALUES)
@pytest.mark.parametrize("version", [2, 3])
def test_info_is_of_the_shown_image(ask: Ask, exif: int, version: int) -> None:
    """Width, height, sizes and tiles are those of the file that was turned before."""
    stated, turned = (
        ask(f"/iiif/{version}/three-{exif}-{kind}.arrays/info.json").text for kind in ("stated", "turned")
    )
    assert stated == turned.replace("turned", "stated")


@pytest.mark.parametrize(
    "setting,heeded", [("rotations", {3, 6, 8}), ("all", {2, 3, 4, 5, 6, 7, 8}), ("stored", set[int]())]
)
def test_values_that_are_not_heeded_are_shown_as_stored(
    serve: Serve,
    setting: Setting,
    heeded: set[int],
) -> None:
    """The setting decides which values turn an image; as Cantaloupe 5, mirrored ones are as stored by default."""
    ask = serve(Settings(orientation=setting))
    stored = READERS["three-1-stated.arrays"].levels[0]
    turned = {
        exif
        for exif in VALUES
        if not np.array_equal(unraw(ask(f"/iiif/3/three-{exif}-stated.arrays/full/max/0/default.raw").content), stored)
    }
    assert turned == heeded
    assert Settings().orientation == "rotations"


def test_the_setting_is_part_of_the_etag(
    serve: Serve,
) -> None:
    """Pictures that a client keeps are not taken for those of another setting."""
    tags = {
        serve(Settings(orientation=setting))("/iiif/3/one-5-stated.arrays/full/max/0/default.raw").headers["etag"]
        for setting in get_args(Setting)
    }
    assert len(tags) == 3
