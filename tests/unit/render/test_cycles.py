"""Requests leave no cycles: what they used is freed when they end, and the collector has nothing to do."""

from __future__ import annotations

import gc
import types
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from falcon.testing import create_environ

from sidecar.config import Settings
from sidecar.limits.threads import NativePool
from sidecar.plugin import Config
from sidecar.registry import Plugins, Registry
from sidecar.server.application import create_app
from sidecar.server.lifecycle import WorkerLifecycle
from sidecar.testing.fakes import GradientDecoder, MemoryBlob, MemorySource, RawEncoderFactory, gradient


@pytest.fixture
def service() -> Iterator[WorkerLifecycle]:
    """A worker's application over images in memory."""
    contents = {"fine": gradient(3000, 2000), "untiled": gradient(500, 500, tile=0), "broken": b"gradient x y\n"}
    blobs = {name: MemoryBlob(f"{name}.gradient", content) for name, content in contents.items()}
    registry = Registry([MemorySource(blobs)], [GradientDecoder()], {"raw": RawEncoderFactory(64)})
    made = create_app(Config.of(Settings(memory_bytes=64 * 2**20)), registry)
    yield made
    made.close()


def ask(service: WorkerLifecycle, path: str, chunks: int | None = None, **headers: str) -> str:
    """One request, of whose answer so many chunks are taken; its status."""
    statuses: list[str] = []

    def started(status: str, _headers: object, *_: Any) -> None:
        statuses.append(status)

    environ = create_environ(path, headers=headers)
    answer = service(environ, started)
    for _ in islice(answer, chunks):
        pass
    answer.close()  # type: ignore[attr-defined]  # Observed always gives something to close
    return statuses[0][:3]


REQUESTS = {
    "a tile": ("/iiif/3/fine/0,0,512,512/256,/0/default.raw", None, "200"),
    "a whole": ("/iiif/3/fine/full/max/0/default.raw", None, "200"),
    "a whole of which the client takes one chunk": ("/iiif/3/fine/full/max/0/default.raw", 1, "200"),
    "a whole of which the client takes nothing": ("/iiif/3/fine/full/max/0/default.raw", 0, "200"),
    "black and white": ("/iiif/3/untiled/full/max/0/bitonal.raw", None, "200"),
    "info.json": ("/iiif/3/fine/info.json", None, "200"),
    "an unknown image": ("/iiif/3/none/full/max/0/default.raw", None, "404"),
    "a bad region": ("/iiif/3/fine/x/max/0/default.raw", None, "400"),
    "a broken file": ("/iiif/3/broken/info.json", None, "500"),
    "another path": ("/elsewhere", None, "404"),
    "health": ("/sidecar/health", None, "200"),
    "metrics": ("/sidecar/metrics", None, "200"),
}


@pytest.mark.parametrize("request_", REQUESTS.values(), ids=[*REQUESTS])
def test_a_request_leaves_no_cycle(service: WorkerLifecycle, request_: tuple[str, int | None, str]) -> None:
    """Twenty requests of a kind, those that fail included, leave nothing for the collector to find."""
    path, chunks, status = request_
    assert ask(service, path, chunks) == status
    assert left(lambda: [ask(service, path, chunks) for _ in range(20)]) == []


def test_opening_leaves_no_cycle(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """Images that are opened anew, which one decoder has refused and the next has taken, leave nothing either."""
    monkeypatch.setenv("SIDECAR_READER_CACHE_SIZE", "1")
    service = request.getfixturevalue("installed")
    paths = [f"/iiif/3/{name}/0,0,64,64/max/0/default.jpg" for name in ("tiled_512.jp2", "gray8.jp2", "slide.svs")]
    assert {ask(service, path) for path in paths} == {"200"}
    assert left(lambda: [ask(service, path) for path in paths * 3]) == []


@pytest.fixture
def installed(images: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[WorkerLifecycle]:
    """A worker's application with every plugin there is, over images on the disk."""
    monkeypatch.setenv("SIDECAR_FILESYSTEM_ROOT", str(images))
    monkeypatch.setenv("SIDECAR_OPENSLIDE_SUFFIXES", "svs")
    plugins = Plugins()
    config = plugins.configure()
    pool = NativePool(2)
    made = create_app(config, plugins.load(config, pool), pool)
    yield made
    made.close()


@pytest.mark.parametrize("name", ["tiled_512.jp2", "untiled_precincts_plt_layers.jp2", "gray8.jp2", "slide.svs"])
@pytest.mark.parametrize("end", ["default.jpg", "gray.png"])
def test_native_libraries_leave_no_cycle(installed: WorkerLifecycle, name: str, end: str) -> None:
    """Nor do the libraries that decode and encode, whatever number of bytes goes in and out of them."""
    paths = [f"/iiif/3/{name}/{x},{x},200,200/150,/0/{end}" for x in range(0, 100, 20)]
    paths.append(f"/iiif/3/{name}/full/max/0/{end}")
    assert {ask(installed, path) for path in paths} == {"200"}
    assert left(lambda: [ask(installed, path) for path in paths]) == []


def left(call: Callable[[], object]) -> list[str]:
    """What a call leaves for the collector."""
    gc.collect()
    gc.disable()
    # What other tests left under way may end meanwhile: the collector does not look at what is there already.
    gc.freeze()
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        call()
        gc.collect()
        return [described(thing) for thing in gc.garbage]
    finally:
        gc.set_debug(0)
        gc.unfreeze()
        gc.enable()
        gc.garbage.clear()


def described(thing: object) -> str:
    """What a found object is, for the message of a failed test."""
    if isinstance(thing, types.FrameType):
        return f"frame of {thing.f_code.co_qualname}"
    return f"{type(thing).__module__}.{type(thing).__qualname__} {str(thing)[:60]}"
