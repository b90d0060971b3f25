"""The lines of the migration guides for nginx, with real nginx: a part is switched, switched back, or stands alone."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Final

import pytest

from tests.nginx.conftest import Stack
from tests.nginx.peers import Peer, ask
from tests.nginx.servers import REPOSITORY, Nginx

GUIDES: Final = REPOSITORY / "docs" / "migrate"
MAP: Final = 'map "$sidecar_prefix $request_method $request_uri" $sidecar_takes {\n    default 0;\n'
"""Where the guide puts a line of its own."""


def lines(page: str) -> str:
    """Return the one block for nginx of a page."""
    (block,) = re.findall(r"```nginx\n(.*?)```", (GUIDES / page).read_text(encoding="utf-8"), re.DOTALL)
    return str(block)


def answers(port: int, *identifiers: str) -> list[str]:
    """Return who answers for some identifiers."""
    return [ask(port, f"/iiif/3/{each}/info.json").text for each in identifiers]


def test_a_class_of_identifiers_is_switched(actor: Peer, cantaloupe: Peer, tmp_path: Path) -> None:
    """With the line of the guide, the sidecar gets images of one folder only."""
    block = lines("cantaloupe.md")
    assert block.startswith(MAP)
    with Nginx(tmp_path, actor.port, cantaloupe.port, {("sidecar.conf", MAP): block}) as nginx:
        who = answers(nginx.port, "maps%2Fa.jp2", "Maps%2fx%2Fa.jp2", "a.jp2", "books%2Fmaps%2Fa.jp2")
    assert who == ["sidecar's answer"] * 2 + ["cantaloupe's answer"] * 2


def test_everything_is_switched_back(actor: Peer, cantaloupe: Peer, tmp_path: Path) -> None:
    """With the other line, Cantaloupe gets everything."""
    assert '`"~" 0;`' in (GUIDES / "cantaloupe.md").read_text(encoding="utf-8")
    edits = {("sidecar.conf", MAP): f'{MAP}"~" 0;\n'}
    with Nginx(tmp_path, actor.port, cantaloupe.port, edits) as nginx:
        assert answers(nginx.port, "maps%2Fa.jp2", "a.jp2") == ["cantaloupe's answer"] * 2
    assert actor.requests == []


def alone(stack: Stack, folder: Path) -> Nginx:
    """The site of the guide, in front of a sidecar."""
    nobody = 9
    edits = {("sidecar-pass.conf", "X-Sidecar-Handover nginx"): "X-Sidecar-Handover none"}
    return Nginx(folder, stack.sidecar.port, nobody, edits, handover=lines("alone.md"))


@pytest.mark.parametrize(
    "path, status",
    [
        ("tiny_60x40.jp2/full/max/0/default.jpg", 200),
        ("tiny_60x40.jp2/full/max/22.5/default.jpg", 501),
        ("tiny_60x40.jp2/full/max/0/default.tif", 501),
        ("photo.jpg/full/max/0/default.jpg", 501),
        ("tiny_60x40.jp2;2/full/max/0/default.jpg", 501),
        ("nothing.jp2/info.json", 404),
    ],
)
def test_alone(stack: Stack, folder: Path, tmp_path: Path, path: str, status: int) -> None:
    """Without a Cantaloupe, refusals are the sidecar's own, with the statuses of the guide, behind nginx too."""
    (folder / "photo.jpg").touch()
    with alone(stack, tmp_path) as nginx:
        assert ask(nginx.port, f"/iiif/3/{path}").status == status
        # Nobody but nginx asks for a handover.
        assert ask(nginx.port, f"/iiif/3/{path}", headers={"X-Sidecar-Handover": "nginx"}).status == status


def test_alone_nothing_is_promised(stack: Stack, tmp_path: Path) -> None:
    """Without a Cantaloupe info.json names what the sidecar makes."""
    path = "/iiif/3/tiny_60x40.jp2/info.json"
    with alone(stack, tmp_path) as nginx:
        offered = json.loads(ask(nginx.port, path).body)
    assert not {"tif", "gif"} & {*offered["extraFormats"]}
    assert "rotationArbitrary" not in offered["extraFeatures"]
    assert {"tif", "gif"} <= {*json.loads(ask(stack.port, path).body)["extraFormats"]}
