"""How much memory decoding one native tile takes: in processes of their own, against what the reader promises."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image
from sidecar_openslide import OpenSlideDecoder, OpenSlideSettings
from sidecar_openslide.library import load
from sidecar_openslide.sample import tissue

from sidecar.plugin import Malformed, Size, run_inline
from sidecar.testing.fakes import on_disk
from sidecar.testing.resident import SLACK

SIDE = 1536
WINDOW = 64
CHILD = """
import sys
import numpy as np
from pathlib import Path
from sidecar_openslide import OpenSlideDecoder
from sidecar_openslide.library import load
from sidecar.plugin import Rect, run_inline
from sidecar.testing.fakes import on_disk
from sidecar.testing.resident import growth

path, side = Path(sys.argv[1]), int(sys.argv[2])
reader = OpenSlideDecoder(load(0), [], run_inline).open(on_disk(path))
level, into = reader.info.levels[0], np.zeros((side, side, 3), np.uint8)
promised = level.fixed_bytes + level.pixel_bytes * side * side
window = reader.window(0, Rect(0, 0, side, side))
print(int(promised), growth(lambda: reader.read(window, (), into), promised))
"""


def _flat(path: Path, compression: str | None) -> None:
    tifffile.imwrite(
        path, tissue(Size(SIDE, SIDE)), tile=(SIDE, SIDE), photometric="rgb", compression=compression, metadata=None
    )


def _progressive(path: Path) -> None:
    """A TIFF with one tile, a progressive JPEG."""
    Image.fromarray(tissue(Size(SIDE, SIDE))).save(path.with_suffix(".jpg"), progressive=True, subsampling=0)
    tifffile.imwrite(
        path,
        iter([path.with_suffix(".jpg").read_bytes()]),
        shape=(SIDE, SIDE, 3),
        dtype=np.uint8,
        tile=(SIDE, SIDE),
        photometric="ycbcr",
        subsampling=(1, 1),
        compression="jpeg",
        metadata=None,
    )


@pytest.mark.parametrize(
    "make",
    [
        lambda path: _flat(path, None),
        lambda path: _flat(path, "adobe_deflate"),
        lambda path: _flat(path, "jpeg"),
        _progressive,
    ],
    ids=["plain", "deflate", "JPEG", "progressive JPEG"],
)
def test_promise_holds(tmp_path: Path, make: Callable[[Path], None]) -> None:
    """A small window of a large tile takes no more than what is promised, and the promise is of the right order."""
    path = tmp_path / "large.tif"
    make(path)
    command = [sys.executable, "-c", CHILD, str(path), str(WINDOW)]
    ended = subprocess.run(command, capture_output=True, check=True, text=True)
    promised, taken = map(int, ended.stdout.split())
    assert taken <= promised + SLACK
    assert promised <= 5 * (taken + SLACK)


@pytest.mark.parametrize("side", [4112, 16384, 65536])
def test_tiles_beyond_the_limit(tmp_path: Path, side: int) -> None:
    """A file of a few kilobytes whose tiles are larger than the setting is refused, before any of it is decoded."""
    path = tmp_path / "giant.tif"
    with tifffile.TiffWriter(path) as writer:
        writer.write(np.zeros((32, 32, 3), np.uint8), tile=(32, 32), photometric="rgb", metadata=None)
    with tifffile.TiffFile(path, mode="r+") as file:
        for name in ("TileWidth", "TileLength"):
            file.pages.first.tags[name].overwrite(side)
    with pytest.raises(Malformed, match=f"{side} x {side}"):
        OpenSlideDecoder(load(0), [], run_inline).open(on_disk(path))


def test_tile_longer_than_the_file(tmp_path: Path) -> None:
    """A tile that claims 2**60 bytes is refused: OpenSlide would end the process for lack of memory."""
    path = tmp_path / "long.tif"
    tifffile.imwrite(
        path,
        tissue(Size(256, 256)),
        tile=(128, 128),
        photometric="rgb",
        compression="jpeg",
        bigtiff=True,
        metadata=None,
    )
    with tifffile.TiffFile(path, mode="r+") as file:
        counts = file.pages.first.tags["TileByteCounts"]
        counts.overwrite([2**60] * len(counts.value), dtype="Q")
    with pytest.raises(Malformed, match="more than the file"):
        OpenSlideDecoder(load(0), [], run_inline).open(on_disk(path))


def test_every_level_counts_a_whole_tile(tmp_path: Path) -> None:
    """Each level promises a whole tile, and the cache of decoded tiles is stated beside it."""
    path = tmp_path / "large.tif"
    _flat(path, "jpeg")
    decoder = OpenSlideDecoder(load(2**21), OpenSlideSettings().suffixes, run_inline)
    with closing(decoder.open(on_disk(path))) as reader:
        assert all(level.fixed_bytes >= 4 * SIDE * SIDE for level in reader.info.levels)
    assert decoder.kept_bytes == 2**21
