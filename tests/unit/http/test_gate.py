"""What an authorization service learns of a URL: the image that the sidecar will read it as, or nothing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final
from urllib.parse import quote, unquote

import falcon.testing
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.config import Settings
from sidecar.errors import BadRequest
from sidecar.http.gate import describe
from sidecar.http.middleware import Wsgi
from sidecar.http.site import Site
from sidecar.iiif.identifier import IdentifierSyntax
from sidecar.limits.quarantine import Quarantine
from sidecar.limits.threads import NativePool
from sidecar.plugin import Config
from sidecar.registry import Registry
from sidecar.server.application import create_app, make_service

SEGMENT: Final = st.text("abAB%25eE2fF./\\;:+~é\n\0 ", max_size=12).map(lambda text: quote(text, safe="%;:+"))


@pytest.fixture(scope="module")
def pool() -> Iterator[NativePool]:
    """Native threads for all tests of this file."""
    native = NativePool(1)
    yield native
    native.close()


@pytest.fixture(scope="module")
def site(pool: NativePool) -> Site:
    """A site with slashes written as `:`."""
    settings = Settings(slash_substitute=":")
    return Site(make_service(settings, Registry((), (), {}), pool, Quarantine(None, 0)))


@pytest.fixture(scope="module")
def app(pool: NativePool) -> Wsgi:
    """A sidecar without images."""
    return create_app(Config.of(Settings()), Registry((), (), {}), pool)


@given(segment=SEGMENT)
def test_the_service_reads_what_the_sidecar_reads(site: Site, segment: str) -> None:
    """The identifier is the one that sources are asked for, its key spells it in one way, and both fit in a header."""
    try:
        found = describe(site, f"/iiif/3/{segment}/info.json")
    except BadRequest:
        return
    if found["X-Image-Kind"] == "other":
        assert not segment
        return
    name = IdentifierSyntax(":").name(segment)
    assert found["X-Image-Identifier"].encode("latin-1").decode() == name
    assert unquote(found["X-Image-Key"]) == name
    assert found["X-Image-Key"] == quote(name, safe="")
    assert all(character.isprintable() for character in name)
    assert not {".", ".."} & {*name.replace("\\", "/").split("/")}


@pytest.mark.parametrize("path", ["/", "/other", "/iiif", "/iiif/3/", "/images/iiif/2", "/myiiif/3/a/info.json"])
def test_other_pages(site: Site, path: str) -> None:
    """What no server takes for an image's URL is nothing that is guarded here."""
    assert describe(site, path) == {"X-Image-Kind": "other"}


def test_nginx_is_sent_on_to_the_service(app: Wsgi) -> None:
    """The response names the location of the service, and no cache keeps it."""
    headers = {"X-Sidecar-Handover": "nginx", "X-Original-URI": "/iiif/2/a%2fb.jp2/full/max/0/default.jpg?x"}
    answer = falcon.testing.simulate_get(app, "/sidecar/gate", headers=headers)
    assert answer.status_code == 204
    assert answer.headers["x-accel-redirect"] == "/sidecar-auth-service"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-image-key"] == "a%2Fb.jp2"


@pytest.mark.parametrize("headers", [{}, {"X-Sidecar-Handover": "nginx"}])
@pytest.mark.parametrize("peer", ["203.0.113.9", "127.0.0.1"])
def test_others_learn_nothing(app: Wsgi, peer: str, headers: dict[str, str]) -> None:
    """Only nginx in front is answered, and it with 403 if the URL can be read in two ways."""
    headers = {"X-Original-URI": "/iiif/2/..%2Fa/info.json", **headers}
    answer = falcon.testing.simulate_get(app, "/sidecar/gate", headers=headers, extras={"REMOTE_ADDR": peer})
    assert answer.status_code == (403 if peer == "127.0.0.1" and len(headers) > 1 else 404)
    assert "x-accel-redirect" not in answer.headers


def test_images_beside_a_files_own(pool: NativePool) -> None:
    """The service learns that a label is asked for, not only of which slide: it may be for fewer people."""
    settings = Settings(associated_images=("label",))
    site = Site(make_service(settings, Registry((), (), {}), pool, Quarantine(None, 0)))
    found = describe(site, "/iiif/3/slide.svs%3Blabel;1;1:2/full/max/0/default.jpg")
    assert found["X-Image-Identifier"] == "slide.svs;label"
    assert describe(site, "/iiif/3/slide.svs/properties.json")["X-Image-Kind"] == "image"
