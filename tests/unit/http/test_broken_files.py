"""Broken files: what fails before the first byte is handed over or told, and nothing said of the picture remains."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import falcon.testing
import pytest

from sidecar import startup
from sidecar.http.client import BEHIND
from sidecar.http.middleware import Wsgi
from sidecar.limits.threads import NativePool
from sidecar.server.application import create_app

IMAGES: Final = Path(__file__).parents[2] / "data" / "images"
TILE: Final = "/iiif/3/{name}/1536,1024,464,476/464,/0/default.jpg"


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Wsgi]:
    """The sidecar over one file whose last tile holds nonsense and one cut in its header."""
    root = tmp_path_factory.mktemp("images")
    whole = (IMAGES / "tiled_512.jp2").read_bytes()
    last = whole.rindex(b"\xff\x93") + 2  # SOD of the last tile-part
    (root / "nonsense.jp2").write_bytes(whole[:last] + (b"\xff\x7f" * len(whole))[: len(whole) - last - 2] + whole[-2:])
    (root / "cut.jp2").write_bytes(whole[:70])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SIDECAR_FILESYSTEM_ROOT", str(root))
        found = startup.setup()
    pool = NativePool(2)
    registry = found.plugins.load(found.config, pool)
    yield create_app(found.config, registry, pool)
    registry.close()


def ask(app: Wsgi, name: str, *, behind: bool) -> falcon.testing.Result:
    """A tile of a file."""
    headers = {BEHIND: "nginx"} if behind else {}
    return falcon.testing.simulate_get(app, TILE.format(name=name), headers=headers)


def test_handed_over_with_nothing_but_that(app: Wsgi) -> None:
    """A file that fails to decode is handed over; no header of the picture that was not made goes with it."""
    answer = ask(app, "nonsense.jp2", behind=True)
    assert answer.headers["x-accel-redirect"] == "@cantaloupe"
    assert {"etag", "last-modified", "cache-control", "link"}.isdisjoint({*answer.headers})


def test_told_where_there_is_no_cantaloupe(app: Wsgi) -> None:
    """Without a Cantaloupe it is an error that nobody keeps, with a text."""
    answer = ask(app, "nonsense.jp2", behind=False)
    assert answer.status_code == 500
    assert answer.headers["cache-control"] == "no-cache, must-revalidate"
    assert {"etag", "last-modified", "link"}.isdisjoint({*answer.headers})
    assert "OpenJPEG" in answer.text


@pytest.mark.parametrize("behind", [True, False])
def test_broken_structure_is_never_handed_over(app: Wsgi, *, behind: bool) -> None:
    """A file whose structure is broken is refused by the sidecar itself, whoever stands behind it."""
    answer = ask(app, "cut.jp2", behind=behind)
    assert answer.status_code == 500
    assert "x-accel-redirect" not in answer.headers
    assert len(answer.text) > 30


QUESTIONS: Final = (
    "{name}/full/max/12/default.jpg",
    "{name}/full/max/0/default.webp",
    "{name}/full/9999,/0/default.jpg",
    "{name}/full/max/0/default.jpg?page=2",
    "{name};2/full/max/0/default.jpg",
    "{name};2/info.json",
    "{name};2:4/full/max/0/default.jpg",
)


@pytest.mark.parametrize("question", QUESTIONS)
def test_no_question_hands_a_broken_structure_over(app: Wsgi, question: str) -> None:
    """Not by what is asked of it either: what would be Cantaloupe's for whole files is refused for broken ones."""
    for name, refused in (("cut.jp2", True), ("nonsense.jp2", False), ("none.jp2", False)):
        path, _, query = question.format(name=name).partition("?")
        answer = falcon.testing.simulate_get(app, f"/iiif/3/{path}", query_string=query, headers={BEHIND: "nginx"})
        assert ("x-accel-redirect" in answer.headers) != refused, name
        assert (answer.status_code == 500) == refused


@pytest.mark.parametrize("setting, refused", [({"hand_over": "images"}, True), ({"guarded": "by a script"}, False)])
def test_settings_that_hand_all_over_do_not_spare_a_look(
    tmp_path: Path, setting: dict[str, str], *, refused: bool
) -> None:
    """What Cantaloupe must answer by its settings is looked at too; guarded images are not."""
    (tmp_path / "cut.jp2").write_bytes((IMAGES / "tiled_512.jp2").read_bytes()[:70])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SIDECAR_FILESYSTEM_ROOT", str(tmp_path))
        for name, value in setting.items():
            patch.setenv(f"SIDECAR_{name.upper()}", value)
        found = startup.setup()
    pool = NativePool(2)
    registry = found.plugins.load(found.config, pool)
    answer = ask(create_app(found.config, registry, pool), "cut.jp2", behind=True)
    registry.close()
    assert ("x-accel-redirect" not in answer.headers) == refused
