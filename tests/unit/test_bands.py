"""The order in which bands are fetched: the first ones first, and as far ahead at the start as later."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field

import gevent
import pytest
from gevent.event import Event

from sidecar.bands import Bands
from sidecar.iiif.geometry import Geometry, Orientation
from sidecar.model import Buffer, ByteRange, Rect, Size, Window
from sidecar.native import NativePool
from sidecar.plan import Means, Plan, plan
from sidecar.testing.fakes import GradientDecoder, GradientReader, MemoryBlob, RawEncoderFactory, gradient

SIDE, TILE = 4096, 1024
MEANS = Means(cores=2, request_memory=1 << 30, memory=1 << 32, filter="bicubic", background=(255, 255, 255))


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
    """A reader that notes the rows of each window it is asked for."""

    reader: GradientReader
    rows: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Take over the rest."""
        self.info, self.read, self.close = self.reader.info, self.reader.read, self.reader.close

    def window(self, level: int, region: Rect) -> Window:
        """The other's."""
        self.rows.append(region.y)
        return self.reader.window(level, region)


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
    found = plan(whole, "default", reader.info, RawEncoderFactory(), MEANS)
    assert [band.region.y for band in found.bands] == [0, 256, 1024, 2048, 3072]
    return found


def test_two_bands_are_on_their_way_at_once(planned: Plan, reader: Noting, pool: NativePool) -> None:
    """The third band is asked for when the first has come, the fourth when the second has; nobody need take one."""
    blob = SlowBlob("a.gradient", gradient(SIDE, SIDE, tile=TILE))
    with closing(Bands(planned, blob, reader, pool)):
        gevent.sleep(0.01)
        first = planned.bands[0].pieces
        assert sorted(set(reader.rows)) == [0, 256]
        for let in blob.let[: len(first)]:
            let.set()
        gevent.sleep(0.01)
        assert sorted(set(reader.rows)) == [0, 256, 1024]
        for let in blob.let[len(first) :]:
            let.set()
        gevent.sleep(0.01)
        assert sorted(set(reader.rows)) == [0, 256, 1024, 2048]


def test_closing_does_not_wait_for_bytes(planned: Plan, reader: Noting, pool: NativePool) -> None:
    """Bands that wait for others' bytes are given up with them."""
    blob = SlowBlob("a.gradient", gradient(SIDE, SIDE, tile=TILE))
    bands = Bands(planned, blob, reader, pool)
    gevent.sleep(0.01)
    with gevent.Timeout(5):
        bands.close()
    assert sorted(set(reader.rows)) == [0, 256]
