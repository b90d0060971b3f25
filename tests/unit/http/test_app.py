"""The application as a whole, with plugins that need no library: routes, refusals, failures, and what stays taken."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import falcon.testing
import gevent
import numpy as np
import pytest

from sidecar.config import Settings
from sidecar.errors import Overloaded
from sidecar.http.middleware import Wsgi
from sidecar.limits.threads import NativePool
from sidecar.plugin import Blob, Buffer, ByteRange, Config, Frame, Pixels, Window
from sidecar.registry import Registry
from sidecar.server.application import create_app
from sidecar.testing.fakes import (
    GradientDecoder,
    GradientReader,
    MemoryBlob,
    MemorySource,
    RawEncoder,
    RawEncoderFactory,
    gradient,
    unraw,
)

MODIFIED: Final = datetime(2024, 5, 6, 7, 8, 9, tzinfo=UTC)
TILE: Final = "/iiif/3/small.gradient/0,0,64,64/max/0/default.raw"
WHOLE: Final = "/iiif/3/tall.gradient/full/max/0/default.raw"
BLOBS: Final = {
    "small.gradient": MemoryBlob("small.gradient", gradient(200, 100), MODIFIED),
    "tall.gradient": MemoryBlob("tall.gradient", gradient(1500, 4000, tile=500), MODIFIED),
    "a/b.gradient": MemoryBlob("a/b.gradient", gradient(50, 40), MODIFIED),
    "broken.gradient": MemoryBlob("broken.gradient", b"gradient one two\n", MODIFIED),
    "cassé.gradient": MemoryBlob("cassé.gradient", b"gradient one two\n", MODIFIED),
}


@pytest.fixture(scope="module")
def pool() -> Iterator[NativePool]:
    """Native threads for all tests of this file."""
    native = NativePool(2)
    yield native
    native.close()


@dataclass(frozen=True)
class Served:
    """An application and the plugins in it."""

    app: Wsgi
    decoder: GradientDecoder

    def ask(self, path: str, method: str = "GET", **headers: str) -> falcon.testing.Result:
        """Send a request, with the path as it stands on the request line."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        plain, _, query = path.partition("?")
        extras = {"RAW_URI": path}
        del plain
        return falcon.testing.simulate_request(self.app, method, "/", query_string=query, headers=named, extras=extras)

    @property
    def left(self) -> dict[str, float]:
        """The metrics of what is held at this moment."""
        lines = self.ask("/sidecar/metrics").text.splitlines()
        wanted = ("sidecar_permits_bytes_in_use", "sidecar_permits_waiting", "sidecar_readers_leased")
        return {name: float(value) for name, _, value in (line.partition(" ") for line in lines) if name in wanted}


NOTHING: Final = {
    "sidecar_permits_bytes_in_use": 0.0,
    "sidecar_permits_waiting": 0.0,
    "sidecar_readers_leased": 0.0,
}


@pytest.fixture
def serve(pool: NativePool) -> Callable[..., Served]:
    """Make an application of settings, and of an encoder if it is not the usual one."""

    def make(factory: Any = None, **settings: Any) -> Served:
        decoder = GradientDecoder()
        registry = Registry([MemorySource(BLOBS)], [decoder], {"raw": factory or RawEncoderFactory()})
        return Served(create_app(Config.of(Settings(**settings)), registry, pool), decoder)

    return make


def test_picture(serve: Callable[..., Served]) -> None:
    """A tile comes whole, with its length, type, validators and canonical link."""
    answer = serve().ask(TILE)
    assert answer.status_code == 200
    assert unraw(answer.content).shape == (64, 64, 3)
    assert answer.headers["content-length"] == str(len(answer.content))
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["last-modified"] == "Mon, 06 May 2024 07:08:09 GMT"
    assert answer.headers["etag"].startswith('"')
    assert answer.headers["link"] == f'<http://falconframework.org{TILE}>;rel="canonical"'


@pytest.mark.parametrize("path", [TILE, WHOLE, "/iiif/3/small.gradient/info.json", "/iiif/2/small.gradient"])
def test_head_is_get_without_the_body(serve: Callable[..., Served], path: str) -> None:
    """HEAD has the headers of GET (RFC 9110 §9.3.2), nothing is encoded for it and nothing stays taken."""
    factory = RawEncoderFactory()
    site = serve(factory)
    head = site.ask(path, "HEAD")
    assert not factory.started
    get = site.ask(path)
    assert (head.status_code, head.content) == (get.status_code, b"")
    unmade = {"content-length", "transfer-encoding", "x-request-id"}
    assert {k: v for k, v in head.headers.items() if k not in unmade} == {
        k: v for k, v in get.headers.items() if k not in unmade
    }
    assert site.left == NOTHING


@pytest.mark.parametrize("path", [TILE, WHOLE, "/iiif/3/small.gradient/info.json", "/iiif/3/no.gradient/info.json"])
def test_head_has_the_length_of_get_or_none(serve: Callable[..., Served], path: str) -> None:
    """HEAD says nothing of a picture's length, which only encoding would tell; other lengths are those of GET."""
    site = serve()
    head, get = site.ask(path, "HEAD"), site.ask(path)
    expected = None if path.endswith(".raw") else str(len(get.content))
    assert head.headers.get("content-length") == expected


def test_large_picture_is_streamed_and_everything_comes_back(serve: Callable[..., Served]) -> None:
    """A large response has no length, is whole, and leaves no permit and no lease."""
    site = serve()
    answer = site.ask(WHOLE)
    assert "content-length" not in answer.headers
    assert unraw(answer.content).shape == (4000, 1500, 3)
    assert site.left == NOTHING


@pytest.mark.parametrize("chunks", [0, 1, 3])
def test_client_leaves(serve: Callable[..., Served], chunks: int) -> None:
    """However many chunks of a large response were read, closing it returns everything; the reader is kept."""
    site = serve()
    environ = falcon.testing.create_environ("/")
    environ["RAW_URI"] = WHOLE
    body = site.app(environ, falcon.testing.StartResponseMock())
    rest = iter(body)
    for _ in range(chunks):
        next(rest)
    assert site.left["sidecar_permits_bytes_in_use"] > 0
    body.close()  # type: ignore[attr-defined]  # PEP 3333: a server calls it where it is there
    assert site.left == NOTHING
    assert not any(reader.closed for reader in site.decoder.opened)


def test_start_response_that_fails_leaves_nothing_behind(serve: Callable[..., Served]) -> None:
    """A server may refuse a header, as gunicorn does; the response that it never got does not keep its memory."""
    site = serve()
    environ = falcon.testing.create_environ("/")
    environ["RAW_URI"] = WHOLE

    def refuse(*_: object) -> None:
        raise ValueError("a header of this answer cannot be sent")

    with pytest.raises(ValueError, match="cannot be sent"):
        site.app(environ, refuse)
    assert site.left == NOTHING


class Slow(GradientDecoder):
    """A decoder whose readers take a while, and count how often they are closed meanwhile."""

    def __init__(self) -> None:
        super().__init__()
        self.under_way = 0
        self.closed_too_early = 0

    def open(self, blob: Blob) -> GradientReader:
        """Open an image whose reader is slow."""
        reader = super().open(blob)
        read, close = reader.read, reader.close

        def slowly(window: Window, data: Sequence[Buffer], into: Pixels) -> None:
            self.under_way += 1
            try:
                time.sleep(0.05)
                read(window, data, into)
            finally:
                self.under_way -= 1

        def watched() -> None:
            self.closed_too_early += self.under_way
            close()

        vars(reader).update(read=slowly, close=watched)
        return reader


def test_start_response_that_fails_closes_no_reader_in_use(pool: NativePool) -> None:
    """The response is closed, not dropped: no reader is closed while a native thread reads from it."""
    decoder = Slow()
    registry = Registry([MemorySource(BLOBS)], [decoder], {"raw": RawEncoderFactory()})
    app = create_app(Config.of(Settings()), registry, pool)
    environ = falcon.testing.create_environ("/")
    environ["RAW_URI"] = WHOLE

    def refuse(*_: object) -> None:
        raise ValueError("a header of this answer cannot be sent")

    with pytest.raises(ValueError, match="cannot be sent"):
        app(environ, refuse)
    gevent.sleep(0.3)
    assert decoder.closed_too_early == 0


def test_greenlet_killed_while_its_large_answer_is_made(serve: Callable[..., Served]) -> None:
    """A worker that stops kills its requests: GreenletExit passes through, and everything is returned."""

    class Pausing(RawEncoderFactory):
        def start(self, frame: Frame) -> RawEncoder:
            gevent.sleep(0)
            return super().start(frame)

    site = serve(Pausing())
    environ = falcon.testing.create_environ("/")
    environ["RAW_URI"] = WHOLE
    request = gevent.spawn(site.app, environ, falcon.testing.StartResponseMock())
    for _ in range(3):
        gevent.sleep(0)
    request.kill(timeout=10)
    assert request.ready()
    with gevent.Timeout(10):
        while site.left != NOTHING:
            gevent.sleep(0.01)


def test_escaped_slash_stays_in_the_identifier(serve: Callable[..., Served]) -> None:
    """`%2F` does not divide the path; a bare slash does."""
    site = serve()
    assert site.ask("/iiif/3/a%2Fb.gradient/info.json").json["width"] == 50
    assert site.ask("/iiif/3/a/b.gradient/info.json").status_code == 404


def test_bytes_above_ascii_do_not_lead_past_the_look_at_the_image(serve: Callable[..., Served]) -> None:
    """A malformed image is refused behind the nginx site as well, however its identifier is written."""
    site, behind = serve(), {"X_Sidecar_Handover": "nginx"}
    for name in ("cassé", "cass\xc3\xa9", "cass%C3%A9"):
        answer = site.ask(f"/iiif/3/{name}.gradient/info.json", **behind)
        assert ("x-accel-redirect" in answer.headers) == (name == "cassé")  # which is Latin-1: no such image
        assert answer.status_code == (421 if name == "cassé" else 500)


def test_absolute_form(serve: Callable[..., Served]) -> None:
    """A request target with scheme and host is understood (RFC 9112 §3.2.2)."""
    assert serve().ask(f"http://falconframework.org{TILE}").status_code == 200


def test_scheme_inside_a_path_does_not_move_its_beginning(serve: Callable[..., Served]) -> None:
    """A path that holds `://` is routed as it stands, since what guards it in front has seen the whole of it."""
    answer = serve().ask("/anything/x://y/iiif/3/small.gradient/info.json")
    assert answer.status_code == 404


@pytest.mark.parametrize(
    "path, status",
    [
        ("/", 404),
        ("/iiif/3/nothing.gradient/info.json", 404),
        ("/iiif/3/nothing.gradient/full/max/0/default.raw", 404),
        ("/iiif/4/small.gradient/info.json", 404),
        ("/iiif/3//info.json", 404),
        ("/iiif/3/small.gradient/", 404),
        ("/iiif/3/small.gradient/full/max/0/default.tif", 501),
        ("/iiif/3/small.gradient/full/0,0/0/default.raw", 400),
        ("/iiif/3/small.gradient/full/max/0/sepia.raw", 400),
        ("/iiif/3/small.gradient/full/max/45/default.raw", 501),
        ("/iiif/3/small.gradient/full/max/0/default.raw?page=2", 501),
        ("/iiif/3/small.gradient/900,900,1,1/max/0/default.raw", 400),
        ("/iiif/3/broken.gradient/info.json", 500),
        ("/iiif/3/%FF/info.json", 400),
        ("/iiif/3/%zz/info.json", 400),
        ("/iiif/3/small.gradient/info.json?a=é", 400),
        ("/iiif/3/s\xc3\xa9.gradient/full/max/0/default.raw", 400),
    ],
)
def test_refusals_without_cantaloupe(serve: Callable[..., Served], path: str, status: int) -> None:
    """A refusal has its status and a plain text that is not to be cached; nothing stays taken."""
    site = serve()
    answer = site.ask(path)
    assert answer.status_code == status
    assert answer.text.startswith(str(status))
    assert answer.headers["content-type"] == "text/plain;charset=utf-8"
    assert answer.headers["cache-control"] == "no-cache, must-revalidate"
    assert not {"etag", "last-modified", "link"} & set(answer.headers)
    assert site.left == NOTHING


@pytest.mark.parametrize(
    "path, reason",
    [
        ("/iiif/3/nothing.gradient/info.json", "not-found"),
        ("/iiif/3/small.gradient/full/max/45/default.raw", "unsupported"),
        ("/iiif/3/broken.gradient/info.json", "malformed"),
        (TILE, None),
        ("/iiif/3/small.gradient/info.json", None),
    ],
)
def test_the_reason_is_a_header(serve: Callable[..., Served], path: str, reason: str | None) -> None:
    """Handovers and refusals say why, before a Cantaloupe and alone; pictures and info.json say nothing."""
    site = serve()
    for headers in ({}, {"X_Sidecar_Handover": "nginx"}):
        assert site.ask(path, **headers).headers.get("x-sidecar-reason") == reason


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "TRACE"])
def test_other_methods_without_cantaloupe(serve: Callable[..., Served], method: str) -> None:
    """405 names the methods that are allowed (RFC 9110 §15.5.6)."""
    answer = serve().ask(TILE, method)
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD, OPTIONS")


def test_options_without_cantaloupe(serve: Callable[..., Served]) -> None:
    """OPTIONS is answered with what is allowed, and no body."""
    answer = serve().ask(TILE, "OPTIONS")
    assert (answer.status_code, answer.content) == (204, b"")
    assert answer.headers["allow"] == "GET, HEAD, OPTIONS"
    assert answer.headers["access-control-allow-origin"] == "*"


class Failing(RawEncoderFactory):
    """A factory whose encoders raise an error at a strip."""

    def __init__(self, error: BaseException, at: int = 0) -> None:
        super().__init__()
        self._error, self._at = error, at

    def start(self, frame: Frame) -> RawEncoder:
        """Begin a picture that will fail."""
        error, at = self._error, self._at

        class Fails(RawEncoder):
            def write(self, strip: Pixels) -> bytes:
                if len(self.strips) == at:
                    raise error
                return super().write(strip)

        return Fails(frame)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize(
    "error, status", [(MemoryError(), 503), (ValueError("box can't exceed original image size"), 500)], ids=repr
)
@pytest.mark.parametrize("path", [TILE, WHOLE])
def test_unforeseen_failure_is_not_kept_by_caches(
    serve: Callable[..., Served], error: Exception, status: int, path: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The response to an unforeseen failure has no ETag and no max-age; permit and reader are returned."""
    site = serve(Failing(error))
    answer = site.ask(path)
    capsys.readouterr()
    assert answer.status_code == status
    assert site.left == NOTHING
    assert "max-age" not in answer.headers.get("cache-control", "")
    assert not {"etag", "last-modified"} & set(answer.headers)


def test_failure_halfway_breaks_the_answer(serve: Callable[..., Served]) -> None:
    """Once bytes are sent, a failure is raised to the server, which breaks the connection; nothing stays taken."""
    site = serve(Failing(MemoryError(), at=9))
    with pytest.raises(Overloaded, match="memory"):
        site.ask(WHOLE)
    assert site.left == NOTHING


def test_other_pages_and_times_are_handed_over(serve: Callable[..., Served]) -> None:
    """`page=1` is answered; requests with a time are handed over."""
    site = serve()
    assert site.ask(f"{TILE}?page=1").status_code == 200
    assert site.ask(f"{TILE}?time=3").status_code == 501


@pytest.mark.parametrize("number", ["03", "+3", "3_0"])
def test_version_is_a_plain_digit(serve: Callable[..., Served], number: str) -> None:
    """Only `2` and `3` name versions: other spellings of the numbers are other paths."""
    assert serve().ask(f"/iiif/{number}/small.gradient/info.json").status_code == 404


def test_larger_than_memory(serve: Callable[..., Served]) -> None:
    """A response that never fits into memory is a 413, for HEAD as well."""
    site = serve(memory_bytes=1 << 20)
    assert [site.ask(WHOLE, method).status_code for method in ("GET", "HEAD")] == [413, 413]


MIB: Final = 1 << 20


@pytest.mark.parametrize("memory, most", [(4 * MIB, MIB), (8 * MIB, 2 * MIB), (1 << 30, 0)])
def test_the_largest_response_follows_from_the_memory(serve: Callable[..., Served], memory: int, most: int) -> None:
    """An image with more pixels than a response may have bytes has a largest area, which `max` keeps to.

    Half of so little memory is for what is kept between responses.
    """
    site = serve(memory_bytes=memory)
    info = site.ask("/iiif/3/tall.gradient/info.json").json
    assert info["maxArea"] == (most or 1500 * 4000)
    asked = ("/iiif/3/tall.gradient/full/1500,4000/0/default.raw", "/iiif/3/small.gradient/full/200,100/0/default.raw")
    beyond, small = (site.ask(path, "HEAD").status_code for path in asked)
    assert (beyond, small) == (413 if most else 200, 200)
    assert serve(memory_bytes=memory, max_pixels=0).ask("/iiif/3/tall.gradient/info.json").json["maxArea"] == 6_000_000


def test_nothing_is_enlarged_beyond_the_memory(serve: Callable[..., Served]) -> None:
    """If any scale is allowed, a size that does not fit is refused, and `max` and `^max` are what they were."""
    site = serve(memory_bytes=4 * MIB, max_scale=0)
    small = "/iiif/3/small.gradient/full"
    assert site.ask(f"{small}/^3000,3000/0/default.raw", "HEAD").status_code == 413
    assert unraw(site.ask(f"{small}/^max/0/default.raw").content).shape == (100, 200, 3)


def test_guarded_images_are_handed_over(serve: Callable[..., Served]) -> None:
    """If images may be guarded by something unknown, nothing is answered."""
    site = serve(guarded="a delegate script")
    paths = (TILE, "/iiif/3/small.gradient/info.json", "/iiif/3/small.gradient")
    assert [site.ask(path).status_code for path in paths] == [501, 501, 501]


def test_health(serve: Callable[..., Served]) -> None:
    """The health of a worker is not to be cached."""
    answer = serve().ask("/sidecar/health")
    assert (answer.json, answer.headers["cache-control"]) == ({"status": "ok"}, "no-store")


def test_source_that_fails_is_a_bad_gateway(pool: NativePool) -> None:
    """A blob whose bytes cannot be read is a 502 before the first byte."""

    @dataclass(frozen=True)
    class Gone(MemoryBlob):
        def read(self, ranges: Sequence[ByteRange]) -> Sequence[Buffer]:
            return super().read([ByteRange(9999, 10000) for _ in ranges])

    blob = Gone("x.gradient", gradient(9, 9), MODIFIED)
    registry = Registry([MemorySource({"x": blob})], [GradientDecoder()], {"raw": RawEncoderFactory()})
    site = Served(create_app(Config.of(Settings()), registry, pool), GradientDecoder())
    assert site.ask("/iiif/3/x/full/max/0/default.raw").status_code == 502
    assert np.all([value == 0 for value in site.left.values()])
