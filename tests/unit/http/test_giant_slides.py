"""A slide of more than 100 GB, mostly holes, through all of the sidecar: memory, descriptors and bytes are bounded."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import pytest
from sidecar_tiff import holes

from sidecar.plugin import Buffer, ByteRange, Size
from sidecar.testing.fakes import WrappedBlob

SIZE: Final = Size(480_000, 360_000)
TILE: Final = 512
GIANT: Final = [Size(SIZE.width // ratio, SIZE.height // ratio) for ratio in (1, 4, 16, 64, 256)]
REQUESTS: Final = (
    "info.json",
    "0,0,512,512/512,512/0/default.jpg",
    f"{937 * TILE},{703 * TILE},256,64/256,/0/default.jpg",  # the last tile
    "131072,65536,65536,65536/512,/0/default.jpg",
    "full/!1000,1000/0/default.png",
)
CHILD: Final = """
import os, sys
from pathlib import Path
import falcon.testing
from sidecar_openslide import OpenSlideDecoder
from sidecar_openslide.library import load as openslide
from sidecar_png import PngFactory, PngSettings
from sidecar_tiff import samples
from sidecar_turbojpeg import JpegFactory, JpegSettings
from sidecar_turbojpeg.library import load as jpeg
from sidecar.config import Settings
from sidecar.limits.threads import NativePool
from sidecar.plugin import Config, run_inline
from sidecar.registry import Registry
from sidecar.render.one_file import FileBlob
from sidecar.server.application import create_app
from sidecar.testing.fakes import MemorySource
from sidecar.testing.resident import growth
from tests.unit.http.test_giant_slides import FarFile

blob, native = FileBlob.at(Path(sys.argv[1])), NativePool(2)
decoder = OpenSlideDecoder(openslide(2**20), ["svs"], run_inline) if sys.argv[2] == "openslide" else samples.decoder()
source = MemorySource({"giant.svs": FarFile(blob) if sys.argv[2] == "far" else blob})
encoders = {"jpg": JpegFactory(JpegSettings(), jpeg()), "png": PngFactory(PngSettings())}
app = create_app(Config.of(Settings()), Registry([source], [decoder], encoders), native)

def ask(words):
    result = falcon.testing.simulate_get(app, "/", extras={"RAW_URI": f"/iiif/3/giant.svs/{words}"})
    assert result.status_code == 200, (words, result.text)

def read():
    return int(Path("/proc/self/io").read_text().split()[1])

def work():
    for words in sys.argv[3:]:
        ask(words)

before = read()
grown = growth(work, 1 << 60)
print(grown, read() - before, len(os.listdir("/proc/self/fd")))
"""


class FarFile(WrappedBlob):
    """A file that is read by ranges, as if it had no path."""

    path = None

    def read(self, ranges: Sequence[ByteRange]) -> Sequence[Buffer]:
        """Return bytes of the file."""
        return self.found.read(ranges)


@pytest.fixture(scope="module")
def giant(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Provide the slide; where files cannot have holes there is none."""
    folder = tmp_path_factory.mktemp("giant")
    path = folder / "giant.svs"
    holes.slide(GIANT, side=TILE, tile_bytes=170_000).write(path)
    try:
        assert path.stat().st_size > 100 * 10**9
        if path.stat().st_blocks * 512 > 10**9:
            pytest.skip("this filesystem has no sparse files")
        yield path
    finally:
        shutil.rmtree(folder)


@pytest.mark.parametrize("how", ["direct", "far", "openslide"])
def test_within_bounds(giant: Path, how: str) -> None:
    """info.json, tiles of all levels and the whole take tens of megabytes, whichever plugin reads it, near or far."""
    command = [sys.executable, "-c", CHILD, str(giant), how, *REQUESTS]
    ended = subprocess.run(command, capture_output=True, check=False, text=True)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    grown, read, descriptors = map(int, ended.stdout.split()[-3:])
    assert grown <= 80 * 2**20
    assert read <= 60 * 2**20
    assert descriptors <= 40
