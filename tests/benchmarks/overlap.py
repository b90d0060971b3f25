"""Large regions from an object store: the pipeline beside each of its stages alone.

Fetching, decoding and encoding overlap; all at once should hardly take longer than the longest of them does alone.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

from sidecar.plugin import Buffer, EncoderFactory, ImageInfo, ImageReader, Pixels, Rect, Window
from sidecar.plugin.remote import BucketSource
from sidecar.registry import Registry
from sidecar.render.bands import Bands
from sidecar.render.fetch import Fetcher
from sidecar.render.plan import Plan
from sidecar.render.reader_cache import OpenImage
from sidecar.render.service import ImageService
from sidecar.render.strips import Strips, encode
from sidecar.testing.fakes import MemoryBlob, MemorySource, on_disk
from tests.benchmarks import files
from tests.benchmarks.figures import Chart, Must, Report
from tests.benchmarks.link import connect
from tests.benchmarks.processes import LATENCY, MBITS, far_store
from tests.benchmarks.rounds import Times, interleaved, milliseconds, ratio
from tests.benchmarks.worker import Threads, answer, load, new_service, plan, threads

WORDS = "full/max/0/default.jpg"
LINKS = (MBITS, 50)
"""Megabits per second: decoding takes longer, fetching takes longer."""
ROUNDS = 3
LONGER = 1.2
ALL, FETCH, DECODE, ENCODE = STAGES = "all at once", "fetch", "decode", "encode"
_drain = partial(deque[object], maxlen=0)


class Decoded(list[Pixels]):
    """Bands that have been decoded before."""

    def stop(self) -> None:
        """Nothing is under way."""

    def close(self) -> None:
        """Nor has anything to be waited for."""


@dataclass(frozen=True, slots=True)
class Blank:
    """An ImageReader that knows which bytes to read, and shows black."""

    reader: ImageReader[Any]
    thread_safe: Literal[True] = True

    @property
    def info(self) -> ImageInfo:
        """The other's."""
        return self.reader.info

    def window(self, level: int, region: Rect) -> Window:
        """The other's."""
        window: Window = self.reader.window(level, region)
        return window

    def read(self, window: Window, data: Sequence[Buffer], into: Pixels) -> None:
        """Black: that costs next to nothing."""
        del window, data
        into.fill(0)

    def close(self) -> None:
        """Nothing is held."""


@dataclass(frozen=True)
class Stages:
    """One answer, whole and in its parts."""

    own: Threads
    sources: Iterator[BucketSource]
    """One for each time: those of new workers, that have no block and no connection yet."""
    registry: Registry
    """Knows the packet indexes."""
    local: MemoryBlob
    """The bytes at hand."""
    image: OpenImage
    """Of those."""
    plan: Plan
    factory: EncoderFactory
    bands: Decoded = field(repr=False)

    def whole(self, _: int) -> None:
        """The pipeline."""
        with self._far() as service, closing(answer(service, self.local.name, WORDS)) as body:
            _drain(body)

    def fetch(self, _: int) -> None:
        """Find the object and read as far ahead as the pipeline does."""
        with self._far() as service:
            blob = service.blob(self.local.name)
            with service.renderer.readers.lease(blob) as image:
                blank = OpenImage(Blank(image.reader), image.decoder)
                _drain(Bands(self.plan, blob, blank, self.own.bulk, Fetcher()))

    def decode(self, _: int) -> None:
        """All bands, with the pipeline's threads."""
        _drain(Bands(self.plan, self.local, self.image, self.own.bulk, Fetcher()))

    def encode(self, _: int) -> None:
        """All strips."""
        _drain(
            encode(
                self.plan, Strips(self.plan, lambda _: self.bands), self.factory.start(self.plan.frame), self.own.small
            )
        )

    @contextmanager
    def _far(self) -> Iterator[ImageService]:
        with closing(next(self.sources)) as source:
            yield new_service(self.own, self.registry, [source])


@dataclass(frozen=True, slots=True)
class Case:
    """An answer over a link, measured."""

    name: str
    times: Times

    @property
    def against_longer(self) -> float:
        """Its time in those of the longer of fetching and decoding."""
        return ratio(self.times, ALL, FETCH, DECODE)

    @property
    def against_sum(self) -> float:
        """Its time in those of one stage after the other."""
        return ratio(self.times, ALL, FETCH, DECODE, ENCODE, join=sum)


def run() -> Report:
    """Measure the requests over the links."""
    with threads() as own:
        cases = [case for mbits in LINKS for case in over(own, mbits)]
    return Report(
        f"Whole pictures of 80 MP from an object store {LATENCY} ms away: three stages at once",
        ("", *(f"{name}, ms" for name in STAGES), "÷ longer of fetch and decode", "÷ one after the other"),
        [
            (case.name, *(milliseconds(case.times, name) for name in STAGES), case.against_longer, case.against_sum)
            for case in cases
        ],
        Chart(
            "ms",
            [case.name for case in cases],
            {name: [milliseconds(case.times, name) for case in cases] for name in STAGES},
        ),
        [Must(f"{case.name}: against the longer of fetch and decode", case.against_longer, LONGER) for case in cases],
        ["Each stage alone runs as far ahead, and with as many threads, as in the pipeline; ratios of rounds, median."],
    )


def over(own: Threads, mbits: float) -> Iterator[Case]:
    """The requests over one link, each as a case."""
    with far_store(mbits) as url:
        for path in (files.tiled(), files.single()):
            sources = iter([connect(url)[0] for _ in range(2 * (ROUNDS + 1))])
            stages = prepare(own, sources, on_disk(path))
            calls = {ALL: stages.whole, FETCH: stages.fetch, DECODE: stages.decode, ENCODE: stages.encode}
            yield Case(f"{files.label(path)}, {mbits} Mbit/s", interleaved(calls, ROUNDS))


def prepare(own: Threads, sources: Iterator[BucketSource], local: MemoryBlob) -> Stages:
    """Decode it once, to have what each stage takes from the one before."""
    registry = load(own)
    service = new_service(own, registry, [MemorySource({local.name: local})])
    planned = plan(service, local.name, WORDS)
    with service.renderer.readers.lease(local) as image:
        bands = Decoded(Bands(planned.plan, local, image, own.bulk, Fetcher()))
        return Stages(own, sources, registry, local, image, planned.plan, planned.found.factory, bands)
