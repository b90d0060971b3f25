"""Opacity: shown where the sidecar is alone, left out where a Cantaloupe that leaves it out stands behind."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import falcon.testing
import numpy as np
import pytest
from PIL import Image

from sidecar import startup
from sidecar.http.client import BEHIND
from sidecar.limits.threads import NativePool
from sidecar.server.application import create_app

IMAGES: Final = Path(__file__).parents[2] / "data" / "images"
REGION: Final = "/iiif/3/rgba.jp2/10,10,50,40/max/0/default.png"

Ask = Callable[..., falcon.testing.Result]


@pytest.fixture
def ask(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[Ask]:
    """Ask a sidecar with one setting more for a part of an image that has opacity."""
    variable, _, value = str(request.param).partition("=")
    monkeypatch.setenv("SIDECAR_FILESYSTEM_ROOT", str(IMAGES))
    if variable:
        monkeypatch.setenv(variable, value)
    found = startup.setup()
    pool = NativePool(1)
    registry = found.plugins.load(found.config, pool)
    app = create_app(found.config, registry, pool)

    def send(*, behind: bool = False) -> falcon.testing.Result:
        headers = {BEHIND: "nginx"} if behind else {}
        return falcon.testing.simulate_get(app, "/", headers=headers, extras={"RAW_URI": REGION})

    yield send
    registry.close()


@pytest.mark.parametrize(
    "ask, alone, behind",
    [
        ("", "RGBA", "RGB"),
        ("SIDECAR_CANTALOUPE_URL=http://127.0.0.1:1", "RGB", "RGB"),
        ("SIDECAR_JP2_ALPHA=keep", "RGBA", "RGBA"),
        ("SIDECAR_JP2_ALPHA=drop", "RGB", "RGB"),
    ],
    indirect=["ask"],
)
def test_opacity_follows_cantaloupe(ask: Ask, alone: str, behind: str) -> None:
    """By default it is there without a Cantaloupe and not there before one; the setting decides for both."""
    one, other = (Image.open(io.BytesIO(ask(behind=each).content)) for each in (False, True))
    assert [one.mode, other.mode] == [alone, behind]
    assert np.array_equal(np.asarray(one)[..., :3], np.asarray(other)[..., :3])


@pytest.mark.parametrize("ask", [""], indirect=True)
def test_the_two_have_etags_of_their_own(ask: Ask) -> None:
    """A cache that saw one is not told that the other is the same."""
    assert ask().headers["etag"] != ask(behind=True).headers["etag"]
