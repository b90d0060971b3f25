"""Spans: time is counted where the work is."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from prometheus_client import REGISTRY

from sidecar.config import Settings
from sidecar.iiif.identifier import Identifier
from sidecar.iiif.parse import parse
from sidecar.iiif.request import ImageRequest
from sidecar.limits.quarantine import Quarantine
from sidecar.limits.threads import NativePool
from sidecar.observability.tracing import span
from sidecar.observability.work import Stage
from sidecar.registry import Registry
from sidecar.render.client import Client
from sidecar.render.service import ImageService
from sidecar.server.application import make_service
from sidecar.testing.fakes import GradientDecoder, MemoryBlob, MemorySource, RawEncoderFactory, gradient


def count(stage: Stage) -> float:
    """Return how many spans of a stage there have been."""
    family = next(each for each in REGISTRY.collect() if each.name == "sidecar_stage_seconds")
    named = (each for each in family.samples if each.name.endswith("_count"))
    return sum(each.value for each in named if each.labels["stage"] == stage)


@pytest.fixture
def service() -> Iterator[ImageService]:
    """Provide a service over one image in memory."""
    source = MemorySource({"a": MemoryBlob("a.gradient", gradient(100, 100))})
    registry = Registry([source], [GradientDecoder()], {"raw": RawEncoderFactory(64)})
    made = make_service(Settings(memory_bytes=64 << 20), registry, NativePool(2), Quarantine())
    yield made
    made.renderer.pool.close()
    made.renderer.bulk.close()


def test_each_stage_of_a_response_is_timed(service: ImageService) -> None:
    """Answering one request without HTTP counts every stage: waiting, opening, fetching, decoding, encoding."""
    stages: tuple[Stage, ...] = ("wait", "index", "fetch", "decode", "encode")
    before = [count(stage) for stage in stages]
    request = ImageRequest(Identifier("a"), parse(3, "full", "max", "0", "default.raw", service.encoders))
    body = service.render(service.plan(service.find(request)), Client())
    assert len(b"".join(body)) > 100 * 100 * 3
    body.close()
    assert all(count(stage) > was for stage, was in zip(stages, before, strict=True))


def test_a_span_ends_also_if_the_work_fails() -> None:
    """The time of work that raises is counted like any other."""
    before = count("decode")
    with pytest.raises(ZeroDivisionError), span("decode"):
        raise ZeroDivisionError
    assert count("decode") == before + 1
