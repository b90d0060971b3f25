"""The setting `prefix`, without nginx in front."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import falcon.testing
import pytest

from sidecar.config import Settings
from sidecar.http.middleware import Wsgi
from sidecar.limits.threads import NativePool
from sidecar.plugin import Config
from sidecar.registry import Registry
from sidecar.server.application import create_app
from sidecar.testing.fakes import GradientDecoder, MemoryBlob, MemorySource, RawEncoderFactory, gradient
from tests.nginx.peers import HOST, Peer, reply, saying

IMAGE = "/iiif/3/a%2Fb.gradient"


@dataclass(frozen=True)
class Asked:
    """An application that is asked with paths as they stand on the request line."""

    app: Wsgi

    def get(self, path: str, **headers: str) -> falcon.testing.Result:
        """Send a request."""
        named = {"Host": "example.org", **{name.replace("_", "-"): value for name, value in headers.items()}}
        plain = path.partition("?")[0]
        return falcon.testing.simulate_request(self.app, "GET", plain, headers=named, extras={"RAW_URI": path})


@pytest.fixture(scope="module")
def cantaloupe() -> Iterator[Peer]:
    """A Cantaloupe that is handed requests."""
    with Peer(saying(reply(200, b"cantaloupe's answer"))) as peer:
        yield peer


@pytest.fixture(scope="module")
def asked(cantaloupe: Peer) -> Iterator[Asked]:
    """The application, with the prefix set."""
    native = NativePool(1)
    source = MemorySource({"a/b.gradient": MemoryBlob("a/b.gradient", gradient(50, 40))})
    registry = Registry([source], [GradientDecoder()], {"raw": RawEncoderFactory()})
    settings = Settings(prefix="/images", cantaloupe_url=f"http://{HOST}:{cantaloupe.port}")
    yield Asked(create_app(Config.of(settings), registry, native))
    native.close()


def test_ids_and_links_have_the_prefix(asked: Asked) -> None:
    """With the prefix in the URL or without it, what is sent out has it, once."""
    for path in (f"/images{IMAGE}", IMAGE):
        assert asked.get(f"{path}/info.json").json["id"] == f"http://example.org/images{IMAGE}"
        link = asked.get(f"{path}/full/max/0/default.raw").headers["Link"]
        assert link == f'<http://example.org/images{IMAGE}/full/max/0/default.raw>;rel="canonical"'
        assert asked.get(path).headers["Location"] == f"http://example.org/images{IMAGE}/info.json"


@pytest.mark.parametrize("path", ["/images/images", "/image", "/other", "/images/", "/IMAGES"])
def test_another_prefix_is_no_path_of_ours(asked: Asked, cantaloupe: Peer, path: str) -> None:
    """A URL with another prefix is handed over as it came."""
    cantaloupe.requests.clear()
    assert asked.get(f"{path}{IMAGE}/info.json").text == "cantaloupe's answer"
    assert [request.target for request in cantaloupe.requests] == [f"{path}{IMAGE}/info.json"]


def test_cantaloupe_gets_the_url_behind_the_prefix(asked: Asked, cantaloupe: Peer) -> None:
    """A request that is handed over has no prefix any more, and X-Forwarded-Path names it for Cantaloupe's URLs."""
    cantaloupe.requests.clear()
    asked.get("/images/iiif/3/no%2Fthing.gradient/info.json?a=%2F")
    (request,) = cantaloupe.requests
    assert request.target == "/iiif/3/no%2Fthing.gradient/info.json?a=%2F"
    assert request.headers["x-forwarded-path"] == "/images"


@pytest.mark.parametrize("prefix", ["images", "/images/", "/a b", "/$x", "/", "//"])
def test_a_wrong_prefix_is_reported_at_start(prefix: str) -> None:
    """A prefix begins with a slash, does not end with one, and needs no encoding."""
    with pytest.raises(ValueError, match="pattern"):
        Settings(prefix=prefix)
