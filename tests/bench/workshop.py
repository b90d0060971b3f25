"""What a worker answers with, without HTTP: a registry, a pipeline, and plans by the words of a IIIF request."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass

from sidecar.config import Config, Settings
from sidecar.iiif import geometry, parse
from sidecar.interfaces import Blob, EncoderFactory, Source
from sidecar.memory import budget
from sidecar.model import ImageInfo
from sidecar.native import NativePool
from sidecar.permits import Permits
from sidecar.pipeline import Body, Pipeline
from sidecar.plan import Means, Plan, plan
from sidecar.readers import Readers
from sidecar.registry import Plugins, Registry

SETTINGS = Settings()
CORES = len(os.sched_getaffinity(0))
WHITE = (255, 255, 255)


@dataclass(frozen=True)
class Workshop:
    """A pipeline as `sidecar.app` sets one up, and what it is made of."""

    registry: Registry
    pipeline: Pipeline
    means: Means

    def find(self, identifier: str) -> Blob:
        """The blob of an identifier."""
        found = next((blob for source in self.registry.sources if (blob := source.find(identifier))), None)
        if found is None:
            raise FileNotFoundError(identifier)
        return found

    def plan(self, info: ImageInfo, words: str) -> tuple[Plan, EncoderFactory]:
        """The plan of `region/size/rotation/quality.format`."""
        region, size, rotation, quality_format = words.split("/")
        request = parse.parse(3, region, size, rotation, quality_format, self.registry.encoders)
        factory = self.registry.encoders[request.format]
        measured = geometry.measure(request, info.size, max_scale=1.0, max_pixels=0)
        return plan(measured, request.quality, info, factory, self.means), factory

    def answer(self, blob: Blob, words: str) -> Body:
        """The chunks of an answer, the first one made."""
        planned, factory = self.plan(self.pipeline.readers.info(blob), words)
        return self.pipeline.start(planned, blob, factory, lambda: None)


@dataclass(frozen=True, slots=True)
class Threads:
    """A worker's native threads, as `sidecar.app` makes them."""

    small: NativePool
    bulk: NativePool


@contextmanager
def threads() -> Iterator[Threads]:
    """Threads until the context ends."""
    with closing(NativePool(SETTINGS.threads)) as small, closing(NativePool(CORES, nice=5)) as bulk:
        yield Threads(small, bulk)


def load(own: Threads) -> Registry:
    """What all installed plugins register when nothing is set."""
    return Plugins().load(Config.of(SETTINGS), own.small)


def workshop(own: Threads, registry: Registry, sources: Sequence[Source] = ()) -> Workshop:
    """A new pipeline, with no image open; `registry` may have been used before."""
    parts = Registry(sources, registry.decoders, registry.encoders)
    permits = Permits(budget(0, 1), SETTINGS.queue, SETTINGS.patience)
    means = Means(CORES, SETTINGS.request_memory, permits.largest(large=True), SETTINGS.downscale_filter, WHITE)
    return Workshop(parts, Pipeline(Readers(parts, SETTINGS.readers), permits, own.small, own.bulk), means)
