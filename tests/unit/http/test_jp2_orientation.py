"""JP2 files whose metadata turns them, beside what OpenJPEG decodes of them and Pillow shows of that."""

from __future__ import annotations

import io
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import falcon.testing
import numpy as np
import pytest
from PIL import Image, ImageOps
from sidecar_jp2.format.metadata import EXIF, XMP
from sidecar_jp2.testing import SIGNATURE, box, colr, exif, ftyp, ihdr, picture, xmp

from sidecar import startup
from sidecar.limits.threads import NativePool
from sidecar.plugin import Pixels
from sidecar.server.application import create_app

WIDTH, HEIGHT = 150, 97
VALUES: Final = range(1, 9)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file for each value and each kind of metadata, the boxes before the codestream."""
    root = tmp_path_factory.mktemp("oriented")
    start = SIGNATURE + ftyp() + box(b"jp2h", ihdr(size=(WIDTH, HEIGHT)) + colr(16))
    stream = box(b"jp2c", picture((WIDTH, HEIGHT), "-n", "3", "-t", "64,48"))
    for value in VALUES:
        for kind, content in (("exif", EXIF + exif(value)), ("xmp", XMP + xmp(str(value)))):
            (root / f"{kind}{value}.jp2").write_bytes(start + box(b"uuid", content) + stream)
    return root


@pytest.fixture(scope="module")
def plain(folder: Path) -> Pixels:
    """What opj_decompress makes of the whole, which knows no metadata."""
    made = folder / "plain.ppm"
    command = ["opj_decompress", "-i", str(folder / "exif6.jp2"), "-o", str(made)]
    subprocess.run(command, check=True, capture_output=True)
    return np.asarray(Image.open(made))


@pytest.fixture(scope="module")
def ask(folder: Path) -> Iterator[Callable[[str], falcon.testing.Result]]:
    """Ask a sidecar of all plugins that heeds all eight values."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SIDECAR_FILESYSTEM_ROOT", str(folder))
        patch.setenv("SIDECAR_ORIENTATION", "all")
        found = startup.setup()
    pool = NativePool(2)
    registry = found.plugins.load(found.config, pool)
    app = create_app(found.config, registry, pool)
    yield lambda path: falcon.testing.simulate_request(app, "GET", "/", extras={"RAW_URI": path})
    registry.close()


@pytest.mark.parametrize("value", VALUES)
@pytest.mark.parametrize("kind", ["exif", "xmp"])
def test_pictures_are_turned(ask: Callable[[str], falcon.testing.Result], plain: Pixels, kind: str, value: int) -> None:
    """The whole, a region of it, and the region turned further are those of the upright picture; so is info.json."""
    upright = Image.fromarray(plain)
    upright.getexif()[274] = value
    upright = ImageOps.exif_transpose(upright)
    base = f"/iiif/3/{kind}{value}.jp2"
    info = ask(f"{base}/info.json").json
    assert (info["width"], info["height"]) == upright.size
    region = upright.crop((10, 20, 70, 65))
    for path, wanted in (
        ("full/max/0", upright),
        ("10,20,60,45/max/0", region),
        ("10,20,60,45/max/90", region.transpose(Image.Transpose.ROTATE_270)),
        ("10,20,60,45/max/!0", region.transpose(Image.Transpose.FLIP_LEFT_RIGHT)),
    ):
        got = Image.open(io.BytesIO(ask(f"{base}/{path}/default.png").content))
        assert np.array_equal(np.asarray(got), np.asarray(wanted)), path
