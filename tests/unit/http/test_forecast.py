"""What would become of a request is what becomes of it, and finding that out decodes nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import falcon.testing
import pytest
from structlog.testing import capture_logs

from sidecar.config import Settings
from sidecar.http.app import make_app
from sidecar.http.asking import Question
from sidecar.http.forecast import Forecast, forecast, run, settled
from sidecar.http.inspection import inspect
from sidecar.http.json_values import as_json
from sidecar.http.readiness import Readiness
from sidecar.http.status_report import StatusReport
from sidecar.limits.quarantine import Quarantine
from sidecar.limits.threads import NativePool
from sidecar.observability.metrics import HANDOVERS, Gauges
from sidecar.observability.request_book import RequestBook
from sidecar.plugin import Blob, Buffer, Config, Fact, Pixels, Rect, Size, Unsupported, Window
from sidecar.registry import Registry
from sidecar.render.cost import WindowCost, summed
from sidecar.render.service import ImageService
from sidecar.server.application import make_service
from sidecar.testing.fakes import (
    GradientDecoder,
    GradientReader,
    MemoryBlob,
    MemorySource,
    RawEncoderFactory,
    gradient,
)

BLOBS: Final = {
    "small.gradient": MemoryBlob("small.gradient", gradient(200, 100)),
    "tall.gradient": MemoryBlob("tall.gradient", gradient(1500, 4000, tile=500)),
    "untiled.gradient": MemoryBlob("untiled.gradient", gradient(300, 300, tile=0)),
    "broken.gradient": MemoryBlob("broken.gradient", b"gradient one two\n"),
    "other.gradient": MemoryBlob("other.gradient", b"something else"),
    "unreachable.gradient": MemoryBlob("unreachable.gradient", gradient(64, 65)),
}
URLS: Final = (
    "/iiif/3/small.gradient/0,0,64,64/max/0/default.raw",
    "/iiif/3/small.gradient/full/50,/!90/gray.raw",
    "/iiif/2/tall.gradient/full/full/0/default.raw",
    "/iiif/3/small.gradient/info.json",
    "/iiif/3/small.gradient",
    "/iiif/3/small.gradient/full/max/12/default.raw",
    "/iiif/3/small.gradient/full/max/0/default.gif",
    "/iiif/3/small.gradient/full/9999,/0/default.raw",
    "/iiif/3/nobody/full/max/0/default.raw",
    "/iiif/3/broken.gradient/full/max/0/default.raw",
    "/iiif/3/other.gradient/full/max/0/default.raw",
    "/iiif/3/unreachable.gradient/full/max/0/default.raw",
    "/iiif/3/small.gradient/full/max/0/default.raw?page=2",
    "/iiif/9/small.gradient/info.json",
    "/somewhere",
)


class Reader(GradientReader):
    """Counts what is read, and has no window of images that are 65 pixels high."""

    reads = 0

    def window(self, level: int, region: Rect) -> Window:
        """Raise Unsupported for some images."""
        if self.info.size.height == 65:
            raise Unsupported("no window of this")
        return super().window(level, region)

    def read(self, window: Window, data: Sequence[Buffer], into: Pixels) -> None:
        """Count it."""
        type(self).reads += 1
        super().read(window, data, into)


class Decoder(GradientDecoder):
    """Opens gradients, and has learnt all there is after it was asked a few times."""

    left = 0

    @property
    def learning(self) -> bool:
        """Report whether there is more."""
        self.left -= 1
        return self.left > 0

    def open(self, blob: Blob) -> Reader:
        """Open a gradient."""
        opened = super().open(blob)
        return Reader(opened.info, opened._line)


@pytest.fixture
def decoder() -> Decoder:
    """Return the decoder of the service."""
    return Decoder()


@pytest.fixture
def service(decoder: Decoder) -> Iterator[ImageService]:
    """Make a service as a worker does; nobody listens where its Cantaloupe should be."""
    Reader.reads = 0
    pool = NativePool(2)
    registry = Registry([MemorySource(BLOBS)], [decoder], {"raw": RawEncoderFactory()})
    yield make_service(Settings(cantaloupe_url="http://127.0.0.1:9"), registry, pool, Quarantine())
    pool.close()


def served(service: ImageService, url: str) -> tuple[falcon.testing.Result, dict[str, Any]]:
    """Let the server answer behind nginx; returns the response and its line in the log."""
    shown = Registry([], [], {})
    report = StatusReport(Config.of(service.settings), shown, (), (), Quarantine(), RequestBook(), lambda: None)
    app = make_app(service, Readiness(service.renderer.admission, lambda: 0), Gauges({}), report)
    path, _, query = url.partition("?")
    headers = {"X-Sidecar-Handover": "nginx", "Host": "localhost"}
    with capture_logs() as logs:
        result = falcon.testing.simulate_get(app, path, query_string=query, headers=headers, extras={"RAW_URI": url})
    return result, next(dict(line) for line in logs if line["event"] == "request")


@pytest.mark.parametrize("url", URLS)
def test_it_is_what_the_server_does(service: ImageService, url: str) -> None:
    """Status, reason, explanation, outcome, ETag and promised memory are those of the response and its log line."""
    found = forecast(service, Question(url))
    assert Reader.reads == 0
    response, line = served(service, url)
    assert (found.status, found.outcome, found.reason) == (response.status_code, line["outcome"], line["reason"])
    assert found.problem == line.get("problem", "")
    assert found.headers.get("etag") == response.headers.get("etag")
    assert (found.cost.peak_bytes if found.cost else None) == (
        line.get("promised") if found.outcome == "answered" else None
    )
    assert found.source == line.get("source", "")


def test_windows_are_those_that_are_fetched(service: ImageService) -> None:
    """Bands, windows and bytes are those of the response; each part of the image is in one window."""
    found = forecast(service, Question(URLS[2]))
    assert found.cost is not None
    made = run(service, Question(URLS[2]))
    # All windows of a gradient have the same bytes, which are read once.
    assert made.fetched_bytes == found.cost.windows[0].bytes
    assert Reader.reads == len(found.cost.windows)
    assert found.cost.pixels == 1500 * 4000
    assert found.cost.large
    assert found.cost.size == Size(1500, 4000)


def test_without_a_cantaloupe(service: ImageService) -> None:
    """Alone, nothing is handed over, and no Cantaloupe is asked, though its address is set."""
    found = forecast(service, Question(URLS[5], has_cantaloupe=False))
    assert (found.status, found.outcome, found.reason) == (501, "refused", "unsupported")


def test_nothing_is_counted(service: ImageService) -> None:
    """Metrics do not change: they are about what clients asked for."""

    def handovers() -> float:
        return sum(each.value for each in next(iter(HANDOVERS.collect())).samples if each.name.endswith("_total"))

    before = handovers()
    forecast(service, Question(URLS[5]))
    assert handovers() == before
    served(service, URLS[5])
    assert handovers() == before + 1


def test_a_run_answers(service: ImageService) -> None:
    """A run makes the whole response, times its stages, and gives everything back."""
    made = run(service, Question("http://example.org" + URLS[0]))
    response, _ = served(service, URLS[0])
    assert (made.status, made.body_bytes) == (200, len(response.content))
    assert {"decode", "encode"} <= {*made.stages}
    assert made.first_byte <= made.milliseconds
    assert service.renderer.admission.held == 0


def test_conditional_headers_count(service: ImageService) -> None:
    """With the ETag that a client has, the answer is 304, and nothing is opened."""
    tag = forecast(service, Question(URLS[0])).headers["etag"]
    found = forecast(service, Question(URLS[0], {"If-None-Match": tag}))
    assert (found.status, found.outcome, found.cost) == (304, "answered", None)


def test_it_waits_for_what_is_learnt(service: ImageService, decoder: Decoder) -> None:
    """A decoder that learns is waited for, within the patience of whoever asks."""
    decoder.left = 5
    settled(service, Question(URLS[0]), 10)
    assert decoder.left <= 0
    decoder.left = 10**6
    assert settled(service, Question(URLS[0]), 0.05).status == 200


def test_what_an_image_is(service: ImageService) -> None:
    """The inspection has the image, what its decoder says and advises, and two tiles that were made."""
    found = inspect(service, BLOBS["untiled.gradient"])
    assert (found.decoder, found.size, found.channels, found.reason) == ("gradient", Size(300, 300), 3, "")
    assert [level.downsample for level in found.levels] == [1, 2, 4, 8]
    assert found.facts == (Fact("line", "gradient 300 300 3 4 0"),)
    assert [advice.commands for advice in found.advice] == [("tile IN OUT",)]
    assert [(tile.name, tile.region) for tile in found.tiles] == [
        ("300 x 300 at 1:1", Rect(0, 0, 300, 300)),
        ("75 x 75 at 1:4", Rect(0, 0, 300, 300)),
    ]
    assert all(tile.in_ranges and tile.read_bytes == len(b"gradient 300 300 3 4 0\n") for tile in found.tiles)
    assert all(tile.milliseconds is not None and tile.body_bytes for tile in found.tiles)


def test_an_image_that_is_not_served(service: ImageService) -> None:
    """What cannot be opened has a reason and an explanation, and no more."""
    found = inspect(service, BLOBS["broken.gradient"])
    assert (found.reason, found.size, found.tiles) == ("malformed", None, ())
    assert "five numbers" in found.problem
    assert inspect(service, BLOBS["unreachable.gradient"]).reason == "unsupported"


def test_nothing_is_made_if_nothing_is_measured(service: ImageService) -> None:
    """Without measuring nothing is decoded."""
    found = inspect(service, BLOBS["small.gradient"], measure=False)
    assert Reader.reads == 0
    assert [tile.milliseconds for tile in found.tiles] == [None, None]


def test_as_json(service: ImageService) -> None:
    """All that is found can be written as JSON, facts as one object."""
    found = forecast(service, Question(URLS[0]))
    written = json.loads(json.dumps(as_json(found)))
    assert written["cost"]["windows"][0]["facts"] == {"pixels": 64 * 64}
    assert {*written} == {*Forecast.__dataclass_fields__}
    assert as_json(Path("/a")) == "/a"


def test_facts_of_many_windows() -> None:
    """Numbers are added up, texts that are alike stand once, others are counted."""
    region = Rect(0, 0, 1, 1)
    windows = [
        WindowCost(region, 1, 1, (Fact("blocks", 2), Fact("from", "a tile"), Fact("how", "cut"))),
        WindowCost(region, 1, 1, (Fact("blocks", 3), Fact("from", "a tile"), Fact("how", "whole"))),
    ]
    assert [*summed(windows)] == [
        ("blocks", 5),
        ("from", "a tile"),
        ("how", "cut (1x); whole (1x)"),
    ]
