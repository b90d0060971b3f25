"""Broken files: a failure before the first byte is handed over or reported, without headers of the picture.

What is known to make decoders run for ever is refused, whatever is requested of it.
"""

from __future__ import annotations

import struct
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


def spinning(whole: bytes) -> bytes:
    """Return a JP2 file with a box of 5 bytes after ftyp, whose head alone has 8: readers go back by it, for ever."""
    ftyp = 12 + int.from_bytes(whole[12:16])
    return whole[:ftyp] + struct.pack(">I4s", 5, b"xml ") + bytes(40) + whole[ftyp:]


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Wsgi]:
    """Yield the sidecar over a file whose last tile holds nonsense, one cut in its header, and one that spins."""
    root = tmp_path_factory.mktemp("images")
    whole = (IMAGES / "tiled_512.jp2").read_bytes()
    last = whole.rindex(b"\xff\x93") + 2  # SOD of the last tile-part
    (root / "nonsense.jp2").write_bytes(whole[:last] + (b"\xff\x7f" * len(whole))[: len(whole) - last - 2] + whole[-2:])
    (root / "cut.jp2").write_bytes(whole[:70])
    (root / "spins.jp2").write_bytes(spinning(whole))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SIDECAR_FILESYSTEM_ROOT", str(root))
        found = startup.setup()
    pool = NativePool(2)
    registry = found.plugins.load(found.config, pool)
    yield create_app(found.config, registry, pool)
    registry.close()


def ask(app: Wsgi, name: str, *, behind: bool) -> falcon.testing.Result:
    """Ask for a tile of a file."""
    headers = {BEHIND: "nginx"} if behind else {}
    return falcon.testing.simulate_get(app, TILE.format(name=name), headers=headers)


@pytest.mark.parametrize("name", ["nonsense.jp2", "cut.jp2"])
def test_handed_over_with_nothing_but_that(app: Wsgi, name: str) -> None:
    """A file that fails to decode is handed over, without headers of the picture that was not made."""
    answer = ask(app, name, behind=True)
    assert answer.headers["x-accel-redirect"] == "@cantaloupe"
    assert answer.headers["cache-control"] == "no-store"
    assert {"etag", "last-modified", "link"}.isdisjoint({*answer.headers})


def test_explained_without_a_cantaloupe(app: Wsgi) -> None:
    """Without a Cantaloupe the response is an error with a text, which is not to be cached."""
    answer = ask(app, "nonsense.jp2", behind=False)
    assert answer.status_code == 500
    assert answer.headers["cache-control"] == "no-cache, must-revalidate"
    assert {"etag", "last-modified", "link"}.isdisjoint({*answer.headers})
    assert answer.headers["x-request-id"] in answer.text
    assert "OpenJPEG" not in answer.text


@pytest.mark.parametrize("behind", [True, False])
def test_what_spins_is_never_handed_over(app: Wsgi, *, behind: bool) -> None:
    """A file on which decoders hang is refused by the sidecar itself, even if Cantaloupe stands behind it."""
    answer = ask(app, "spins.jp2", behind=behind)
    assert answer.status_code == 500
    assert "x-accel-redirect" not in answer.headers
    assert len(answer.text) > 30


REQUESTS: Final = (
    "{name}/full/max/12/default.jpg",
    "{name}/full/max/0/default.webp",
    "{name}/full/9999,/0/default.jpg",
    "{name}/full/max/0/default.jpg?page=2",
    "{name};2/full/max/0/default.jpg",
    "{name};2/info.json",
    "{name};2:4/full/max/0/default.jpg",
)


@pytest.mark.parametrize("target", REQUESTS)
def test_no_request_hands_over_what_spins(app: Wsgi, target: str) -> None:
    """Requests that are handed over for other files, broken or not there, are refused for those that spin."""
    for name, refused in (("spins.jp2", True), ("cut.jp2", False), ("nonsense.jp2", False), ("none.jp2", False)):
        path, _, query = target.format(name=name).partition("?")
        answer = falcon.testing.simulate_get(app, f"/iiif/3/{path}", query_string=query, headers={BEHIND: "nginx"})
        assert ("x-accel-redirect" in answer.headers) != refused, name
        assert (answer.status_code == 500) == refused


@pytest.mark.parametrize("setting, refused", [({"hand_over": "images"}, True), ({"guarded": "by a script"}, False)])
def test_settings_that_hand_over_do_not_prevent_the_check(
    tmp_path: Path, setting: dict[str, str], *, refused: bool
) -> None:
    """Images are checked even if settings hand every request over; guarded images are not."""
    (tmp_path / "spins.jp2").write_bytes(spinning((IMAGES / "tiled_512.jp2").read_bytes()))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SIDECAR_FILESYSTEM_ROOT", str(tmp_path))
        for name, value in setting.items():
            patch.setenv(f"SIDECAR_{name.upper()}", value)
        found = startup.setup()
    pool = NativePool(2)
    registry = found.plugins.load(found.config, pool)
    answer = ask(create_app(found.config, registry, pool), "spins.jp2", behind=True)
    registry.close()
    assert ("x-accel-redirect" not in answer.headers) == refused
