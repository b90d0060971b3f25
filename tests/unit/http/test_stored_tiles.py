"""Requests for exactly a stored tile: sent as it is in the file, and only if that is what was asked for."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import falcon.testing
import gevent
import numpy as np
import pytest
from PIL import Image
from sidecar_tiff import samples
from sidecar_tiff.testing import Making
from sidecar_turbojpeg import JpegFactory, JpegSettings
from sidecar_turbojpeg.library import load
from structlog.testing import capture_logs

from sidecar.config import Settings
from sidecar.http.asking import Question
from sidecar.http.forecast import forecast
from sidecar.limits.quarantine import Quarantine
from sidecar.limits.threads import NativePool
from sidecar.observability.metrics import PASSED
from sidecar.plugin import Config, Pixels
from sidecar.registry import Registry
from sidecar.render.service import ImageService
from sidecar.server.application import create_app, make_service
from sidecar.testing.fakes import MemorySource, on_disk

Ask = Callable[..., falcon.testing.Result]
TILE: Final = "240,0,240,240/240,240/0/default.jpg"


def plugins(path: Path) -> Registry:
    """One slide, and JPEGs of another quality than those made here."""
    return Registry(
        [MemorySource({"slide.svs": on_disk(path)})],
        [samples.decoder()],
        {"jpg": JpegFactory(JpegSettings(quality=30), load())},
    )


@contextmanager
def service_of(path: Path) -> Iterator[ImageService]:
    """What answers for the slide, without HTTP."""
    native = NativePool(2)
    try:
        yield make_service(Settings(), plugins(path), native, Quarantine())
    finally:
        native.close()


@contextmanager
def served(path: Path, **settings: object) -> Iterator[Ask]:
    """Ask a site with the slide."""
    registry = plugins(path)
    native = NativePool(2)
    app = create_app(Config.of(Settings.model_validate(settings)), registry, native)
    try:
        yield lambda words, **headers: falcon.testing.simulate_get(
            app, "/", headers=headers, extras={"RAW_URI": f"/iiif/3/slide.svs/{words}"}
        )
    finally:
        native.close()


def passed() -> float:
    """How many tiles were passed on so far."""
    return float(PASSED._value.get())


def pixels(content: bytes) -> Pixels:
    """What a JPEG shows."""
    with Image.open(io.BytesIO(content)) as image:
        return np.asarray(image.convert("RGB"))


@pytest.mark.parametrize(
    "making", samples.CODINGS[:3], ids=lambda making: f"{making.coding.name}-{making.shared_tables}"
)
def test_a_stored_tile(tmp_path: Path, making: Making) -> None:
    """The scan of the file is sent, with all that it needs; its pixels are those of the file, not of quality 30."""
    path = samples.aperio(tmp_path, making)
    before = passed()
    with served(path) as ask:
        found = ask(TILE)
    assert (found.status_code, found.headers["content-type"], passed()) == (200, "image/jpeg", before + 1)
    scan = found.content[found.content.index(b"\xff\xda") :]
    assert scan in path.read_bytes()
    wanted = samples.picture(samples.ODD)[:240, 240:480]
    assert np.abs(pixels(found.content).astype(int) - wanted).mean() < 4


def test_how_it_shows(tmp_path: Path) -> None:
    """The log and `explain` say that the tile is the file's, and name its bytes and no time for decoding."""
    path = samples.aperio(tmp_path, samples.CODINGS[0])
    with served(path) as ask, capture_logs() as lines:
        sent = ask(TILE)
        ask("0,0,240,240/120,120/0/default.jpg")
    passed_on, made = (line for line in lines if line["event"] == "request")
    assert (passed_on["stored"], {*passed_on["stages"]}) == (True, {"wait", "index", "fetch"})  # it was opened
    assert (made["stored"], {*made["stages"]}) == (False, {"wait", "index", "fetch", "decode", "encode"})
    with service_of(path) as service:
        stored, decoded = (
            gevent.spawn(forecast, service, Question(f"/iiif/3/slide.svs/{words}", has_cantaloupe=False)).get()
            for words in (TILE, "0,0,240,240/120,120/0/default.jpg")
        )
    assert stored.headers["etag"] == sent.headers["etag"]
    assert stored.cost
    assert decoded.cost
    assert (stored.cost.stored, stored.cost.pixels, stored.cost.decode_seconds) == (True, 0, 0)
    (window,) = stored.cost.windows
    assert (window.ranges, window.facts) == (1, ())
    assert 0 < window.bytes <= len(sent.content)
    assert (decoded.cost.stored, decoded.cost.pixels) == (False, 120 * 120)


@pytest.mark.parametrize(
    "words",
    [
        "240,0,240,240/120,120/0/default.jpg",
        "241,0,240,240/240,240/0/default.jpg",
        "240,0,240,240/240,240/90/default.jpg",
        "240,0,240,240/240,240/!0/default.jpg",
        "240,0,240,240/240,240/0/gray.jpg",
        "480,240,131,175/131,175/0/default.jpg",
        "0,0,480,240/480,240/0/default.jpg",
    ],
)
def test_other_requests(tmp_path: Path, words: str) -> None:
    """Other sizes, places, orientations and qualities, several tiles, and those that the edge cuts, are made here."""
    before = passed()
    with served(samples.aperio(tmp_path, samples.CODINGS[0])) as ask:
        found = ask(words)
    assert (found.status_code, passed()) == (200, before)


def test_coarser_levels(tmp_path: Path) -> None:
    """A tile of a coarser level is asked for by its place in the finest."""
    before = passed()
    with served(samples.aperio(tmp_path, Making(tile=96), samples.EVEN)) as ask:
        found = ask("0,0,384,384/96,96/0/default.jpg")
    assert (found.status_code, passed()) == (200, before + 1)


def test_turned_off(tmp_path: Path) -> None:
    """SIDECAR_PASS_TILES=false makes all tiles at the quality that is set, under another ETag."""
    path, before = samples.aperio(tmp_path, samples.CODINGS[0]), passed()
    with served(path, pass_tiles=False) as ask:
        made = ask(TILE)
    assert passed() == before
    with served(path) as ask:
        sent = ask(TILE)
        known = ask(TILE, **{"If-None-Match": sent.headers["etag"]})
    assert len(made.content) < len(sent.content)
    assert made.headers["etag"] != sent.headers["etag"]
    assert (known.status_code, known.content) == (304, b"")


@pytest.mark.parametrize(
    "right, wrong",
    [
        (b"\xff\xdb\0\x43\0", b"\xff\xdb\0\x43\2"),
        (b"\xff\xc4\0\x1f\0\0\1", b"\xff\xc4\0\x1f\0\xff\xff"),
        (b"\3\1\0\2\x11\3\x11\0\x3f\0", b"\3\1\0\2\x33\3\x11\0\x3f\0"),
    ],
    ids=["quantization", "Huffman", "scan"],
)
@pytest.mark.parametrize("pass_tiles", [True, False])
def test_damaged_tables(tmp_path: Path, right: bytes, wrong: bytes, *, pass_tiles: bool) -> None:
    """A tile that no viewer could show is not sent, whether it would be passed on or decoded."""
    path = samples.aperio(tmp_path, Making())
    assert right in path.read_bytes()
    path.write_bytes(path.read_bytes().replace(right, wrong))
    before = passed()
    with served(path, pass_tiles=pass_tiles) as ask:
        assert ask(TILE).status_code != 200
    assert passed() == before


@pytest.mark.parametrize("color", ["keep", "srgb"])
def test_profiles(tmp_path: Path, color: str) -> None:
    """A profile is embedded if it is in other responses; colours that are to be converted are not passed on."""
    path, before = samples.aperio(tmp_path, samples.CODINGS[0], icc=samples.SRGB), passed()
    with served(path, color=color) as ask:
        tile = ask(TILE)
        other = ask("0,0,100,100/100,100/0/default.jpg")
    profiles = []
    for content in (tile.content, other.content):
        with Image.open(io.BytesIO(content)) as image:
            profiles.append(image.info.get("icc_profile"))
    assert profiles[0] == profiles[1] == (samples.SRGB if color == "keep" else None)
    assert passed() == before + (color == "keep")


def test_a_broken_tile(tmp_path: Path) -> None:
    """A tile that is no JPEG is an error with a status; others are sent after it."""
    path = samples.aperio(tmp_path, samples.CODINGS[0])
    content = bytearray(path.read_bytes())
    # The first tile is looked at when the slide is opened.
    second = content.index(b"\xff\xd8\xff", 100)
    content[second : second + 100] = b"\x55" * 100
    path.write_bytes(content)
    with served(path) as ask:
        broken = ask(TILE)
        sound = ask("0,0,240,240/240,240/0/default.jpg")
    assert broken.status_code >= 400
    assert sound.status_code == 200
