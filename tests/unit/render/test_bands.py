"""The order in which bands are fetched and decoded: the first ones first, as far ahead at the start as later."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace

import gevent
import pytest
from gevent.event import Event

from sidecar.iiif.geometry import Geometry, Orientation
from sidecar.limits.threads import NativePool
from sidecar.plugin import Blob, Buffer, ByteRange, Pixels, Rect, Size, Window
from sidecar.render.bands import Bands
from sidecar.render.fetch import Fetcher
from sidecar.render.plan import Plan, PlanLimits, make_plan
from sidecar.render.reader_cache import OpenImage
from sidecar.testing.fakes import GradientDecoder, GradientReader, MemoryBlob, RawEncoderFactory, gradient

SIDE, TILE = 4096, 1024
MEANS = PlanLimits(cores=2, request_memory=1 << 30, memory=1 << 32, filter="bicubic", background=(255, 255, 255))


@dataclass(frozen=True)
class SlowBlob(MemoryBlob):
    """Bytes that come when they are let."""

    let: list[Event] = field(default_factory=list)

    def read(self, ranges: Sequence[ByteRange]) -> Sequence[Buffer]:
        """Wait to be let."""
        self.let.append(Event())
        self.let[-1].wait()
        return super().read(ranges)


@dataclass
class Noting:
    """A reader that records the corners of the windows that it decodes."""

    reader: GradientReader
    take: int = 0
    """Bytes that each window takes, of its own; 0: as the other says."""
    windows: int = 0
    decoded: list[tuple[int, int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Take over the rest."""
        self.info, self.close = self.reader.info, self.reader.close

    def window(self, level: int, region: Rect) -> Window:
        """The other's, but for the bytes."""
        window = self.reader.window(level, region)
        self.windows += 1
        return replace(window, ranges=(ByteRange(self.windows, self.windows + self.take),)) if self.take else window

    def read(self, window: Window, data: Sequence[Buffer], into: Pixels) -> None:
        """The other's."""
        self.decoded.append((window.region.y, window.region.x))
        self.reader.read(window, data, into)


def bands_of(plan: Plan, blob: Blob, reader: Noting, pool: NativePool) -> Bands:
    """Return the bands of a plan, fetched by a fetcher of their own."""
    return Bands(plan, blob, OpenImage(reader, "gradient"), pool, Fetcher())


@pytest.fixture(scope="module")
def pool() -> Iterator[NativePool]:
    """Two threads."""
    with closing(NativePool(2)) as threads:
        yield threads


@pytest.fixture
def reader() -> Noting:
    """An image of four rows of tiles."""
    return Noting(GradientDecoder().open(MemoryBlob("a.gradient", gradient(SIDE, SIDE, tile=TILE))))


@pytest.fixture
def planned(reader: Noting) -> Plan:
    """All of it: a thin band, the rest of its tiles, and three more bands."""
    whole = Geometry(Rect(0, 0, SIDE, SIDE), Size(SIDE, SIDE), Orientation())
    found = make_plan(whole, "default", reader.info, RawEncoderFactory(), MEANS)
    assert [band.region.y for band in found.bands] == [0, 256, 1024, 2048, 3072]
    return found


def test_as_much_is_on_its_way_as_keeps_a_link_busy(planned: Plan, reader: Noting, pool: NativePool) -> None:
    """Pieces are read in order: one mebibyte at once at first, twice as much with each that has come, up to four."""
    blob = SlowBlob("a.gradient", bytes(2 << 20))
    reader.take = 1 << 20
    with closing(bands_of(planned, blob, reader, pool)):
        under_way = []
        for done in range(5):
            gevent.sleep(0.01)
            under_way.append(len(blob.let) - done)
            blob.let[done].set()
        assert under_way == [1, 2, 4, 4, 4]


def test_a_piece_larger_than_that_is_read_by_itself(planned: Plan, reader: Noting, pool: NativePool) -> None:
    """Nothing waits for ever."""
    blob = SlowBlob("a.gradient", bytes(6 << 20))
    reader.take = 5 << 20
    with closing(bands_of(planned, blob, reader, pool)):
        for done in range(3):
            gevent.sleep(0.01)
            assert len(blob.let) == done + 1
            blob.let[done].set()


def test_no_thread_works_for_a_later_band_while_an_earlier_one_waits(planned: Plan, reader: Noting) -> None:
    """Pieces are decoded in the order of the answer's rows, in whichever order their bytes come."""
    blob = SlowBlob("a.gradient", gradient(SIDE, SIDE, tile=TILE))
    with closing(NativePool(1)) as thread, closing(bands_of(planned, blob, reader, thread)) as bands:
        gevent.sleep(0.01)
        for let in reversed(blob.let[1:]):
            let.set()
            gevent.sleep(0.001)
        assert reader.decoded == []
        blob.let[0].set()
        next(iter(bands))
        gevent.sleep(0.01)
        assert reader.decoded == sorted(reader.decoded)
        assert reader.decoded[:2] == [(0, 0), (256, 0)]


def test_closing_does_not_wait_for_bytes(planned: Plan, reader: Noting, pool: NativePool) -> None:
    """Pieces that wait for their bytes are given up, and those that wait for their turn are not read."""
    blob = SlowBlob("a.gradient", bytes(2 << 20))
    reader.take = 1 << 20
    bands = bands_of(planned, blob, reader, pool)
    gevent.sleep(0.01)
    with gevent.Timeout(5):
        bands.close()
    gevent.sleep(0.01)
    assert len(blob.let) == 1


def test_what_several_windows_want_is_read_once(planned: Plan, reader: Noting, pool: NativePool) -> None:
    """If every window takes the same bytes, as of a codestream that decodes only whole, they are in memory once."""
    blob = MemoryBlob("a.gradient", gradient(SIDE, SIDE, tile=TILE))
    fetcher = Fetcher()
    image = OpenImage(reader, "gradient")
    with (
        closing(Bands(planned, blob, image, pool, fetcher)) as one,
        closing(Bands(planned, blob, image, pool, fetcher)),
    ):
        gevent.sleep(0.01)
        assert blob.asked == [ByteRange(0, len(blob.content))]
        assert sum(1 for _ in one) == len(planned.bands)
