"""What the tools work with: the image service as a worker has it, without a server."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from sidecar import startup
from sidecar.cli.options import set_up
from sidecar.config import Settings, core
from sidecar.limits.quarantine import Quarantine
from sidecar.limits.threads import NativePool
from sidecar.observability import logging
from sidecar.registry import Registry
from sidecar.render.service import ImageService
from sidecar.server.application import make_service


@dataclass(frozen=True, slots=True)
class Loaded:
    """Everything that a worker has, but for its server."""

    setup: startup.Setup
    registry: Registry
    service: ImageService


def service_of(settings: Settings, registry: Registry, pool: NativePool) -> ImageService:
    """Return the image service of a worker that knows of no crashes."""
    return make_service(settings, registry, pool, Quarantine())


@contextmanager
def loaded() -> Iterator[Loaded]:
    """Make the image service as a worker does; its log shows errors only. Raises StartError."""
    found = set_up(None, None)
    settings = core(found.config)
    logging.configure("error", "text")
    pool = NativePool(settings.native_threads, stall=settings.stall_timeout)
    try:
        registry = found.plugins.load(found.config, pool)
        try:
            yield Loaded(found, registry, service_of(settings, registry, pool))
        finally:
            registry.close()
    finally:
        pool.close()
