"""Pictures that their format cannot hold: refused by the sidecar, which Cantaloupe does not do."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

import falcon.testing
import pytest
from sidecar_turbojpeg.encoder import JpegFactory
from sidecar_turbojpeg.library import load
from sidecar_turbojpeg.settings import JpegSettings

from sidecar.config import Settings
from sidecar.http.client import BEHIND
from sidecar.limits.threads import NativePool
from sidecar.plugin import Config, EncoderFactory
from sidecar.registry import Registry
from sidecar.server.application import create_app
from sidecar.testing.fakes import GradientDecoder, MemoryBlob, MemorySource, RawEncoderFactory, gradient

WIDE: Final = "/iiif/3/wide.gradient"

Ask = Callable[..., falcon.testing.Result]


@pytest.fixture(scope="module")
def ask() -> Iterator[Ask]:
    """Ask a sidecar before a Cantaloupe for pictures of an image of 70,000 by 10 pixels."""
    native = NativePool(1)
    source = MemorySource({"wide.gradient": MemoryBlob("wide.gradient", gradient(70_000, 10))})
    encoders: dict[str, EncoderFactory] = {"jpg": JpegFactory(JpegSettings(), load()), "raw": RawEncoderFactory()}
    app = create_app(Config.of(Settings(max_scale=0)), Registry([source], [GradientDecoder()], encoders), native)

    def send(path: str, method: str = "GET", **headers: str) -> falcon.testing.Result:
        return falcon.testing.simulate_request(
            app, method, "/", headers={BEHIND: "nginx", **headers}, extras={"RAW_URI": WIDE + path}
        )

    yield send
    native.close()


@pytest.mark.parametrize(
    "path",
    [
        "/full/max/0/default.jpg",
        "/full/max/90/gray.jpg",
        "/0,0,65501,1/max/0/default.jpg",
        "/0,0,10,10/^65501,10/0/default.jpg",
    ],
)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_jpeg_beyond_the_format_is_refused(ask: Ask, path: str, method: str) -> None:
    """A side above 65,500, turned or enlarged too, is 400 with a text that gives the limit; nothing is handed over."""
    answer = ask(path, method, **{"If-None-Match": "*"})
    assert answer.status_code == 400
    assert "x-accel-redirect" not in answer.headers
    assert answer.headers["content-type"] == "text/plain;charset=utf-8"
    assert method == "HEAD" or "the largest side of jpg is 65500" in answer.text


@pytest.mark.parametrize(
    "path", ["/0,0,65500,1/max/0/default.jpg", "/full/max/0/default.raw", "/full/7000,/0/default.jpg"]
)
def test_what_the_format_holds_is_answered(ask: Ask, path: str) -> None:
    """The largest side itself, another format, and a smaller size of the same image."""
    answer = ask(path)
    assert answer.status_code == 200
    assert "x-accel-redirect" not in answer.headers
