"""The laws of plans: bands split the crop, pieces split bands, and memory is kept to or refused."""

from __future__ import annotations

import tracemalloc
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any, Final, Literal

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from sidecar.errors import TooLarge
from sidecar.iiif.geometry import Geometry, Orientation
from sidecar.limits.admission import Admission
from sidecar.limits.threads import NativePool
from sidecar.plugin import EXACT, ByteRange, Frame, Grid, ImageInfo, Level, Pixels, Rect, Size, Tolerance, Window
from sidecar.render.client import Client
from sidecar.render.decoder_choice import DecoderChoice
from sidecar.render.level import choose_level, project
from sidecar.render.plan import Plan, PlanLimits, make_plan
from sidecar.render.reader_cache import ReaderCache
from sidecar.render.renderer import Renderer
from sidecar.render.tiling import BandBudget, split
from sidecar.testing.fakes import GradientDecoder, MemoryBlob, RawEncoder, RawEncoderFactory, gradient

MEANS: Final = PlanLimits(cores=2, request_memory=16 << 20, memory=1 << 40, filter="bicubic", background=(0, 0, 0))
UPRIGHT: Final = Orientation()

orientations = st.builds(Orientation, mirror=st.booleans(), quarter_turns=st.integers(0, 3))
sides = st.integers(1, 40_000)


@st.composite
def images(draw: st.DrawFn) -> ImageInfo:
    """Images tiled and untiled, with levels by halves or by fours."""
    size = Size(draw(sides), draw(sides))
    step = draw(st.sampled_from([2, 4]))
    tile = draw(st.one_of(st.none(), st.tuples(st.integers(64, 5000), st.integers(64, 5000))))
    origin = draw(st.integers(-100, 0)), draw(st.integers(-100, 0))
    levels = []
    for index in range(draw(st.integers(1, 5))):
        scale = float(step**index)
        grid = (
            Grid(x=origin[0] / scale, y=origin[1] / scale, width=tile[0] / scale, height=tile[1] / scale)
            if tile
            else None
        )
        own = Size(max(1, -(-size.width // step**index)), max(1, -(-size.height // step**index)))
        levels.append(Level(size=own, downsample=scale, grid=grid, fixed_bytes=draw(st.integers(0, 10**7))))
    return ImageInfo(size=size, channels=draw(st.integers(1, 4)), levels=tuple(levels))


@st.composite
def geometries(draw: st.DrawFn, info: ImageInfo) -> Geometry:
    """Any region of an image, at any size up to its own."""
    x, y = draw(st.integers(0, info.size.width - 1)), draw(st.integers(0, info.size.height - 1))
    region = Rect(x, y, draw(st.integers(1, info.size.width - x)), draw(st.integers(1, info.size.height - y)))
    size = Size(draw(st.integers(1, region.width)), draw(st.integers(1, region.height)))
    return Geometry(region, size, draw(orientations))


@given(data=st.data(), info=images())
def test_bands_part_the_crop_in_the_order_of_the_answer(data: st.DataObject, info: ImageInfo) -> None:
    """Oriented and stacked, bands are the crop: each begins where the one before ends, across its whole breadth."""
    asked = data.draw(geometries(info))
    made = make_plan(asked, "default", info, RawEncoderFactory(), MEANS)
    across = asked.orientation.quarter_turns % 2 == 1
    bands = sorted((band.region for band in made.bands), key=lambda region: (region.x, region.y))
    assert tuple(bands) in {
        tuple(band.region for band in made.bands),
        tuple(reversed([band.region for band in made.bands])),
    }
    position = (made.crop.x, made.crop.y)
    for region in bands:
        assert (region.x, region.y) == position
        assert (region.height if across else region.width) == (made.crop.height if across else made.crop.width)
        position = (region.right, region.y) if across else (region.x, region.bottom)
    assert position == ((made.crop.right, made.crop.y) if across else (made.crop.x, made.crop.bottom))


@given(data=st.data(), info=images())
def test_pieces_part_their_band(data: st.DataObject, info: ImageInfo) -> None:
    """Pieces lie within their band, do not overlap, and leave nothing out."""
    asked = data.draw(geometries(info))
    for band in make_plan(asked, "default", info, RawEncoderFactory(), MEANS).bands:
        assert sum(piece.size.area for piece in band.pieces) == band.region.size.area
        for piece in band.pieces:
            assert band.region.x <= piece.x < piece.right <= band.region.right
            assert band.region.y <= piece.y < piece.bottom <= band.region.bottom
        assert len(set(band.pieces)) == len(band.pieces)
        tops = {(piece.y, piece.height) for piece in band.pieces}
        lefts = {(piece.x, piece.width) for piece in band.pieces}
        assert min(len(tops), len(lefts)) == 1


@given(data=st.data(), info=images())
def test_level_has_every_pixel_wanted(data: st.DataObject, info: ImageInfo) -> None:
    """The crop lies within the level, and is at most one pixel short of what is wanted."""
    asked = data.draw(geometries(info))
    level = info.levels[choose_level(info, asked.region, asked.size)]
    crop = project(asked.region, level)
    assert 0 <= crop.x < crop.right <= level.size.width
    assert 0 <= crop.y < crop.bottom <= level.size.height
    if level is not info.levels[0]:
        assert crop.width + 1 >= asked.size.width
        assert crop.height + 1 >= asked.size.height


@given(data=st.data(), info=images(), at=st.integers(1, 39_999))
def test_neighbouring_regions_meet(data: st.DataObject, info: ImageInfo, at: int) -> None:
    """Projected onto a level, two halves of an image meet, wherever it is cut."""
    assume(at < info.size.width)
    level = data.draw(st.sampled_from(info.levels))
    left = project(Rect(0, 0, at, info.size.height), level)
    right = project(Rect(at, 0, info.size.width - at, info.size.height), level)
    assert right.x <= left.right
    assert right.right == level.size.width


@given(data=st.data(), info=images(), memory=st.integers(1 << 20, 1 << 28))
def test_memory_is_kept_to_or_refused(data: st.DataObject, info: ImageInfo, memory: int) -> None:
    """No plan promises more than it may take; HEAD and GET learn of that before any work."""
    asked = data.draw(geometries(info))
    try:
        made = make_plan(asked, "default", info, RawEncoderFactory(), replace(MEANS, memory=memory))
    except TooLarge:
        unlimited = make_plan(asked, "default", info, RawEncoderFactory(), MEANS)
        assert unlimited.peak_bytes > memory
    else:
        assert 0 < made.peak_bytes <= memory


@given(info=images(), width=sides, height=sides, more=st.integers(0, 5000))
def test_peak_grows_with_the_region_where_nothing_is_parted(
    info: ImageInfo, width: int, height: int, more: int
) -> None:
    """Of two regions decoded in one go, the larger takes no less memory."""
    level = info.levels[0]
    small = Rect(0, 0, min(width, level.size.width), min(height, level.size.height))
    large = Rect(0, 0, min(small.width + more, level.size.width), min(small.height + more, level.size.height))
    plans = [
        make_plan(Geometry(region, region.size), "default", info, RawEncoderFactory(), MEANS)
        for region in (small, large)
    ]
    assume(all(len(made.bands) == len(made.bands[0].pieces) == 1 for made in plans))
    assert plans[0].peak_bytes <= plans[1].peak_bytes


@given(info=images(), more=st.integers(0, 1 << 28))
def test_more_memory_never_makes_more_bands(info: ImageInfo, more: int) -> None:
    """A request that may take more memory is parted into as many bands or fewer."""
    whole = Rect(0, 0, info.size.width, info.size.height)
    richer = replace(MEANS, request_memory=MEANS.request_memory + more)
    few, many = (
        len(
            split(
                info.levels[0],
                whole,
                UPRIGHT,
                BandBudget(means.request_memory, info.channels, means.lookahead.held, means.cores),
            )
        )
        for means in (richer, MEANS)
    )
    # A leading band of a quarter of a tile comes or goes with the height of the first.
    assert few <= many + 1


@pytest.mark.parametrize("memory", [1 << 20, 64 << 20, 1 << 40])
def test_whole_pieces_are_decoded_once(memory: int) -> None:
    """If any part of a piece costs as much as all of it, bands end where pieces end, even if memory is short."""
    size = Size(2000, 3000)
    budget = BandBudget(memory, channels=3, bands=4, pieces=2)
    untiled = Level(
        size=size, downsample=1, grid=Grid(width=2000, height=3000), fixed_bytes=12 * size.area, pixel_bytes=0
    )
    assert len(split(untiled, Rect(0, 0, 2000, 3000), UPRIGHT, budget)) == 1
    tiled = replace(untiled, grid=Grid(width=1000, height=1000), fixed_bytes=24 * 1000 * 1000)
    bands = split(tiled, Rect(0, 0, 2000, 3000), UPRIGHT, budget)
    assert [(band.region.y, len(band.pieces)) for band in bands] == [(0, 2), (1000, 2), (2000, 2)]


POOL: Final = NativePool(2)


@dataclass
class Photograph:
    """A decoder and its reader: pixels at hand, which are copied to where they are wanted and take no other memory.

    Beside the bytes that it reads first, so many to a pixel.
    """

    pixels: Pixels
    grid: Grid | None
    coded: int = 0
    name: str = "photograph"
    suffixes: frozenset[str] = frozenset({"photograph"})
    thread_safe: Literal[True] = True

    @property
    def info(self) -> ImageInfo:
        """One level."""
        height, width, channels = self.pixels.shape
        level = Level(
            size=Size(width, height), downsample=1.0, grid=self.grid, pixel_bytes=0.0, coded_bytes=float(self.coded)
        )
        return ImageInfo(size=level.size, channels=channels, levels=(level,))

    def recognizes(self, _head: bytes) -> bool:
        return False

    def open(self, _blob: object) -> Any:
        """Itself."""
        return self

    def window(self, level: int, region: Rect) -> Window:
        """As many bytes as the region takes, others than for any other region: those would be read once for both."""
        start = region.y * self.pixels.shape[1] + region.x
        ranges = (ByteRange(start, start + region.size.area * self.coded),) if self.coded else ()
        return Window(level=level, region=region, ranges=ranges)

    def read(self, window: Window, _data: object, into: Pixels) -> None:
        """Copy the region."""
        region = window.region
        into[:] = self.pixels[region.y : region.bottom, region.x : region.right]

    def close(self) -> None:
        """Nothing."""


class Counted(RawEncoderFactory):
    """Its encoders give the number of bytes instead of the bytes."""

    def start(self, frame: Frame) -> RawEncoder:
        """Begin a picture."""

        class Counts(RawEncoder):
            def write(self, strip: Pixels) -> bytes:
                return b"%d " % strip.nbytes

        return Counts(frame)


def carry_out(reader: Photograph, ask: Geometry, quality: str, factory: RawEncoderFactory) -> tuple[Plan, int]:
    """A plan, and the most bytes of arrays and buffers held at once while it is carried out."""
    line = Renderer(ReaderCache(DecoderChoice([reader]), 1), Admission(1 << 40, 1, 1), POOL, POOL)
    made = make_plan(ask, quality, reader.info, factory, MEANS)
    blob = MemoryBlob("x.photograph", bytes(reader.coded * (1 << 22)))
    peak = 0
    for _ in range(2):  # the first time loads what is loaded once
        tracemalloc.start()
        body = line.start(made, blob, factory, Client())
        assert sum(int(size) for chunk in body for size in chunk.split()) == made.frame.size.area * made.frame.channels
        body.close()
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    return made, peak


PEAKS: Final = {
    "as it is": (3, Size(3000, 6000), "default", UPRIGHT, True),
    "turned": (3, Size(3000, 6000), "default", Orientation(quarter_turns=1), True),
    "a bit smaller": (3, Size(2500, 5000), "default", UPRIGHT, True),
    "much smaller": (3, Size(100, 200), "default", UPRIGHT, True),
    "grey": (3, Size(3000, 6000), "gray", UPRIGHT, True),
    "bitonal": (3, Size(3000, 6000), "bitonal", UPRIGHT, True),
    "alpha onto background": (4, Size(3000, 6000), "default", UPRIGHT, False),
}


@pytest.mark.parametrize("case", PEAKS)
def test_peak_is_what_is_really_held(case: str) -> None:
    """Bands, strips and what is made on the way between them stay within a tenth of the memory that was promised."""
    channels, size, quality, orientation, alpha = PEAKS[case]
    pixels = np.random.default_rng(0).integers(0, 256, (6000, 3000, channels), np.uint8)
    factory = Counted(64)
    factory.alpha = alpha
    asked = Geometry(Rect(0, 0, 3000, 6000), size, orientation)
    made, peak = carry_out(Photograph(pixels, Grid(width=500, height=500)), asked, quality, factory)
    assert len(made.bands) > 4
    assert peak <= 1.1 * made.peak_bytes + (1 << 20), f"{peak / made.peak_bytes:.2f} times"


def test_a_single_band_is_held_once() -> None:
    """A picture of one band takes that array and little else, and no more than that is promised."""
    pixels = np.random.default_rng(0).integers(0, 256, (1000, 1000, 3), np.uint8)
    asked = Geometry(Rect(0, 0, 1000, 1000), Size(1000, 1000), UPRIGHT)
    made, peak = carry_out(Photograph(pixels, Grid(width=500, height=500)), asked, "default", Counted(64))
    assert len(made.bands) == 1
    assert pixels.nbytes < peak <= made.peak_bytes < 1.5 * peak


def test_what_is_fetched_ahead_is_counted() -> None:
    """The bytes of the bands that are not decoded yet are part of the peak, and the plan knows about how many."""
    pixels = np.zeros((6000, 3000, 1), np.uint8)
    asked = Geometry(Rect(0, 0, 3000, 6000), Size(3000, 6000), UPRIGHT)
    made, peak = carry_out(Photograph(pixels, Grid(width=500, height=500), coded=20), asked, "default", Counted(64))
    assert 0.5 * made.peak_bytes < peak <= 1.1 * made.peak_bytes, f"{peak / made.peak_bytes:.2f} times"


def test_one_thread_at_a_time_unless_the_reader_supports_more() -> None:
    """No two windows of a reader that is no SupportsThreads are read at once, in one band or in two."""
    under_way, most = 0, 0

    class Counting(GradientDecoder):
        def open(self, blob: Any) -> Any:
            reader = super().open(blob)
            read = reader.read

            def counted(*args: Any) -> Any:
                nonlocal under_way, most
                under_way += 1
                most = max(most, under_way)
                try:
                    return read(*args)
                finally:
                    under_way -= 1

            return SimpleNamespace(info=reader.info, window=reader.window, read=counted, close=reader.close)

    blob = MemoryBlob("x.gradient", gradient(3000, 3000, levels=1, tile=500))
    readers = ReaderCache(DecoderChoice([Counting()]), 1)
    line = Renderer(readers, Admission(1 << 40, 1, 1), POOL, POOL)
    whole = Rect(0, 0, 3000, 3000)
    made = make_plan(Geometry(whole, whole.size), "default", readers.info(blob), RawEncoderFactory(64), MEANS)
    body = line.start(made, blob, RawEncoderFactory(64), Client())
    size = sum(map(len, body))
    body.close()
    assert size > 3000 * 3000 * 3
    assert most == 1


@pytest.mark.parametrize("side, large", [(2048, False), (4096, True)])
def test_what_is_enlarged_into_many_pixels_is_large(side: int, *, large: bool) -> None:
    """A small window that becomes a large picture is made in the background, and sent while it is made."""
    size = Size(100, 100)
    info = ImageInfo(size=size, channels=3, levels=(Level(size=size, downsample=1.0, grid=None),))
    geometry = Geometry(Rect(0, 0, 100, 100), Size(side, side), UPRIGHT)
    assert make_plan(geometry, "default", info, RawEncoderFactory(), MEANS).large is large


class Hiding(RawEncoderFactory):
    """Hides errors."""

    tolerance = Tolerance(70, "4:2:0")


@pytest.mark.parametrize(
    "channels, size, quality, srgb, expected",
    [
        (3, Size(64, 64), "default", False, Hiding.tolerance),
        (3, Size(50, 50), "color", False, Hiding.tolerance),
        (4, Size(64, 64), "default", False, Hiding.tolerance),
        (1, Size(64, 64), "default", False, Tolerance(70, "gray")),
        (3, Size(64, 64), "gray", False, EXACT),
        (3, Size(64, 64), "bitonal", False, EXACT),
        (3, Size(90, 64), "default", False, EXACT),
        (3, Size(64, 64), "default", True, EXACT),
    ],
)
def test_what_hides_errors(*, channels: int, size: Size, quality: str, srgb: bool, expected: Tolerance) -> None:
    """Pixels that come to a lossy encoder as they are or scaled down need not be exact; all others are."""
    whole = Size(128, 128)
    level = Level(size=whole, downsample=1.0, grid=None)
    info = ImageInfo(size=whole, channels=channels, levels=(level,), icc=b"profile" if srgb else None)
    asked = Geometry(Rect(0, 0, 64, 64), size)
    made = make_plan(asked, quality, info, Hiding(), replace(MEANS, srgb=srgb))
    assert made.tolerance == expected
    assert make_plan(asked, quality, info, RawEncoderFactory(), MEANS).tolerance == EXACT
