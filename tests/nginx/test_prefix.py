"""A site whose images lie below a prefix, `/images/iiif/…`: nginx removes it, and what is sent out has it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.nginx.conftest import Stack
from tests.nginx.peers import HOST, Peer, ask, reply, saying
from tests.nginx.servers import Nginx

PREFIX = "/images"
EDITS = {
    (
        "sidecar.conf",
        'map "" $sidecar_prefix {\n    default "";',
    ): f'map "" $sidecar_prefix {{\n    default "{PREFIX}";',
    ("sidecar-locations.conf", "location ^~ /iiif/ {"): f"location ^~ {PREFIX}/iiif/ {{",
}


@pytest.fixture
def prefixed(actor: Peer, cantaloupe: Peer, tmp_path: Path) -> Iterator[Nginx]:
    """The site with the prefix, and cantaloupe.conf."""
    edits = {**EDITS, ("sidecar.conf", "127.0.0.1:8182;\n\n"): f"{HOST}:{cantaloupe.port};\n\n"}
    handover = "include sidecar/cantaloupe.conf;"
    with Nginx(tmp_path, actor.port, cantaloupe.port, edits, handover=handover) as nginx:
        yield nginx


@pytest.mark.parametrize(
    "target",
    [
        "/iiif/3/a%2Fb%3Bc%2Ejp2;1/full/max/0/default.jpg?x=%2F%25&&y",
        "/iiif/2/%E5%9B%BE.jp2/info.json",
        "/iiif/3/a.jp2",
    ],
)
def test_the_prefix_is_removed_and_named(prefixed: Nginx, actor: Peer, cantaloupe: Peer, target: str) -> None:
    """The sidecar and Cantaloupe get the URL behind the prefix, encoded as it came, and X-Forwarded-Path."""
    assert ask(prefixed.port, PREFIX + target).text == "sidecar's answer"
    actor.behaviour = saying(reply(200, X_Accel_Redirect="@cantaloupe"))
    assert ask(prefixed.port, PREFIX + target).text == "cantaloupe's answer"
    for request in (*actor.requests, *cantaloupe.requests):
        assert (request.target, request.headers["x-forwarded-path"]) == (target, PREFIX)
    assert len(cantaloupe.requests) == 1


@pytest.mark.parametrize(
    "target", ["/iiif/3/a.jp2/info.json", "/other/iiif/3/a.jp2/info.json", "/images/images/iiif/3/a.jp2/info.json"]
)
def test_other_paths_are_not_the_sidecars(prefixed: Nginx, actor: Peer, cantaloupe: Peer, target: str) -> None:
    """Without the prefix, or with another, a request goes where the rest of the site leads it, unchanged."""
    assert ask(prefixed.port, target).text == "cantaloupe's answer"
    assert [request.target for request in cantaloupe.requests] == [target]
    assert actor.requests == []


def test_other_formats_reach_cantaloupe_without_the_prefix(prefixed: Nginx, actor: Peer, cantaloupe: Peer) -> None:
    """What the sidecar does not take is Cantaloupe's, which knows no prefix."""
    ask(prefixed.port, f"{PREFIX}/iiif/3/a%2Fb.png/info.json")
    assert [request.target for request in cantaloupe.requests] == ["/iiif/3/a%2Fb.png/info.json"]
    assert actor.requests == []


@pytest.mark.parametrize("version, key", [("2", "@id"), ("3", "id")])
def test_what_is_sent_out_has_the_prefix(stack: Stack, tmp_path: Path, version: str, key: str) -> None:
    """Id, canonical link and redirect are URLs that work: with the prefix."""
    with Nginx(tmp_path, stack.sidecar.port, stack.cantaloupe.port, EDITS) as nginx:
        path = f"{PREFIX}/iiif/{version}/tiled_512.jp2"
        image = f"http://{HOST}:{nginx.port}{path}"
        assert json.loads(ask(nginx.port, f"{path}/info.json").body)[key] == image
        assert ask(nginx.port, f"{path}/full/9,/0/default.jpg").headers["Link"].startswith(f"<{image}/full/9,")
        redirect = ask(nginx.port, path)
        assert (redirect.status, redirect.headers["Location"]) == (303, f"{image}/info.json")
