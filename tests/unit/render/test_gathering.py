"""Neighbours that wait for a processor are decoded together: the same pixels, within bounds, and fair to others."""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

import gevent
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sidecar_jp2.decoder import Jp2Decoder
from sidecar_jp2.openjpeg.codec import OpenJpeg
from sidecar_jp2.openjpeg.library import bind

from sidecar.errors import DecodeError
from sidecar.limits.cpu_share import CpuShare
from sidecar.limits.outcome import Outcome, outcome
from sidecar.limits.threads import NativePool
from sidecar.plugin import (
    EXACT,
    Buffer,
    ByteRange,
    ImageInfo,
    ImageReader,
    Level,
    Pixels,
    Rect,
    Size,
    SupportsGathering,
    Window,
)
from sidecar.render.decoded_cache import DecodedCache
from sidecar.render.fetch import Fetcher
from sidecar.render.gathering import Gatherer
from sidecar.render.neighbours import Bounds, gather
from sidecar.render.reader_cache import OpenImage
from sidecar.render.shared_decode import Coded, Member, Wanted
from sidecar.testing.fakes import MemoryBlob, on_disk
from sidecar.testing.reading import read

FILES: Final = sorted((Path(__file__).parents[2] / "data/images").glob("*.jp2"))
TILE: Final = 16
INFO: Final = ImageInfo(
    size=Size(160, 160), channels=3, levels=(Level(size=Size(160, 160), downsample=1, grid=None, fixed_bytes=10**6),)
)
BLOB: Final = MemoryBlob("image", b"", path=Path("image"))


@dataclass
class Held:
    """A reader whose reads wait until they are let; it records what it reads."""

    thread_safe: Literal[True] = True
    info: ImageInfo = INFO
    go: threading.Event = field(default_factory=threading.Event)
    damaged: Rect | None = None
    decoded: list[Rect] = field(default_factory=list)

    def window(self, level: int, region: Rect) -> Window:
        """Of no bytes."""
        return Window(level=level, region=region)

    def gathers(self, level: int, one: Rect, other: Rect) -> bool:
        """Whatever touches."""
        del level
        return max(one.x - other.right, other.x - one.right, one.y - other.bottom, other.y - one.bottom) <= 0

    def read(self, window: Window, data: Sequence[Buffer], into: Pixels) -> None:
        """Each pixel is its place."""
        del data
        region = window.region
        self.decoded.append(region)
        assert self.go.wait(20)
        if self.damaged and region.holds(self.damaged):
            raise DecodeError("damaged")
        into[..., 0] = np.arange(region.x, region.right)
        into[..., 1] = np.arange(region.y, region.bottom)[:, np.newaxis]
        into[..., 2] = 7

    def close(self) -> None:
        """Nothing is open."""


def tile(column: int, row: int = 0) -> Rect:
    """A tile of the image."""
    return Rect(column * TILE, row * TILE, TILE, TILE)


class Site:
    """A gatherer over one reader, with as many processors as it is made with."""

    def __init__(self, stack: ExitStack, reader: ImageReader[Any], processors: int = 1, cache: int = 0) -> None:
        self.pool = stack.enter_context(closing(NativePool(4)))
        self.cache = DecodedCache(cache)
        self.cpu_share = CpuShare(processors)
        self.gatherer = Gatherer(self.pool, Fetcher(), self.cpu_share, self.cache, 2**20)
        self._image = OpenImage(reader, "held")
        stack.callback(self.cache.clear)

    def ask(
        self, region: Rect, client: str = "", blob: MemoryBlob = BLOB, level: int = 0
    ) -> gevent.Greenlet[..., Outcome[Pixels]]:
        """A request in a greenlet, which waits."""
        asking = gevent.spawn(outcome, self._get, Wanted(blob, self._image, level, region, client))
        gevent.idle()
        return asking

    def _get(self, wanted: Wanted) -> Pixels:
        with closing(self.gatherer.want(self.gatherer.fetch(wanted))) as ticket:
            return ticket.get()


@pytest.fixture
def held() -> Iterator[Held]:
    """A reader; at the end nothing waits for it."""
    reader = Held()
    yield reader
    reader.go.set()


@pytest.fixture
def site(held: Held) -> Iterator[Site]:
    """One processor."""
    with ExitStack() as stack:
        stack.callback(held.go.set)
        yield Site(stack, held)


def shows(pixels: Pixels, region: Rect) -> bool:
    """Whether these are the pixels of a region."""
    return pixels[0, 0].tolist() == [region.x, region.y, 7] and pixels.shape[:2] == (region.height, region.width)


def begun(held: Held, count: int = 1) -> None:
    """Wait until so many reads have begun."""
    with gevent.Timeout(20):
        while len(held.decoded) < count:
            gevent.sleep(0.001)


def test_nobody_waits_for_company(site: Site, held: Held) -> None:
    """Alone, a window is decoded at once and as it is."""
    asking = site.ask(tile(0))
    begun(held)
    held.go.set()
    assert shows(asking.get()(), tile(0))
    assert held.decoded == [tile(0)]


def test_neighbours_that_wait_are_decoded_together(site: Site, held: Held) -> None:
    """While one is decoded, others wait; those that touch are then decoded as one, and each gets its own part."""
    first = site.ask(tile(9, 9))
    begun(held)
    waiting = {region: site.ask(region) for region in (tile(0), tile(1), tile(0, 1), tile(1, 1), tile(5, 5))}
    held.go.set()
    assert shows(first.get()(), tile(9, 9))
    for region, asking in waiting.items():
        assert shows(asking.get()(), region)
    assert held.decoded == [tile(9, 9), Rect(0, 0, 2 * TILE, 2 * TILE), tile(5, 5)]


def test_however_many_wait_few_are_looked_at(site: Site, held: Held, monkeypatch: pytest.MonkeyPatch) -> None:
    """Choosing neighbours takes no longer if hundreds wait: meanwhile the event loop stands still."""
    looks: list[Rect] = []
    gathers = held.gathers

    def counted(level: int, one: Rect, other: Rect) -> bool:
        looks.append(other)
        return gathers(level, one, other)

    monkeypatch.setattr(held, "gathers", counted)
    first = site.ask(tile(0))
    several = [site.ask(Rect(column % 160, column // 160, 1, 1)) for column in range(400)]
    assert looks == []
    held.go.set()
    assert len({each.get()().size for each in [first, *several]}) == 2
    assert len(held.decoded) > 2
    assert len(looks) / len(held.decoded) < 3000


def test_bytes_at_hand_are_not_held_beside_those_of_all(site: Site, held: Held) -> None:
    """Far windows are fetched before they wait; decoded together, they are fetched as one, within what was granted."""
    far = MemoryBlob("far", bytes(1000))
    window = Window(level=0, region=tile(1), ranges=(ByteRange(0, 1000),))
    members = [Member(Wanted(far, site._image, 0, tile(n), coded=Coded(window, [bytes(1000)]))) for n in (1, 2)]
    for member in members:
        site.gatherer._waiting.join(member)
    decode = site.gatherer._choose()
    assert decode.region == tile(1).hull(tile(2))
    assert [member.wanted.coded for member in members] == [None, None]
    assert decode.wanted.coded is None
    held.go.set()


def test_requests_that_arrive_together_are_spread_over_free_processors(held: Held) -> None:
    """Two processors are free and four windows arrive: each takes two."""
    with ExitStack() as stack:
        stack.callback(held.go.set)
        site = Site(stack, held, processors=2)
        held.go.set()
        image = OpenImage(held, "held")
        tickets = [site.gatherer.want(Wanted(BLOB, image, 0, tile(column))) for column in range(4)]
        for column, ticket in enumerate(tickets):
            assert shows(ticket.get(), tile(column))
            ticket.close()
    assert sorted(region.width for region in held.decoded) == [2 * TILE, 2 * TILE]


def test_other_images_and_levels_are_not_gathered(site: Site, held: Held) -> None:
    """What has another etag is decoded for itself."""
    first = site.ask(tile(9))
    begun(held)
    other = MemoryBlob("other", b"other", path=Path("other"))
    asking = [site.ask(tile(0)), site.ask(tile(1), blob=other), site.ask(tile(2))]
    held.go.set()
    for each in (first, *asking):
        each.get()()
    assert sorted(region.width for region in held.decoded) == [TILE] * 4


def test_who_leaves_withdraws_only_itself(site: Site, held: Held) -> None:
    """Whether it waits or is being decoded with others, and even if it came first."""
    first = site.ask(tile(9))
    begun(held)
    waiting = [site.ask(tile(column)) for column in range(3)]
    waiting[0].kill()
    gevent.idle()
    held.go.set()
    first.get()()
    assert shows(waiting[1].get()(), tile(1))
    assert shows(waiting[2].get()(), tile(2))
    assert held.decoded[1:] == [Rect(TILE, 0, 2 * TILE, TILE)]


def test_who_leaves_a_decode_leaves_it_to_the_others(site: Site, held: Held) -> None:
    """The native call goes on, and the others get their pixels."""
    first, second = site.ask(tile(0)), site.ask(tile(0))
    begun(held)
    leaving = gevent.spawn(first.kill)
    gevent.idle()
    assert not leaving.dead, "it holds what the native call uses until that is over"
    held.go.set()
    assert shows(second.get()(), tile(0))
    leaving.join()
    assert held.decoded == [tile(0)]


def test_when_all_have_left_the_processor_is_free(site: Site, held: Held) -> None:
    """Nothing is decoded for nobody, and the next one is served."""
    first = site.ask(tile(0))
    begun(held)
    waiting = site.ask(tile(1))
    waiting.kill()
    held.go.set()
    first.get()()
    assert shows(site.ask(tile(3)).get()(), tile(3))
    assert held.decoded == [tile(0), tile(3)]


def test_damage_in_one_window_does_not_show_in_its_neighbours(site: Site, held: Held) -> None:
    """What fails together is decoded apart: each fails or not, as it would alone."""
    held.damaged = Rect(TILE + 3, 3, 1, 1)
    first = site.ask(tile(9))
    begun(held)
    fine, damaged = site.ask(tile(0)), site.ask(tile(1))
    held.go.set()
    first.get()()
    assert shows(fine.get()(), tile(0))
    with pytest.raises(DecodeError):
        damaged.get()()
    assert held.decoded[1:] == [Rect(0, 0, 2 * TILE, TILE), tile(0), tile(1)]


def test_clients_take_turns(site: Site, held: Held) -> None:
    """A crawler with many windows, far from each other, delays another client by one of them."""
    first = site.ask(tile(0), "crawler")
    begun(held)
    crawled = [site.ask(tile(column), "crawler") for column in (2, 4, 6, 8)]
    visitor = site.ask(tile(9, 9), "visitor")
    held.go.set()
    for each in (first, *crawled, visitor):
        each.get()()
    assert held.decoded.index(tile(9, 9)) <= 2


def test_pixels_are_kept_for_a_moment(held: Held) -> None:
    """Who comes later for what lies in a decoded window gets it from there, within the bytes allowed."""
    with ExitStack() as stack:
        stack.callback(held.go.set)
        site = Site(stack, held, cache=4 * TILE * TILE * 3)
        held.go.set()
        whole = Rect(0, 0, 2 * TILE, 2 * TILE)
        site.ask(whole).get()()
        assert shows(site.ask(tile(1, 1)).get()(), tile(1, 1))
        assert held.decoded == [whole]
        site.ask(tile(5)).get()()
        assert site.cache.nbytes == TILE * TILE * 3
        site.ask(tile(1, 1)).get()()
        assert held.decoded == [whole, tile(5), tile(1, 1)]


def test_pixels_are_not_kept_for_long() -> None:
    """When their time is over they are dropped, without any request."""
    cache = DecodedCache(1000, seconds=0.01)
    cache.put(("e", 0, EXACT), Rect(0, 0, 10, 10), np.zeros((10, 10, 3), np.uint8))
    assert cache.nbytes == 300
    with gevent.Timeout(20):
        while cache.nbytes:
            gevent.sleep(0.01)
    assert cache.find(("e", 0, EXACT), Rect(0, 0, 1, 1)) is None


@given(
    places=st.lists(st.tuples(st.integers(0, 7), st.integers(0, 7)), min_size=1, max_size=20),
    pixels=st.integers(0, 20).map(lambda tiles: tiles * TILE * TILE),
    most=st.integers(1, 20),
    fixed=st.integers(0, 10**5),
)
def test_what_is_decoded_together_is_bounded(places: list[tuple[int, int]], pixels: int, most: int, fixed: int) -> None:
    """In pixels and requests as set, in memory by what was granted, in spare pixels by half of those asked for."""
    level = Level(size=Size(160, 160), downsample=1, grid=None, fixed_bytes=fixed, pixel_bytes=8)
    first, *others = (tile(*place) for place in places)
    found = gather(first, 0, others, Held(), Bounds(level, 3, pixels, most))
    assert found.hull.holds(first)
    assert all(found.hull.holds(region) for region in found.regions)
    assert len(found.regions) <= most
    if len(found.regions) > 1:
        assert found.hull.size.area <= min(pixels, 1.5 * found.asked)
        each = 8 + 3
        granted = sum(fixed + each * region.size.area for region in found.regions)
        assert fixed + each * found.hull.size.area <= granted


DECODER: Final = Jp2Decoder(OpenJpeg(bind()))


class Stopped:
    """A reader that waits before its first read."""

    thread_safe: Literal[True] = True

    def __init__(self, reader: ImageReader[Any]) -> None:
        self._reader = reader
        self.info, self.window, self.close = reader.info, reader.window, reader.close
        assert isinstance(reader, SupportsGathering)
        self.gathers = reader.gathers
        self.go, self.decoded = threading.Event(), list[Rect]()

    def read(self, window: Window, data: Sequence[Buffer], into: Pixels) -> None:
        """The other's, a little later."""
        self.decoded.append(window.region)
        assert self.go.wait(20)
        self._reader.read(window, data, into)


def windows(info: ImageInfo) -> st.SearchStrategy[tuple[int, list[Rect]]]:
    """A level, and some tiles of a viewer at it."""

    def of(level: int) -> st.SearchStrategy[tuple[int, list[Rect]]]:
        size = info.levels[level].size

        def cut(side: int) -> list[Rect]:
            return [
                Rect(x, y, min(side, size.width - x), min(side, size.height - y))
                for y in range(0, size.height, side)
                for x in range(0, size.width, side)
            ]

        least = max(8, max(size.width, size.height) // 6)
        sides = st.integers(least, 2 * least)
        chosen = sides.map(cut).flatmap(lambda tiles: st.lists(st.sampled_from(tiles), min_size=3, max_size=8))
        return chosen.map(lambda regions: (level, regions))

    return st.integers(0, min(2, len(info.levels) - 1)).flatmap(of)


@pytest.mark.parametrize("path", FILES, ids=[path.stem for path in FILES])
def test_gathered_windows_are_exact(path: Path) -> None:
    """Of every JP2, whatever windows are decoded together: each is the reader's own window, to the pixel."""
    blob = on_disk(path)

    @settings(max_examples=8, deadline=None)
    @given(data=st.data())
    def check(data: st.DataObject) -> None:
        with closing(DECODER.open(blob)) as reader, ExitStack() as stack:
            level, regions = data.draw(windows(reader.info))
            stopped = Stopped(reader)
            site = Site(stack, stopped)
            stack.callback(stopped.go.set)
            first = site.ask(regions[0], blob=blob, level=level)
            gevent.sleep(0.001)
            waiting = [site.ask(region, blob=blob, level=level) for region in regions]
            stopped.go.set()
            for region, asking in zip([regions[0], *regions], [first, *waiting], strict=True):
                assert np.array_equal(asking.get()(), read(reader, blob, level, region))

    check()


def test_gathering_reports_what_it_did(site: Site, held: Held) -> None:
    """The ticket says for how many a window was decoded."""
    first = site.ask(tile(9))
    begun(held)
    image = OpenImage(held, "held")
    tickets = [site.gatherer.want(Wanted(BLOB, image, 0, tile(column))) for column in range(2)]
    held.go.set()
    first.get()()
    for ticket in tickets:
        ticket.get()
        assert ticket.details == {"decoded_for": 2}
        ticket.close()


def test_pixels_are_free_when_all_have_them(site: Site, held: Held) -> None:
    """What waited and was decoded together refers to nothing that leads back to it: the collector finds nothing."""
    held.go.set()
    site.ask(tile(0)).get()
    gc.collect()
    gc.disable()
    try:
        for asking in [site.ask(tile(column)) for column in range(3)]:
            asking.get()
        del asking
        gevent.idle()
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        # Servers of other tests may come to their end meanwhile.
        ours = ("sidecar.render", "sidecar.limits")
        assert [each for each in gc.garbage if type(each).__module__.startswith(ours)] == []
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()
