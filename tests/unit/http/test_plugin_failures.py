"""Exceptions that nobody foresaw: a request that meets one before its first byte is handed over, and the log has it."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, NoReturn

import falcon.testing
import pytest
import structlog

from sidecar.config import Settings
from sidecar.errors import PluginFailure
from sidecar.http.client import BEHIND
from sidecar.http.middleware import Wsgi
from sidecar.limits.threads import NativePool
from sidecar.observability import logging
from sidecar.plugin import Buffer, ByteRange, Config
from sidecar.registry import Registry
from sidecar.server.application import create_app
from sidecar.testing.fakes import GradientDecoder, MemoryBlob, MemorySource, RawEncoderFactory, gradient

TILE: Final = "/iiif/3/{}/0,0,64,64/max/0/default.raw"
WHOLE: Final = "/iiif/3/{}/full/max/0/default.raw"
NAMES: Final = ("x.gradient", "no-suffix")
BLOBS: Final = {name: MemoryBlob(name, gradient(1500, 4000, tile=500)) for name in NAMES}


def fail(*_: object, **__: object) -> NoReturn:
    """Raise what no plugin should."""
    raise ZeroDivisionError("something is broken here")


class Broken:
    """A part of a plugin that fails at one member: `open.read` is `read` of what its `open` returns."""

    def __init__(self, part: Any, path: str) -> None:
        self._part = part
        self._member, _, self._rest = path.partition(".")

    def __getattr__(self, name: str) -> Any:
        """Return the part's own member, or the one that fails."""
        value = getattr(self._part, name)
        if name != self._member:
            return value
        if self._rest:
            return lambda *given: Broken(value(*given), self._rest)
        return fail if callable(value) else fail()


@pytest.fixture(scope="module")
def pool() -> Iterator[NativePool]:
    """Yield native threads for all tests of this file."""
    native = NativePool(2)
    yield native
    native.close()


Logged = Callable[[], list[dict[str, Any]]]


@pytest.fixture
def logged(monkeypatch: pytest.MonkeyPatch) -> Iterator[Logged]:
    """Yield a function that returns the lines of the log at level error, but for those about whole requests."""
    lines = io.StringIO()
    monkeypatch.setattr("sys.stderr", lines)
    logging.configure("error")
    yield lambda: [line for line in map(json.loads, lines.getvalue().splitlines()) if line["event"] != "request"]
    structlog.reset_defaults()


Serve = Callable[..., Wsgi]


@pytest.fixture
def serve(pool: NativePool) -> Serve:
    """Make an application of a source, a decoder and an encoder."""

    def make(source: Any = None, decoder: Any = None, factory: Any = None) -> Wsgi:
        sources, decoders = [source or MemorySource(BLOBS)], [decoder or GradientDecoder()]
        return create_app(
            Config.of(Settings()), Registry(sources, decoders, {"raw": factory or RawEncoderFactory()}), pool
        )

    return make


def ask(app: Wsgi, path: str, *, behind: bool = True) -> falcon.testing.Result:
    """Ask for a path, as the nginx site does if `behind`."""
    return falcon.testing.simulate_get(app, path, headers={BEHIND: "nginx"} if behind else {})


def counted(app: Wsgi, metric: str) -> float:
    """Return the value of a metric, 0 if it was never counted."""
    lines = ask(app, "/sidecar/metrics").text.splitlines()
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(metric))


@dataclass(frozen=True)
class Case:
    """Where something breaks, and the plugin that the log and the metric name."""

    part: str
    path: str
    plugin: str
    image: str = "x.gradient"


CASES: Final = (
    Case("source", "find", "memory"),
    Case("decoder", "recognizes", "gradient", "no-suffix"),
    Case("decoder", "open", "gradient"),
    Case("decoder", "open.info", "gradient"),
    Case("decoder", "open.window", "gradient"),
    Case("decoder", "open.read", "gradient"),
    Case("factory", "start", "raw"),
    Case("factory", "start.write", "raw"),
    Case("factory", "start.finish", "raw"),
)
PARTS: Final[dict[str, Callable[[], Any]]] = {
    "source": lambda: MemorySource(BLOBS),
    "decoder": GradientDecoder,
    "factory": RawEncoderFactory,
}


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.part}.{case.path}")
def test_a_plugin_that_fails_before_the_first_byte(serve: Serve, case: Case, logged: Logged) -> None:
    """The request is handed over; the metric counts the plugin; the log names plugin and image, with the traceback."""
    app = serve(**{case.part: Broken(PARTS[case.part](), case.path)})
    failures = f'sidecar_plugin_failures_total{{plugin="{case.plugin}"}}'
    before = counted(app, failures)
    answer = ask(app, TILE.format(case.image))
    assert answer.headers["x-accel-redirect"] == "@cantaloupe"
    assert answer.content == b""
    assert counted(app, failures) == before + 1
    (line,) = logged()
    assert (line["level"], line["plugin"], line["image"]) == ("error", case.plugin, case.image)
    assert "ZeroDivisionError: something is broken here" in line["exception"]
    assert "in fail" in line["exception"]
    assert counted(app, "sidecar_permits_bytes_in_use") == 0
    assert counted(app, "sidecar_readers_leased") == 0


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.part}.{case.path}")
@pytest.mark.usefixtures("logged")
def test_a_plugin_that_fails_without_a_cantaloupe(serve: Serve, case: Case) -> None:
    """Without a Cantaloupe the response is a 500 that nobody keeps; what failed stands in the log, under its id."""
    app = serve(**{case.part: Broken(PARTS[case.part](), case.path)})
    answer = ask(app, TILE.format(case.image), behind=False)
    assert answer.status_code == 500
    assert "ZeroDivisionError" not in answer.text
    assert f"the details of request {answer.headers['x-request-id']}" in answer.text
    assert answer.headers["cache-control"] == "no-cache, must-revalidate"
    assert not {"etag", "last-modified"} & set(answer.headers)


@dataclass(frozen=True)
class ReadOnce(MemoryBlob):
    """A blob whose header can be read, and nothing after it."""

    def read(self, ranges: Sequence[ByteRange]) -> Sequence[Buffer]:
        """Read the first time, and fail after."""
        return fail() if self.asked else super().read(ranges)


def test_a_source_that_fails_while_the_image_is_read(serve: Serve, logged: Logged) -> None:
    """Bytes that cannot be fetched for a reason that nobody foresaw are the source's failure, and handed over."""
    app = serve(MemorySource({"x": ReadOnce("x.gradient", gradient(200, 100))}))
    before = counted(app, 'sidecar_plugin_failures_total{plugin="memory"}')
    assert ask(app, TILE.format("x")).headers["x-accel-redirect"] == "@cantaloupe"
    assert counted(app, 'sidecar_plugin_failures_total{plugin="memory"}') == before + 1
    (line,) = logged()
    assert (line["plugin"], line["image"]) == ("memory", "x.gradient")


def test_info_of_an_image_whose_decoder_fails(serve: Serve, logged: Logged) -> None:
    """A request for info.json is handed over as well."""
    app = serve(decoder=Broken(GradientDecoder(), "open"))
    assert ask(app, "/iiif/3/x.gradient/info.json").headers["x-accel-redirect"] == "@cantaloupe"
    assert [line["plugin"] for line in logged()] == ["gradient"]


def test_an_image_that_failed_is_opened_anew(serve: Serve, logged: Logged) -> None:
    """A reader that failed is not given to the next request, which is answered if all goes well."""
    decoder = GradientDecoder()
    app = serve(decoder=decoder)
    assert ask(app, TILE.format("x.gradient")).status_code == 200
    (reader,) = decoder.opened
    vars(reader)["read"] = fail
    another = TILE.format("x.gradient").replace("/0,0,", "/64,0,")
    assert "x-accel-redirect" in ask(app, another).headers
    assert "x-accel-redirect" not in ask(app, another).headers
    assert len(decoder.opened) == 2
    assert len(logged()) == 1


def test_a_plugin_that_fails_after_the_first_byte(serve: Serve, logged: Logged) -> None:
    """A failure after the first byte breaks the connection, and is counted and logged as well."""
    app = serve(factory=Broken(RawEncoderFactory(), "start.finish"))
    before = counted(app, 'sidecar_plugin_failures_total{plugin="raw"}')
    with pytest.raises(PluginFailure, match="raw failed: ZeroDivisionError"):
        ask(app, WHOLE.format("x.gradient"))
    assert counted(app, 'sidecar_plugin_failures_total{plugin="raw"}') == before + 1
    assert [line["image"] for line in logged() if "plugin" in line] == ["x.gradient"]
    assert counted(app, "sidecar_permits_bytes_in_use") == 0


@pytest.mark.parametrize("behind", [True, False])
def test_a_failure_of_the_sidecar_itself(
    serve: Serve, logged: Logged, monkeypatch: pytest.MonkeyPatch, *, behind: bool
) -> None:
    """An exception in the core is logged with its traceback and handed over; without a Cantaloupe it is a 500."""
    monkeypatch.setattr("sidecar.http.image.canonical", fail)
    app = serve()
    before = counted(app, 'sidecar_handovers_total{reason="crash"}')
    answer = ask(app, TILE.format("x.gradient"), behind=behind)
    assert ("x-accel-redirect" in answer.headers) == behind
    assert answer.status_code == (421 if behind else 500)
    assert not {"etag", "last-modified"} & set(answer.headers)
    assert counted(app, 'sidecar_handovers_total{reason="crash"}') == before + 1
    (line,) = logged()
    assert "in fail" in line["exception"]
