"""Pixels: equal to those of glymur and Pillow, and every region equal to the crop of the whole level."""

from __future__ import annotations

import gc
import os
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import cache
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from sidecar_jp2.decoder import Jp2Decoder
from sidecar_jp2.openjpeg.codec import OpenJpeg
from sidecar_jp2.openjpeg.library import bind
from sidecar_jp2.openjpeg.streams import FileInput
from sidecar_jp2.reader import Jp2Reader
from sidecar_jp2.testing import Step, picture, read

from sidecar.plugin import DecodeError, Grid, Pixels, Rect, Size, SourceChanged, Unsupported
from sidecar.testing.descriptors import all_come_back
from sidecar.testing.fakes import MemoryBlob, on_disk

DECODER = Jp2Decoder(OpenJpeg(bind()))
import glymur  # noqa: E402  # after the library is chosen

IMAGES = Path(__file__).parents[3] / "tests" / "data" / "images"
EIGHT_BITS = sorted(path.name for path in IMAGES.glob("*.jp2") if path.stem not in ("gray16", "rgb12"))
GLYMUR_DATA = Path(str(glymur.data.nemo())).parent
FULL: tuple[Step, ...] = ((1, 1),) * 3
MADE: dict[str, tuple[tuple[Step, ...], tuple[str, ...]]] = {
    "offset": (FULL, ("-d", "37,21")),
    "grey, odd tiles, offsets": (((1, 1),), ("-t", "64,48", "-T", "5,3", "-d", "11,9")),
    "tiles smaller than the offset": (FULL, ("-t", "50,40", "-d", "7,13")),
    "more levels than pixels": (FULL, ("-n", "8", "-d", "201,77")),
    "irreversible, tiny precincts": (FULL, ("-I", "-c", "[32,32],[16,16]", "-b", "16,16")),
    "irreversible tiles": (FULL, ("-I", "-t", "133,141", "-T", "31,17", "-d", "61,50")),
    "tile-parts": (FULL, ("-c", "[32,32],[16,16]", "-p", "RPCL", "-t", "90,90", "-TP", "R", "-SOP", "-EPH")),
    "4:2:0": (((1, 1), (2, 2), (2, 2)), ()),
    "4:2:0 with an offset": (((1, 1), (2, 2), (2, 2)), ("-d", "38,22")),
    "4:2:2 in tiles": (((1, 1), (2, 1), (2, 1)), ("-t", "64,48", "-T", "5,3", "-d", "12,9")),
    "all 4x1": (((4, 1),) * 3, ("-t", "50,40", "-d", "8,13")),
    "all 3x2": (((3, 2),), ("-d", "36,22")),
}
NAMES = [*EIGHT_BITS, "gray16.jp2", "rgb12.jp2", *MADE]


@cache
def blob(name: str) -> MemoryBlob:
    """Return a file of tests/data/images or a generated one."""
    if name in MADE:
        steps, options = MADE[name]
        return MemoryBlob(f"{name}.j2k", picture((203, 157), *options, steps=steps))
    return on_disk(IMAGES / name)


@cache
def opened(name: str) -> Jp2Reader:
    """Return a reader of the file."""
    return DECODER.open(blob(name))


@cache
def whole(name: str, level: int) -> Pixels:
    """Return all pixels of a level."""
    return read(opened(name), blob(name), level)


def by_glymur(path: Path, level: int) -> Pixels:
    """Return the pixels that glymur decodes: (rows, columns, channels)."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pixels = np.asarray(glymur.Jp2k(path)[:: 2**level, :: 2**level])
    return pixels if pixels.ndim == 3 else pixels[..., np.newaxis]


@pytest.mark.parametrize("name", [*(name for name in EIGHT_BITS if "offset" not in name), "nemo.jp2", "goodstuff.j2k"])
def test_every_level_equals_plain_openjpeg(name: str) -> None:
    """Each level of each 8-bit file equals glymur's, except for images with an offset, which glymur crops wrongly."""
    path = (GLYMUR_DATA if name in ("nemo.jp2", "goodstuff.j2k") else IMAGES) / name
    reader = DECODER.open(on_disk(path))
    for index, level in enumerate(reader.info.levels):
        expected = by_glymur(path, index)
        assert expected.shape == (level.size.height, level.size.width, reader.info.channels)
        np.testing.assert_array_equal(read(reader, on_disk(path), index), expected)


@pytest.mark.parametrize("name", EIGHT_BITS)
def test_pixels_equal_pillow(name: str) -> None:
    """Pillow reads the same pixels at full size, even with an image offset or a palette."""
    with Image.open(IMAGES / name) as image:
        expected = np.asarray(image.convert("RGB") if image.mode == "P" else image)
    np.testing.assert_array_equal(np.squeeze(whole(name, 0)), expected)


@given(data=st.data())
@settings(max_examples=250, deadline=None, derandomize=True)
def test_a_region_is_the_crop_of_the_whole(data: st.DataObject) -> None:
    """At every level, any region has the pixels that the whole level has there."""
    name = data.draw(st.sampled_from(NAMES))
    reader = opened(name)
    level = data.draw(st.integers(0, len(reader.info.levels) - 1))
    size = reader.info.levels[level].size
    x, y = data.draw(st.integers(0, size.width - 1)), data.draw(st.integers(0, size.height - 1))
    width, height = data.draw(st.integers(1, size.width - x)), data.draw(st.integers(1, size.height - y))
    pixels = read(reader, blob(name), level, Rect(x, y, width, height))
    np.testing.assert_array_equal(pixels, whole(name, level)[y : y + height, x : x + width])


def test_sizes_of_an_image_with_an_offset() -> None:
    """Level sizes follow ITU-T T.800 B-15: ceil(Xsiz / 2^r) - ceil(XOsiz / 2^r), not the divided size."""
    sizes = [(level.size.width, level.size.height) for level in opened("more levels than pixels").info.levels]
    assert sizes == [(203, 157), (101, 78), (50, 39), (25, 20), (13, 10), (6, 5), (3, 2), (2, 1)]


def test_tiles_are_placed_exactly() -> None:
    """A grid is XTOsiz and XTsiz, scaled and relative to the image; an untiled image gets pieces along its blocks."""
    info = opened("grey, odd tiles, offsets").info
    assert info.tile == Size(64, 48)
    assert info.levels[0].grid == Grid(x=-6, y=-6, width=64, height=48)
    assert info.levels[3].grid == Grid(x=5 / 8 - 2, y=3 / 8 - 2, width=8, height=6)
    untiled = opened("offset").info
    assert untiled.tile is None
    assert untiled.levels[0].grid == Grid(x=-37, y=-21, width=2048, height=1024)
    assert untiled.levels[1].grid == Grid(x=-19, y=-11, width=2048, height=1024)


def test_tile_boundaries_are_where_tiles_begin() -> None:
    """Windows along the grid touch one tile each, so that no tile is decoded twice."""
    reader, grid = opened("tile-parts"), opened("tile-parts").info.levels[1].grid
    assert grid is not None
    size = reader.info.levels[1].size
    columns = [0, *grid.columns(0, size.width), size.width]
    for left, right in pairwise(columns):
        area = reader._resolutions[1].area(Rect(left, 0, right - left, 1))
        assert area.tiles == 1


def test_indices_are_not_scaled() -> None:
    """A palette image has only one level, because the average of two indices is a third colour."""
    assert len(opened("palette.jp2").info.levels) == 1


def test_a_local_file_is_read_in_place() -> None:
    """A local blob is read in place; every window of a remote one takes the whole codestream, which the core shares."""
    local, remote = on_disk(IMAGES / "gray8.jp2"), MemoryBlob("gray8.jp2", (IMAGES / "gray8.jp2").read_bytes())
    region = Rect(0, 0, 8, 8)
    assert DECODER.open(local).window(0, region).ranges == ()
    reader, asked = DECODER.open(remote), len(remote.asked)
    first, second = reader.window(0, region), reader.window(1, region)
    assert remote.asked[asked:] == []
    assert first.ranges == second.ranges
    (span,) = first.ranges
    assert remote.content[span.start : span.start + 4] == b"\xff\x4f\xff\x51"
    np.testing.assert_array_equal(
        read(DECODER.open(local), local, 0, region), read(DECODER.open(remote), remote, 0, region)
    )


def test_a_large_remote_codestream_is_not_held_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """A remote codestream that needs all of its bytes raises Unsupported if they are too many to hold."""
    remote = MemoryBlob("gray8.jp2", (IMAGES / "gray8.jp2").read_bytes())
    monkeypatch.setattr("sidecar_jp2.reader.LARGEST_WHOLE", remote.size // 2)
    with pytest.raises(Unsupported, match="whole"):
        DECODER.open(remote).window(0, Rect(0, 0, 8, 8))


def test_a_replaced_file_is_noticed(tmp_path: Path) -> None:
    """A file that is another one, and one that is gone, raise SourceChanged."""
    path = tmp_path / "a.jp2"
    path.write_bytes((IMAGES / "gray8.jp2").read_bytes())
    found = on_disk(path)
    reader = DECODER.open(found)
    path.write_bytes((IMAGES / "gray16.jp2").read_bytes())
    with pytest.raises(SourceChanged):
        read(reader, found)
    path.unlink()
    with pytest.raises(SourceChanged):
        read(reader, found)


def test_a_file_overwritten_while_it_is_decoded_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bytes that are written in place while OpenJPEG reads the file break the window, as many as they are."""
    path = tmp_path / "a.jp2"
    path.write_bytes((IMAGES / "gray8.jp2").read_bytes())
    found = on_disk(path)
    reader = DECODER.open(found)
    fill = FileInput.fill

    def overwrite(self: FileInput, address: int, count: int, offset: int) -> int:
        path.write_bytes(path.read_bytes())
        return fill(self, address, count, offset)

    monkeypatch.setattr(FileInput, "fill", overwrite)
    with pytest.raises(SourceChanged):
        read(reader, found)


def test_threads_agree() -> None:
    """One reader used by four threads at once returns the same pixels as in one thread."""
    rng = np.random.default_rng(3)
    jobs = [
        (name, Rect(int(x), int(y), 100, 90))
        for name in ("tiled_512.jp2", "untiled_precincts_plt_layers.jp2", "icc.jp2")
        for x, y in zip(rng.integers(0, 1900, 12), rng.integers(0, 1400, 12), strict=True)
    ]
    with ThreadPoolExecutor(4) as threads:
        together = list(threads.map(lambda job: read(opened(job[0]), blob(job[0]), 0, job[1]), jobs))
    for (name, region), pixels in zip(jobs, together, strict=True):
        crop = whole(name, 0)[region.y : region.bottom, region.x : region.right]
        np.testing.assert_array_equal(pixels, crop)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_nothing_leaks() -> None:
    """A hundred windows, valid or broken, leak neither descriptors nor memory."""
    good, broken = blob("tiled_512.jp2"), MemoryBlob("a.jp2", blob("tiled_512.jp2").content[:-4000] + bytes(4000))
    readers = [(DECODER.open(each), each) for each in (good, broken)]

    def turn(count: int) -> None:
        for _ in range(count):
            for reader, each in readers:
                region = Rect(1500, 1000, 400, 400)
                with suppress(DecodeError):
                    read(reader, each, 0, region)

    turn(10)
    gc.collect()
    gc.disable()  # so that reference cycles count as leaks
    try:
        before = _resident()
        with all_come_back():
            turn(40)
        grown = _resident() - before
    finally:
        gc.enable()
    assert grown < 4 * 2**20


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")
