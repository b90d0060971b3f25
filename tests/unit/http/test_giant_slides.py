"""Slides of more than 100 GB, mostly holes, through all of the sidecar: memory, descriptors and bytes are bounded."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest
from sidecar_openslide import OpenSlideDecoder
from sidecar_openslide.library import load
from sidecar_tiff import holes

from sidecar.plugin import Buffer, ByteRange, Size, Unsupported, run_inline
from sidecar.render.one_file import FileBlob
from sidecar.testing.fakes import WrappedBlob


@dataclass(frozen=True, slots=True)
class Giant:
    """A slide."""

    size: Size
    tile: int
    tile_bytes: int

    @property
    def levels(self) -> Sequence[Size]:
        """The sizes of its levels, each a quarter as wide as the one before."""
        return [Size(self.size.width // ratio, self.size.height // ratio) for ratio in (1, 4, 16, 64, 256)]

    @property
    def requests(self) -> Sequence[str]:
        """info.json, a stored tile, the last tile, which is a part of one, much of the slide, and all of it."""
        tile, width, height = self.tile, self.size.width, self.size.height
        left, top = (width - 1) // tile * tile, (height - 1) // tile * tile
        return (
            "info.json",
            f"0,0,{tile},{tile}/{tile},{tile}/0/default.jpg",
            f"{left},{top},{width - left},{height - top}/{width - left},/0/default.jpg",
            "131072,65536,65536,65536/512,/0/default.jpg",
            "full/!1000,1000/0/default.png",
        )


GIANTS: Final = {
    "tiles of 512": Giant(Size(480_000, 360_000), 512, 170_000),
    "five million tiles of 240": Giant(Size(560_000, 560_000), 240, 20_000),
}
MOST_OF_OPENSLIDE: Final = 1 << 20
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


@pytest.fixture(scope="module", params=GIANTS)
def giant(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Giant, Path]]:
    """Provide a slide; where files cannot have holes there is none."""
    folder, slide = tmp_path_factory.mktemp("giant"), GIANTS[request.param]
    path = folder / "giant.svs"
    holes.slide(slide.levels, side=slide.tile, tile_bytes=slide.tile_bytes).write(path)
    try:
        assert path.stat().st_size > 100 * 10**9
        if path.stat().st_blocks * 512 > 10**9:
            pytest.skip("this filesystem has no sparse files")
        yield slide, path
    finally:
        shutil.rmtree(folder)


@pytest.mark.parametrize("how", ["direct", "far", "openslide"])
def test_within_bounds(giant: tuple[Giant, Path], how: str) -> None:
    """info.json, tiles of all levels and the whole take tens of megabytes, whichever plugin reads it, near or far.

    What has more tiles than OpenSlide should hold is handed over by its plugin.
    """
    slide, path = giant
    if how == "openslide" and slide.size.area // slide.tile**2 > MOST_OF_OPENSLIDE:
        decoder = OpenSlideDecoder(load(0), ["svs"], run_inline)
        with pytest.raises(Unsupported, match="tiles"):
            decoder.open(FileBlob.at(path))
        return
    command = [sys.executable, "-c", CHILD, str(path), how, *slide.requests]
    ended = subprocess.run(command, capture_output=True, check=False, text=True)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    grown, read, descriptors = map(int, ended.stdout.split()[-3:])
    assert grown <= 80 * 2**20
    assert read <= 60 * 2**20
    assert descriptors <= 40
