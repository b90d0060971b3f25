"""The renderer: any split of the work gives the pixels of doing it in one go, and everything is released."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import gevent
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from sidecar.errors import TooLarge
from sidecar.iiif.geometry import Geometry, Orientation
from sidecar.limits.admission import Admission
from sidecar.limits.native_calls import Pending
from sidecar.limits.threads import NativePool
from sidecar.plugin import (
    Buffer,
    ByteRange,
    DecodeError,
    Frame,
    Grid,
    ImageInfo,
    Level,
    Pixels,
    Rect,
    Size,
    Unsupported,
    Window,
)
from sidecar.render.body import Body
from sidecar.render.client import Client
from sidecar.render.decoder_choice import DecoderChoice
from sidecar.render.plan import PlanLimits, make_plan
from sidecar.render.reader_cache import ReaderCache
from sidecar.render.renderer import Renderer
from sidecar.render.steps.resample import Resample
from sidecar.render.steps.step import Rows

POOL = NativePool(4)
MEANS = PlanLimits(cores=2, request_memory=1 << 20, memory=1 << 30, filter="bicubic", background=(255, 255, 255))


@dataclass(frozen=True)
class Name:
    """A blob that is a name only."""

    name: str = "picture.fake"
    size: int = 10
    etag: str = "v1"
    last_modified: datetime | None = None
    path: Path | None = None

    def read(self, ranges: Sequence[ByteRange]) -> Sequence[Buffer]:
        """As many bytes as asked for."""
        return [bytes(stop - start) for start, stop in ranges]


@dataclass
class Picture:
    """A reader whose levels are arrays at hand."""

    levels: Sequence[Pixels]
    grid: Grid | None
    thread_safe: Literal[True] = True
    fail: Callable[[Rect], bool] = field(default=lambda _: False)
    closed: int = 0
    reading: int = 0

    @property
    def info(self) -> ImageInfo:
        """Levels half the size each."""
        height, width, channels = self.levels[0].shape
        return ImageInfo(
            size=Size(width, height),
            channels=channels,
            levels=tuple(
                Level(
                    size=Size(level.shape[1], level.shape[0]),
                    downsample=2.0**r,
                    grid=self.grid
                    and Grid(
                        x=self.grid.x, y=self.grid.y, width=self.grid.width / 2**r, height=self.grid.height / 2**r
                    ),
                )
                for r, level in enumerate(self.levels)
            ),
        )

    def window(self, level: int, region: Rect) -> Window:
        """One byte for each window."""
        return Window(level=level, region=region, ranges=(ByteRange(0, 1),))

    def read(self, window: Window, data: Sequence[Buffer], into: Pixels) -> None:
        """Copy the region."""
        assert [len(part) for part in data] == [1]
        self.reading += 1
        try:
            region = window.region
            if self.fail(region):
                raise DecodeError("broken on purpose")
            into[:] = self.levels[window.level][region.y : region.bottom, region.x : region.right]
        finally:
            self.reading -= 1

    def close(self) -> None:
        """Nothing may be under way."""
        assert self.reading == 0
        self.closed += 1


@dataclass
class Fakes:
    """A decoder that hands out one prepared reader."""

    reader: Picture
    name: str = "fake"
    suffixes: frozenset[str] = frozenset({"fake"})

    def recognizes(self, head: bytes) -> bool:
        """Nothing: it has no format."""
        del head
        return False

    def open(self, _blob: object) -> Picture:
        """The prepared reader."""
        return self.reader


class Raw:
    """An encoder of nothing: the rows themselves."""

    format, media_type, alpha, settings = "raw", "image/x-raw", True, ""

    def __init__(self, rows: int = 16) -> None:
        self._rows = rows
        self.heights: list[int] = []

    def rows(self, frame: Frame) -> int:
        """As made."""
        del frame
        return self._rows

    def memory(self, frame: Frame) -> int:
        """A copy of a strip."""
        return self._rows * frame.size.width * frame.channels

    def start(self, frame: Frame) -> Raw:
        """Itself."""
        del frame
        return self

    def write(self, strip: Pixels) -> bytes:
        """The strip's bytes."""
        assert strip.flags.c_contiguous
        self.heights.append(len(strip))
        return strip.tobytes()

    def finish(self) -> bytes:
        """Nothing."""
        return b""


def pyramid(width: int, height: int, channels: int = 3, seed: int = 0) -> list[Pixels]:
    """Three levels of smooth noise; each is an array of its own, so that a wrong level shows."""
    rng = np.random.default_rng(seed)
    shapes = [(math.ceil(height / 2**r), math.ceil(width / 2**r), channels) for r in range(3)]
    return [rng.integers(0, 256, shape, np.uint8) for shape in shapes]


def pipeline(reader: Picture) -> Renderer:
    """A pipeline over one reader."""
    return Renderer(ReaderCache(DecoderChoice([Fakes(reader)]), 4), Admission(1 << 30, 4, 5), POOL, POOL)


def answer(reader: Picture, geometry: Geometry, quality: str = "default", factory: Raw | None = None) -> Pixels:
    """The whole answer as pixels; nothing may be left behind."""
    factory = factory or Raw()
    line = pipeline(reader)
    made = make_plan(geometry, quality, reader.info, factory, MEANS)
    body = line.start(made, Name(), factory, Client())
    data = b"".join(body)
    body.close()
    assert (line.admission.held, line.readers.leased) == (0, 0)
    size = made.frame.size
    return np.frombuffer(data, np.uint8).reshape(size.height, size.width, made.frame.channels)


def turned(pixels: Pixels, orientation: Orientation) -> Pixels:
    """What Pillow makes of an orientation: a mirror, then turns against its own direction."""
    picture = Image.fromarray(pixels.squeeze(2) if pixels.shape[2] == 1 else pixels)
    if orientation.mirror:
        picture = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    picture = picture.rotate(-90 * orientation.quarter_turns, expand=True)
    return np.asarray(picture).reshape(picture.height, picture.width, -1)


orientations = st.builds(Orientation, mirror=st.booleans(), quarter_turns=st.integers(0, 3))


@settings(max_examples=60, deadline=None)
@given(
    data=st.data(),
    orientation=orientations,
    tile=st.one_of(st.none(), st.tuples(st.integers(7, 90), st.integers(7, 90))),
    rows=st.sampled_from([1, 8, 16, 64]),
)
def test_parts_equal_the_whole(
    data: st.DataObject, orientation: Orientation, tile: tuple[int, int] | None, rows: int
) -> None:
    """Whatever tiles, bands, strips and orientation: a region at full size is that region, turned."""
    width, height = data.draw(st.integers(1, 300)), data.draw(st.integers(1, 300))
    x, y = data.draw(st.integers(0, width - 1)), data.draw(st.integers(0, height - 1))
    region = Rect(x, y, data.draw(st.integers(1, width - x)), data.draw(st.integers(1, height - y)))
    grid = Grid(x=-3.0, y=-2.0, width=float(tile[0]), height=float(tile[1])) if tile else None
    reader = Picture(pyramid(width, height)[:1], grid)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sidecar.render.tiling.SMALL", 500)
        patch.setattr("sidecar.render.tiling._PIECE", 800)
        got = answer(reader, Geometry(region, region.size, orientation), factory=Raw(rows))
    cut = reader.levels[0][region.y : region.bottom, region.x : region.right]
    assert np.array_equal(got, turned(cut, orientation))


@settings(max_examples=40, deadline=None)
@given(
    data=st.data(),
    orientation=orientations,
    name=st.sampled_from(["box", "triangle", "hermite", "mitchell", "bicubic", "lanczos3"]),
    channels=st.sampled_from([1, 3]),
)
def test_scaling_in_strips_equals_scaling_the_whole(
    data: st.DataObject, orientation: Orientation, name: str, channels: int
) -> None:
    """Scaled strip by strip, a response is exactly the whole region scaled at once and turned."""
    width, height = data.draw(st.integers(20, 200)), data.draw(st.integers(20, 200))
    size = Size(data.draw(st.integers(1, 2 * width)), data.draw(st.integers(1, 2 * height)))
    reader = Picture(pyramid(width, height, channels)[:1], Grid(width=32, height=32))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sidecar.render.tiling.SMALL", 500)
        patch.setattr("sidecar.render.tiling._PIECE", 800)
        made = make_plan(
            Geometry(Rect(0, 0, width, height), size, orientation),
            "default",
            reader.info,
            Raw(),
            replace(MEANS, filter=name),
        )
    factory = Raw()
    body = pipeline(reader).start(made, Name(), factory, Client())
    got = np.frombuffer(b"".join(body), np.uint8).reshape(made.frame.size.height, made.frame.size.width, channels)
    body.close()
    source = reader.levels[0]
    scaled = Resample(Size(width, height), size, name).apply(source, Rows(0, height), Rows(0, size.height))
    assert np.array_equal(got, turned(scaled if made.steps else source, orientation))


class Counted(NativePool):
    """Native threads that count their calls."""

    calls = 0

    def spawn_for(self, image: str, call: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Pending[Any]:
        """As the pool does."""
        self.calls += 1
        return super().spawn_for(image, call, *args, **kwargs)


@pytest.mark.parametrize("quality", ["default", "gray"])
def test_the_end_of_the_file_takes_no_native_call_of_its_own(quality: str) -> None:
    """Three strips are three native calls: the last one also ends the file, which is not skipped."""

    class Ended(Raw):
        def finish(self) -> bytes:
            return b"the end"

    reader = Picture(pyramid(20, 40), None)
    upright = Geometry(Rect(0, 0, 20, 40), Size(20, 40), Orientation())
    pool = Counted(2)
    line = replace(pipeline(reader), pool=pool, bulk=POOL)
    factory = Ended(16)
    made = make_plan(upright, quality, reader.info, factory, MEANS)
    with closing(line.start(made, Name(), factory, Client())) as body:
        assert b"".join(body).endswith(b"the end")
    decoded = sum(len(band.pieces) for band in made.bands)
    assert (pool.calls - (0 if made.large else decoded), factory.heights) == (3, [16, 16, 8])
    pool.close()


def test_level_just_above_the_size_is_read() -> None:
    """Half the size is read from the half-size level, as it is; a bit more than half from the full one."""
    reader = Picture(pyramid(201, 99), Grid(width=64, height=64))
    whole = Rect(0, 0, 201, 99)
    upright = Orientation(mirror=False, quarter_turns=0)
    got = answer(reader, Geometry(whole, Size(101, 50), upright))
    assert np.array_equal(got, reader.levels[1])
    made = make_plan(Geometry(whole, Size(110, 55), upright), "default", reader.info, Raw(), MEANS)
    assert made.level == 0


def test_gray_and_bitonal() -> None:
    """Grey has Cantaloupe's weights; bitonal is the first channel parted by Otsu's threshold over the whole picture."""
    reader = Picture(pyramid(50, 40)[:1], None)
    upright = Geometry(Rect(0, 0, 50, 40), Size(50, 40), Orientation(mirror=False, quarter_turns=0))
    source = reader.levels[0]
    luma = source[..., 0] * 0.21 + source[..., 1] * 0.71 + source[..., 2] * 0.07
    assert np.array_equal(answer(reader, upright, "gray")[..., 0], luma.astype(np.uint8))
    black_white = answer(reader, upright, "bitonal")[..., 0]
    red = source[..., 0]
    thresholds = {t for t in range(256) if np.array_equal(black_white == 255, red > t)}
    best = max(range(255), key=lambda t: between(red, t))
    assert best in thresholds


def between(gray: Pixels, threshold: int) -> float:
    """Otsu's between-class variance by its definition."""
    low, high = gray[gray <= threshold], gray[gray > threshold]
    if not low.size or not high.size:
        return 0.0
    return float(low.size * high.size * (low.mean() - high.mean()) ** 2)


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("quality", ["default", "gray", "bitonal"])
@pytest.mark.parametrize("size", [Size(50, 40), Size(23, 17)])
def test_optional_alpha_is_left_out(channels: int, quality: str, size: Size) -> None:
    """Scaled or not, the answer is that of the image without its alpha channel; other opacity stays."""
    reader = Picture(pyramid(50, 40, channels)[:1], Grid(width=16, height=16))
    colours = Picture([level[:, :, : channels - (channels in (2, 4))] for level in reader.levels], reader.grid)
    asked = Geometry(Rect(0, 0, 50, 40), size, Orientation(mirror=True, quarter_turns=1))
    for optional in (True, False):
        info = replace(reader.info, alpha_is_optional=optional)
        made = make_plan(asked, quality, info, Raw(), MEANS, opaque=True)
        assert made.frame.alpha == (channels in (2, 4) and quality != "bitonal" and not optional)
        if optional:
            body = pipeline(reader).start(made, Name(), Raw(), Client())
            shown = np.frombuffer(b"".join(body), np.uint8)
            body.close()
            assert np.array_equal(shown, answer(colours, asked, quality).ravel())


def test_alpha_is_shown_on_the_background_where_it_cannot_be_kept() -> None:
    """An encoder without alpha gets the pixels mixed with the background; one with alpha gets them as they are."""
    reader = Picture(pyramid(30, 20, 4)[:1], None)
    upright = Geometry(Rect(0, 0, 30, 20), Size(30, 20), Orientation(mirror=False, quarter_turns=0))
    assert np.array_equal(answer(reader, upright), reader.levels[0])
    opaque = Raw()
    opaque.alpha = False
    got = answer(reader, upright, factory=opaque)
    source = Image.fromarray(reader.levels[0])
    below = Image.new("RGBA", source.size, "white")
    expected = np.asarray(Image.alpha_composite(below, source).convert("RGB"))
    assert np.abs(got.astype(int) - expected).max() <= 1


def large(reader: Picture) -> tuple[Renderer, Callable[[], Body]]:
    """A pipeline and a way to start an answer of many bands."""
    line = pipeline(reader)
    size = reader.info.size
    whole = Geometry(Rect(0, 0, size.width, size.height), size, Orientation(mirror=False, quarter_turns=0))
    made = make_plan(whole, "default", reader.info, Raw(64), MEANS)
    assert len(made.bands) > 3
    return line, lambda: line.start(made, Name(), Raw(64), Client())


@pytest.fixture
def tall() -> Iterator[Picture]:
    """A picture of many tile rows."""
    reader = Picture(pyramid(1500, 4000)[:1], Grid(width=500, height=500))
    yield reader
    assert reader.reading == 0


@pytest.mark.parametrize("turns", range(4))
@pytest.mark.parametrize("resample", [False, True])
def test_a_paused_response_goes_on_as_if_it_had_not_been(tall: Picture, turns: int, *, resample: bool) -> None:
    """Paused after each chunk, a response drops its bands, and its bytes are those of one that never was."""
    size = tall.info.size
    orientation = Orientation(mirror=False, quarter_turns=turns)
    target = Size(size.width // 3, size.height // 3) if resample else size
    geometry = Geometry(Rect(0, 0, size.width, size.height), target.turned if turns % 2 else target, orientation)
    expected = answer(tall, geometry)
    line = pipeline(tall)
    made = make_plan(geometry, "default", tall.info, Raw(64), MEANS)
    assert made.rest_bytes < made.peak_bytes / 4
    body = line.start(made, Name(), Raw(64), Client())
    data = b""
    for chunk in body:
        data += chunk
        (permit,) = line.admission._large.lent
        assert permit.pause is not None
        while not permit.pause():
            gevent.sleep(0.001)
        gevent.sleep(0)
    body.close()
    assert data == expected.tobytes()
    assert (line.admission.held, line.readers.leased, tall.reading) == (0, 0, 0)


def test_failure_before_the_first_byte_is_an_error(tall: Picture) -> None:
    """A first band that fails raises from start, and permit and reader are back; the reader is not used again."""
    tall.fail = lambda region: region.y == 0
    line, start = large(tall)
    with pytest.raises(DecodeError, match="on purpose"):
        start()
    assert (line.admission.held, line.readers.leased, line.readers.idle) == (0, 0, 0)
    assert tall.closed == 1


def test_failure_halfway_breaks_the_body(tall: Picture) -> None:
    """A later band that fails raises from the body, never ends it as if it were whole."""
    tall.fail = lambda region: region.y >= 2000
    line, start = large(tall)
    body = start()
    received: list[int] = []
    with pytest.raises(DecodeError):
        received.extend(map(len, body))
    body.close()
    assert 0 < sum(received) < 1500 * 4000 * 3
    assert (line.admission.held, line.readers.leased, line.readers.idle) == (0, 0, 0)


@pytest.mark.parametrize("chunks", [0, 1, 5])
def test_client_leaves(tall: Picture, chunks: int) -> None:
    """However many chunks were taken, closing the body stops the work and gives everything back."""
    line, start = large(tall)
    body = start()
    for _ in range(chunks):
        next(body)
    body.close()
    assert (line.admission.held, line.readers.leased, line.readers.idle) == (0, 0, 1)
    assert tall.reading == 0


def test_nobody_waits_any_more(tall: Picture) -> None:
    """Work whose client left while it waited for its permit is never begun."""
    line = pipeline(tall)
    made = make_plan(
        Geometry(Rect(0, 0, 9, 9), Size(9, 9), Orientation(mirror=False, quarter_turns=0)),
        "default",
        tall.info,
        Raw(),
        MEANS,
    )

    def gone() -> None:
        raise ConnectionAbortedError

    with pytest.raises(ConnectionAbortedError):
        line.start(made, Name(), Raw(), Client(check_alive=gone))
    assert (line.admission.held, line.readers.leased, line.readers.idle) == (0, 0, 0)


@dataclass(frozen=True)
class Stalled(Name):
    """A blob whose bytes never come."""

    def read(self, ranges: Sequence[ByteRange]) -> Sequence[Buffer]:
        """Wait for ever."""
        del ranges
        gevent.sleep(3600)
        return []


def test_given_up_while_the_source_stalls(tall: Picture) -> None:
    """Work that waits for bytes is given up at once when its request is, and everything is back."""
    line = pipeline(tall)
    whole = Geometry(Rect(0, 0, 1500, 4000), Size(1500, 4000), Orientation(mirror=False, quarter_turns=0))
    made = make_plan(whole, "default", tall.info, Raw(64), MEANS)
    request = gevent.spawn(line.start, made, Stalled(), Raw(64), Client())
    gevent.sleep(0.05)
    assert (line.admission.held, line.readers.leased) == (made.peak_bytes, 1)
    request.kill(timeout=5)
    assert request.ready()
    assert (line.admission.held, line.readers.leased) == (0, 0)


def test_bands_run_ahead_but_not_away(tall: Picture) -> None:
    """While nobody takes a chunk, two bands are decoded and no more: back-pressure reaches the decoder."""
    seen: list[Rect] = []

    def note(region: Rect) -> bool:
        seen.append(region)
        return False

    tall.fail = note
    line, start = large(tall)
    body = start()
    gevent.sleep(0.2)
    rows = {region.y for region in seen}
    assert len(rows) <= 4
    body.close()
    assert line.admission.held == 0


def test_more_than_the_memory_is_refused() -> None:
    """A plan that cannot keep to the worker's memory is an error before anything begins."""
    reader = Picture(pyramid(2000, 2000)[:1], None)
    whole = Geometry(Rect(0, 0, 2000, 2000), Size(2000, 2000), Orientation(mirror=False, quarter_turns=0))
    with pytest.raises(TooLarge, match="MiB"):
        make_plan(whole, "default", reader.info, Raw(), replace(MEANS, memory=1 << 20))


def test_no_decoder_for_a_name() -> None:
    """A blob whose suffix no decoder claims is unsupported, which hands it over."""
    line = pipeline(Picture(pyramid(9, 9)[:1], None))
    with pytest.raises(Unsupported, match="no decoder claims"):
        line.readers.info(Name(name="notes.txt"))
