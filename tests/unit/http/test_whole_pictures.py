"""Formats that need whole pictures, WebP and AVIF, through the service: pixels, headers, and what is refused."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import falcon.testing
import numpy as np
import pytest
from PIL import Image
from sidecar_pillow import AvifSettings, WebpSettings

from sidecar import startup
from sidecar.http.client import BEHIND
from sidecar.limits.threads import NativePool
from sidecar.server.application import create_app

IMAGES: Final = Path(__file__).parents[2] / "data" / "images"
FORMATS: Final = ("webp", "avif")
Ask = Callable[..., falcon.testing.Result]


@pytest.fixture(scope="module")
def ask() -> Iterator[Ask]:
    """Ask a sidecar that stands alone, and makes pictures of at most 100,000 pixels in these formats."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SIDECAR_FILESYSTEM_ROOT", str(IMAGES))
        for kind in (WebpSettings, AvifSettings):
            patch.setenv(kind.variable("max_pixels"), "100000")
        found = startup.setup()
    pool = NativePool(2)
    registry = found.plugins.load(found.config, pool)
    app = create_app(found.config, registry, pool)

    def send(path: str, method: str = "GET", **headers: str) -> falcon.testing.Result:
        return falcon.testing.simulate_request(app, method, "/", headers=headers, extras={"RAW_URI": f"/iiif/3/{path}"})

    yield send
    registry.close()


def shown(answer: falcon.testing.Result) -> Image.Image:
    """The picture of an answer."""
    assert answer.status_code == 200, answer.text
    return Image.open(io.BytesIO(answer.content))


@pytest.mark.parametrize("format_", FORMATS)
@pytest.mark.parametrize(
    "picture",
    [
        "tiled_512.jp2/300,200,256,256/max/0/default",
        "tiled_512.jp2/full/333,/90/default",
        "tiled_512.jp2/300,200,256,256/max/!0/gray",
        "tiled_512.jp2/300,200,64,64/^200,/0/color",
        "rgb12.jp2/0,0,200,300/max/0/gray",
        "gray16.jp2/10,20,200,100/max/0/default",
        "rgba.jp2/0,0,300,200/max/0/default",
        "icc.jp2/0,0,200,200/max/0/default",
        "slide.svs/0,0,256,256/max/0/default",
    ],
)
def test_the_pixels_are_those_of_png(ask: Ask, picture: str, format_: str) -> None:
    """Decoded by Pillow, the picture has the size, the opacity and, but for the loss, the pixels of the PNG."""
    exact, lossy = shown(ask(f"{picture}.png")), shown(ask(f"{picture}.{format_}"))
    assert lossy.size == exact.size
    assert lossy.mode.endswith("A") == exact.mode.endswith("A")
    mode = "RGBA" if exact.mode.endswith("A") else "RGB"
    error = np.asarray(lossy.convert(mode)).astype(float) - np.asarray(exact.convert(mode))
    assert 10 * np.log10(255**2 / max(np.square(error).mean(), 1e-9)) > 29


@pytest.mark.parametrize("format_", FORMATS)
def test_headers(ask: Ask, format_: str) -> None:
    """Media type and a strong ETag of the format's own; HEAD has the same, and If-None-Match is 304."""
    path = f"tiled_512.jp2/0,0,64,64/max/0/default.{format_}"
    answer, head = ask(path), ask(path, "HEAD")
    assert answer.headers["content-type"] == f"image/{format_}"
    assert head.content == b""
    assert all(head.headers[name] == answer.headers[name] for name in ("content-type", "etag", "vary", "link"))
    tag = answer.headers["etag"]
    assert tag.startswith('"')
    assert ask(path, **{"If-None-Match": tag}).status_code == 304
    assert len({ask(f"{path.rpartition('.')[0]}.{each}").headers["etag"] for each in (*FORMATS, "png")}) == 3


@pytest.mark.parametrize("format_", FORMATS)
@pytest.mark.parametrize("headers", [{}, {BEHIND: "nginx"}], ids=["alone", "behind nginx"])
def test_more_pixels_are_refused(ask: Ask, format_: str, headers: dict[str, str]) -> None:
    """A picture of more pixels than the setting allows is 400 with the limit, before any work; as many are made."""
    beyond = ask(f"tiled_512.jp2/0,0,400,251/max/0/default.{format_}", **headers)
    assert beyond.status_code == 400
    assert f"the most pixels of {format_} are 100000" in beyond.text
    assert ask(f"tiled_512.jp2/0,0,400,250/max/0/default.{format_}", **headers).status_code == 200
    assert ask("tiled_512.jp2/0,0,400,251/max/0/default.jpg", **headers).status_code == 200


def test_they_are_offered(ask: Ask) -> None:
    """info.json lists both."""
    assert ask("tiled_512.jp2/info.json").json["extraFormats"] == [*FORMATS]
