"""Identifiers without a suffix: the first bytes of the file say which decoder opens it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from shutil import copyfile
from typing import Final

import falcon.testing
import pytest

from sidecar import startup
from sidecar.http.client import BEHIND
from sidecar.http.middleware import Wsgi
from sidecar.limits.threads import NativePool
from sidecar.server.application import create_app

TILE: Final = "/iiif/3/{}/0,0,512,512/256,/0/default.png"
NAMES: Final = {
    "6f1c1b0e-58f4-4d1b-9f5e-0c6b8a1f2d33": "6f1c1b0e-58f4-4d1b-9f5e-0c6b8a1f2d33",
    "10.5072/abc/123": "10.5072%2Fabc%2F123",
    "ark:/12148/btv1b8449691v": "ark:%2F12148%2Fbtv1b8449691v",
    "a.scan": "a.scan",
}
"""Names of files, and how each is written in a URL."""


@pytest.fixture(scope="module")
def app(images: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Wsgi]:
    """Yield the sidecar over a real JP2 under names without a suffix, and a text that is no image."""
    root = tmp_path_factory.mktemp("images")
    for name in (*NAMES, "known.jp2"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        copyfile(images / "tiled_512.jp2", root / name)
    (root / "notes").write_text("This is no image.\n" * 100)
    (root / "empty").touch()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SIDECAR_FILESYSTEM_ROOT", str(root))
        found = startup.setup()
    pool = NativePool(2)
    registry = found.plugins.load(found.config, pool)
    yield create_app(found.config, registry, pool)
    registry.close()
    pool.close()


def ask(app: Wsgi, path: str, *, behind: bool = False) -> falcon.testing.Result:
    """Ask for a path as it stands on the request line."""
    headers = {BEHIND: "nginx"} if behind else {}
    return falcon.testing.simulate_get(app, "/", headers=headers, extras={"RAW_URI": path})


@pytest.mark.parametrize("name", NAMES)
def test_a_file_without_a_suffix_is_answered(app: Wsgi, name: str) -> None:
    """A UUID, a DOI, an ARK or an unknown suffix leads to the same picture and size as the file's own suffix."""
    known, found = ask(app, TILE.format("known.jp2")), ask(app, TILE.format(NAMES[name]))
    assert (known.status_code, found.status_code) == (200, 200)
    assert found.content == known.content
    info = ask(app, f"/iiif/3/{NAMES[name]}/info.json").json
    assert (info["width"], info["height"]) == (2000, 1500)
    assert info["id"].endswith(f"/iiif/3/{NAMES[name]}")


@pytest.mark.parametrize("name", ["notes", "empty"])
def test_a_file_that_is_no_image_is_handed_over(app: Wsgi, name: str) -> None:
    """A file that no decoder recognizes is Cantaloupe's; without one it is a 501 that names the file."""
    assert ask(app, TILE.format(name), behind=True).headers["x-accel-redirect"] == "@cantaloupe"
    answer = ask(app, TILE.format(name))
    assert answer.status_code == 501
    assert "no decoder claims the image" in answer.text
