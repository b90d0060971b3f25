"""The way from iipsrv: the lines of the migration guide, with real nginx, lead old URLs to the sidecar."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.nginx.peers import HOST, Peer, ask, reply, saying
from tests.nginx.servers import REPOSITORY, Nginx

PAGE: Final = REPOSITORY / "docs" / "migrate" / "iipsrv.md"
OLD: Final = "/fcgi-bin/iipsrv.fcgi"
REDIRECT: Final = "return 307 /iiif/2/$iip_image;"


def _lines(text: str, cantaloupe: Peer) -> tuple[str, str]:
    """Return the lines of the page for http and server; what stands for iipsrv speaks HTTP."""
    around, locations = re.findall(r"```nginx\n(.*?)```", text, re.DOTALL)
    there = f"proxy_pass http://{HOST}:{cantaloupe.port}; proxy_set_header X-Query $iip_query;"
    locations, replaced = re.subn(r"fastcgi_pass .*", there, locations)
    assert replaced == 1
    return around, locations


@pytest.fixture
def migrated(actor: Peer, cantaloupe: Peer, tmp_path: Path) -> Iterator[Nginx]:
    """A site with the lines of the page; what stands for iipsrv is told the query in a header."""
    around, locations = _lines(PAGE.read_text(encoding="utf-8"), cantaloupe)
    include = {"http": around, "server": locations}
    with Nginx(tmp_path, actor.port, cantaloupe.port, include=include, handover="") as nginx:
        yield nginx


@pytest.mark.parametrize(
    "query, target",
    [
        ("IIIF=a.jp2/info.json", "/iiif/2/a.jp2/info.json"),
        ("IIIF=/a.jp2/full/max/0/default.jpg", "/iiif/2/a.jp2/full/max/0/default.jpg"),
        ("IIIF=maps/a.jp2/0,0,512,512/512,/!90/gray.png", "/iiif/2/maps%2Fa.jp2/0,0,512,512/512,/!90/gray.png"),
        ("IIIF=x/y/z.SVS/info.json", "/iiif/2/x%2Fy%2Fz.SVS/info.json"),
        ("IIIF=x%2Fa%20b.jp2/full/pct:50/22.5/default.jpg", "/iiif/2/x%2Fa%20b.jp2/full/pct:50/22.5/default.jpg"),
    ],
)
def test_old_urls_are_the_sidecars(migrated: Nginx, actor: Peer, cantaloupe: Peer, query: str, target: str) -> None:
    """The sidecar gets an image of old URLs at its own, slashes of the path encoded; iipsrv gets what it hands over."""
    assert ask(migrated.port, f"{OLD}?{query}").text == "sidecar's answer"
    assert actor.requests[-1].target == target
    actor.behaviour = saying(reply(421))
    assert ask(migrated.port, f"{OLD}?{query}").text == "cantaloupe's answer"
    assert cantaloupe.requests[-1].headers["x-query"] == query


@pytest.mark.parametrize("query", ["FIF=a.jp2&WID=200&CVT=jpeg", "IIIF=a.tif/info.json", "DeepZoom=a.jp2.dzi", ""])
def test_what_is_not_the_sidecars_stays_with_iipsrv(migrated: Nginx, actor: Peer, cantaloupe: Peer, query: str) -> None:
    """Other protocols and formats are asked for at iipsrv, as they came."""
    assert ask(migrated.port, f"{OLD}?{query}").text == "cantaloupe's answer"
    assert cantaloupe.requests[-1].headers.get("x-query", "") == query
    assert actor.requests == []


def test_new_urls_that_are_handed_over(migrated: Nginx, actor: Peer, cantaloupe: Peer) -> None:
    """Iipsrv is asked for what the sidecar hands over of a new URL, in its own form."""
    actor.behaviour = saying(reply(421))
    assert ask(migrated.port, "/iiif/2/x%2Fa.jp2/full/200,/45/default.jpg").text == "cantaloupe's answer"
    assert cantaloupe.requests[-1].headers["x-query"] == "IIIF=x%2Fa.jp2/full/200,/45/default.jpg"


def test_old_urls_of_guarded_images(actor: Peer, cantaloupe: Peer, tmp_path: Path) -> None:
    """With the line for authorization clients are led to the new URL, which the service is asked about."""
    text = PAGE.read_text(encoding="utf-8")
    assert f"\n    {REDIRECT}\n" in text
    around, locations = _lines(text, cantaloupe)
    locations, replaced = re.subn(
        r"    proxy_pass http://sidecar/.*?sidecar-pass\.conf;\n", f"    {REDIRECT}\n", locations, flags=re.DOTALL
    )
    assert replaced == 1
    include = {"http": around, "server": locations}
    with Nginx(tmp_path, actor.port, cantaloupe.port, include=include, handover="") as nginx:
        found = ask(nginx.port, f"{OLD}?IIIF=maps/a.jp2/full/max/0/default.jpg")
        assert ask(nginx.port, f"{OLD}?IIIF=a.tif/info.json").text == "cantaloupe's answer"
    assert found.status == 307
    assert found.headers["location"].endswith("/iiif/2/maps%2Fa.jp2/full/max/0/default.jpg")
    assert actor.requests == []
