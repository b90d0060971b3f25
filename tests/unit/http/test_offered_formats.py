"""What info.json offers: the formats of the encoders that are loaded, and Cantaloupe's if there is one behind."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

import falcon.testing
import pytest

from sidecar.config import Settings
from sidecar.http.client import BEHIND
from sidecar.http.middleware import Wsgi
from sidecar.limits.threads import NativePool
from sidecar.plugin import Config
from sidecar.registry import Registry
from sidecar.server.application import create_app
from sidecar.testing.fakes import GradientDecoder, MemoryBlob, MemorySource, RawEncoderFactory, gradient

CANTALOUPES: Final = ["jpg", "tif", "gif", "png"]
Serve = Callable[..., Wsgi]


class Encoder(RawEncoderFactory):
    """An encoder of any format."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.format = name
        self.media_type = f"image/{name}"


@pytest.fixture(scope="module")
def pool() -> Iterator[NativePool]:
    """Yield native threads for all tests of this file."""
    native = NativePool(1)
    yield native
    native.close()


@pytest.fixture
def serve(pool: NativePool) -> Serve:
    """Make an application with encoders of some formats."""

    def make(*formats: str, **settings: Any) -> Wsgi:
        source = MemorySource({"x": MemoryBlob("x.gradient", gradient(200, 100))})
        encoders = {name: Encoder(name) for name in formats}
        return create_app(Config.of(Settings(**settings)), Registry([source], [GradientDecoder()], encoders), pool)

    return make


def offered(app: Wsgi, version: int, *, behind: bool = False) -> tuple[list[str], list[str], str]:
    """Return formats, features and compliance level in info.json; `behind`: asked by way of the nginx site."""
    headers = {BEHIND: "nginx"} if behind else {}
    info = falcon.testing.simulate_get(app, f"/iiif/{version}/x/info.json", headers=headers).json
    if version == 2:
        level, details = info["profile"]
        return details["formats"], details["supports"], level.rpartition("/")[2].removesuffix(".json")
    return info["extraFormats"], info["extraFeatures"], info["profile"]


def test_alone_only_formats_of_encoders_are_offered(serve: Serve) -> None:
    """Without a Cantaloupe version 2 lists each encoder's format, version 3 those besides jpg and png."""
    app = serve("png", "jpg", "webp")
    assert sorted(offered(app, 2)[0]) == ["jpg", "png", "webp"]
    assert offered(app, 3)[0] == ["webp"]


@pytest.mark.parametrize("version", [2, 3])
def test_alone_arbitrary_rotation_is_not_offered(serve: Serve, version: int) -> None:
    """Without a Cantaloupe only quarter turns are among the features, behind one any rotation is."""
    app = serve("jpg", "png")
    _, alone, _ = offered(app, version)
    _, beside, _ = offered(app, version, behind=True)
    assert "rotationArbitrary" not in alone
    assert "rotationBy90s" in alone
    assert {*beside} - {*alone} == {"rotationArbitrary"}


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("formats, level", [(("jpg", "png"), "level2"), (("jpg", "webp"), "level1"), ((), "level1")])
def test_level_2_takes_png(serve: Serve, version: int, formats: tuple[str, ...], level: str) -> None:
    """Level 2 of the Image API includes png and jpg (3.0, Compliance §5): without one of them it is level 1."""
    assert offered(serve(*formats), version)[2] == level


@pytest.mark.parametrize("by", ["nginx", "setting"])
def test_beside_cantaloupe_both_are_offered(serve: Serve, by: str) -> None:
    """Beside a Cantaloupe its formats come first, then those that only the sidecar makes; none twice."""
    app = serve("png", "jpg", "webp", cantaloupe_url="" if by == "nginx" else "http://127.0.0.1:9")
    behind = by == "nginx"
    assert offered(app, 2, behind=behind)[0] == [*CANTALOUPES, "webp"]
    assert offered(app, 3, behind=behind)[0] == ["tif", "gif", "webp"]
    assert offered(app, 2, behind=behind)[2] == "level2"


def test_beside_cantaloupe_without_others_its_own_are_offered(serve: Serve) -> None:
    """If the sidecar makes nothing that Cantaloupe does not, the formats are exactly Cantaloupe's."""
    assert offered(serve("png", "jpg"), 2, behind=True)[0] == CANTALOUPES


def test_a_format_that_is_offered_is_made(serve: Serve) -> None:
    """The format of an encoder that is loaded is answered, with its media type."""
    answer = falcon.testing.simulate_get(serve("webp"), "/iiif/3/x/0,0,64,64/max/0/default.webp")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "image/webp")
