"""The image service of a worker, without HTTP: as `sidecar.server.application` makes it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace

from sidecar.config import Settings
from sidecar.iiif.identifier import Identifier
from sidecar.iiif.parse import parse
from sidecar.iiif.request import ImageRequest
from sidecar.limits.quarantine import Quarantine
from sidecar.limits.threads import NativePool
from sidecar.plugin import Config, Source
from sidecar.registry import Plugins, Registry
from sidecar.render.body import Body
from sidecar.render.client import Client
from sidecar.render.service import ImageService, Planned
from sidecar.server.application import make_service

SETTINGS = Settings(workers=1, decoded_cache_bytes=0)
"""The same tile, asked for again, is decoded again."""


@dataclass(frozen=True, slots=True)
class Threads:
    """A worker's native threads."""

    small: NativePool
    bulk: NativePool


@contextmanager
def threads() -> Iterator[Threads]:
    """Provide threads until the context ends."""
    with closing(NativePool(SETTINGS.native_threads)) as small:
        bulk = make_service(SETTINGS, Registry((), (), {}), small, Quarantine()).renderer.bulk
        with closing(bulk):
            yield Threads(small, bulk)


def load(own: Threads, *sections: Settings) -> Registry:
    """Return what all installed plugins register if nothing is set."""
    return Plugins().load(Config.of(SETTINGS, *sections), own.small)


def new_service(own: Threads, registry: Registry, sources: Sequence[Source] = ()) -> ImageService:
    """Return a new service, with no image open; `registry` may have been used before."""
    parts = Registry(sources, registry.decoders, registry.encoders)
    service = make_service(SETTINGS, parts, own.small, Quarantine())
    return replace(service, renderer=replace(service.renderer, bulk=own.bulk))


def plan(service: ImageService, name: str, words: str) -> Planned:
    """Plan `region/size/rotation/quality.format` of an image."""
    region, size, rotation, quality_format = words.split("/")
    parameters = parse(3, region, size, rotation, quality_format, service.encoders)
    return service.plan(service.find(ImageRequest(Identifier(name), parameters)))


def answer(service: ImageService, name: str, words: str) -> Body:
    """Return the chunks of a response, the first one made."""
    return service.render(plan(service, name, words), Client())
