"""Images decoded in whole tiles: HTJ2K, equal to other decoders', and any file at all if it is told to be."""

from __future__ import annotations

import functools
import struct
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import ClassVar, NamedTuple

import imagecodecs
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sidecar_jp2.decoder import Jp2Decoder
from sidecar_jp2.extract.extractor import IndexedExtractor
from sidecar_jp2.format.geometry import Resolution
from sidecar_jp2.format.main_header import parse_main_header
from sidecar_jp2.format.markers import Marker, segment_bytes
from sidecar_jp2.index.index_cache import IndexCache
from sidecar_jp2.openjpeg.codec import OpenJpeg
from sidecar_jp2.openjpeg.library import bind
from sidecar_jp2.proven import DecodeUnit
from sidecar_jp2.reader import Jp2Reader
from sidecar_jp2.testing import colr, ihdr, jp2, picture, planes, read
from sidecar_jp2.whole_tiles import largest, runs

from sidecar.plugin import Blob, Grid, Pixels, Rect, run_inline
from sidecar.testing.contracts.decoder import DecoderContract, Make
from sidecar.testing.fakes import MemoryBlob

SIZE = (301, 223)
CHEAP = settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])


def opened(blob: Blob, *, indexed: bool = False) -> Jp2Reader:
    """Return a reader, with or without a packet index."""
    extractors = functools.partial(IndexedExtractor, IndexCache(run_inline, 1 << 20)) if indexed else None
    return Jp2Decoder(OpenJpeg(bind()), extractors=extractors).open(blob)


@functools.cache
def samples(channels: int, size: tuple[int, int] = SIZE) -> Pixels:
    """Return a noisy picture: (rows, columns, channels), or (rows, columns) of one channel."""
    return np.squeeze(np.stack(planes(size, ((1, 1),) * channels), -1).astype(np.uint8))


class Recipe(NamedTuple):
    """What OpenJPH is told."""

    channels: int = 3
    tile: tuple[int, int] | None = None
    levels: int = 3
    loss: float = 0.0
    by_resolution: bool = False
    """Whether each resolution is a tile-part of its own."""
    tlm: bool = False


@functools.cache
def encoded(recipe: Recipe, size: tuple[int, int] = SIZE) -> bytes:
    """Return an HTJ2K codestream made by OpenJPH."""
    made = imagecodecs.htj2k_encode(
        samples(recipe.channels, size),
        level=recipe.loss or None,
        reversible=not recipe.loss,
        tile=recipe.tile,
        resolutions=recipe.levels,
        tilepart=int(recipe.by_resolution),
        tlm=recipe.tlm,
    )
    return with_packet_lengths(bytes(made)) if recipe.channels == 1 and recipe.by_resolution else bytes(made)


def with_packet_lengths(data: bytes) -> bytes:
    """Write PLT into tile-parts that have one packet each, and drop TLM, which is no longer true."""
    header = parse_main_header(data)
    kept = [segment_bytes(each.marker, each.data) for each in header.segments if each.marker != Marker.TLM]
    out, at = struct.pack(">H", Marker.SOC) + b"".join(kept), header.stop
    while data[at : at + 2] == b"\xff\x90":
        length = int.from_bytes(data[at + 6 : at + 10])
        plt = segment_bytes(Marker.PLT, b"\0" + _septets(length - 14))
        out += data[at : at + 6] + struct.pack(">I", length + len(plt)) + data[at + 10 : at + 12]
        out += plt + data[at + 12 : at + length]
        at += length
    return out + b"\xff\xd9"


def _septets(value: int) -> bytes:
    high = [value >> shift & 0x7F | 0x80 for shift in (28, 21, 14, 7) if value >> shift]
    return bytes([*high, value & 0x7F])


@functools.cache
def whole(data: bytes, level: int) -> Pixels:
    """Return all pixels of a level, which is a whole decode."""
    return read(opened(MemoryBlob("a.j2c", data)), MemoryBlob("a.j2c", data), level)


@given(
    st.builds(
        Recipe,
        st.sampled_from([1, 3]),
        st.sampled_from([None, (64, 96), (150, 60), (33, 47)]),
        st.sampled_from([1, 3, 5]),
        st.sampled_from([0.0, 0.01]),
        st.booleans(),
        st.booleans(),
    ),
    st.data(),
)
@CHEAP
def test_windows_of_high_throughput_files(recipe: Recipe, data: st.DataObject) -> None:
    """Any window of any level has the pixels of the whole level, and those of level 0 are OpenJPH's too."""
    content, indexed = encoded(recipe), data.draw(st.booleans())
    blob = MemoryBlob("a.j2c", content)
    reader = opened(blob, indexed=indexed)
    level = data.draw(st.integers(0, len(reader.info.levels) - 1))
    expected = whole(content, level)
    if level == 0:
        theirs = np.atleast_3d(imagecodecs.htj2k_decode(content))
        inside = (expected > 0) & (expected < 255)  # OpenJPH does not clip what lies outside
        assert np.abs(expected.astype(int) - theirs)[inside].max() <= (1 if recipe.loss else 0)
    height, width, _ = expected.shape
    x, y = data.draw(st.integers(0, width - 1)), data.draw(st.integers(0, height - 1))
    region = Rect(x, y, data.draw(st.integers(1, width - x)), data.draw(st.integers(1, height - y)))
    np.testing.assert_array_equal(read(reader, blob, level, region), expected[y : region.bottom, x : region.right])


def test_packets_are_left_out_of_high_throughput_files() -> None:
    """With packet lengths, a coarse level of a remote file is decoded from a part of its bytes."""
    content = encoded(Recipe(1, None, 5, by_resolution=True))
    blob = MemoryBlob("a.j2c", content)
    reader = opened(blob, indexed=True)
    window = reader.window(2, Rect(0, 0, 40, 40))
    assert sum(each.length for each in window.ranges) < len(content) / 8
    np.testing.assert_array_equal(read(reader, blob, 2, Rect(0, 0, 40, 40)), whole(content, 2)[:40, :40])


MADE: Mapping[str, Callable[[], bytes]] = {
    "one tile": lambda: picture(SIZE, "-c", "[64,64],[32,32]", "-PLT", "-n", "4"),
    "lossy, layers": lambda: picture(SIZE, "-I", "-r", "20,10,5", "-c", "[64,64],[32,32]", "-PLT", "-p", "RPCL"),
    "tiles": lambda: picture(SIZE, "-t", "64,48", "-PLT", "-p", "RPCL"),
    "lossy tiles with an offset": lambda: picture(SIZE, "-I", "-t", "133,141", "-T", "31,17", "-d", "61,50", "-PLT"),
    "tiny tiles": lambda: picture((149, 118), "-t", "17,13", "-n", "3"),
    "4:2:0 in odd tiles": lambda: picture(
        SIZE, "-t", "51,41", "-T", "5,3", "-d", "12,10", "-PLT", "-mct", "0", steps=((1, 1), (2, 2), (2, 2))
    ),
    "4:2:2": lambda: picture(SIZE, "-mct", "0", "-t", "63,64", steps=((1, 1), (2, 1), (2, 1))),
}
UNITS = [DecodeUnit.TILE, DecodeUnit.IMAGE]


@functools.cache
def content_of(name: str) -> bytes:
    """Return a generated codestream."""
    return MADE[name]()


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("name", MADE)
def test_whole_tiles_of_any_file(name: str, unit: DecodeUnit) -> None:
    """Decoded in whole tiles, or whole, with a packet index or without, windows are what they are otherwise."""
    content = content_of(name)
    blob = MemoryBlob("a.j2k", content)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("sidecar_jp2.decoder.decode_unit", lambda *_: unit)
        readers = [opened(blob), opened(blob, indexed=True)][: 1 if unit == DecodeUnit.IMAGE else 2]

    @settings(CHEAP, max_examples=15)
    @given(st.data())
    def law(data: st.DataObject) -> None:
        level = data.draw(st.integers(0, len(readers[0].info.levels) - 1))
        expected = whole(content, level)
        height, width, _ = expected.shape
        x, y = data.draw(st.integers(0, width - 1)), data.draw(st.integers(0, height - 1))
        region = Rect(x, y, data.draw(st.integers(1, width - x)), data.draw(st.integers(1, height - y)))
        for reader in readers:
            pixels = read(reader, blob, level, region)
            np.testing.assert_array_equal(pixels, expected[y : region.bottom, x : region.right])

    law()


@given(st.sampled_from([*MADE]), st.integers(0, 3), st.sampled_from([1, 100]), st.data())
@CHEAP
def test_runs_share_no_pixel_and_no_tile(name: str, reduce: int, side: int, data: st.DataObject) -> None:
    """Runs cover a region without overlap, and are not larger than the memory that is promised for one."""
    header = parse_main_header(content_of(name))
    resolution = Resolution(header.geometry, min(reduce, header.levels))
    width, height = resolution.size.width, resolution.size.height
    x, y = data.draw(st.integers(0, width - 1)), data.draw(st.integers(0, height - 1))
    region = Rect(x, y, data.draw(st.integers(1, width - x)), data.draw(st.integers(1, height - y)))
    seen = np.zeros((height, width), int)
    for part, area in runs(resolution, DecodeUnit.TILE, region, side):
        seen[part.y : part.bottom, part.x : part.right] += 1
        across = len(resolution.samples(area.left, area.right, 1))
        down = len(resolution.samples(area.top, area.bottom, 1))
        assert across * down <= largest(resolution, DecodeUnit.TILE, side).area
    assert seen[y : region.bottom, x : region.right].min() == 1
    assert seen.sum() == region.size.area


def test_levels_say_that_whole_tiles_are_decoded() -> None:
    """Bands follow tile rows, and an untiled image is one piece, whose cost does not depend on the region."""
    tiled = opened(MemoryBlob("a.j2c", encoded(Recipe(3, (64, 96))))).info.levels
    untiled = opened(MemoryBlob("a.j2c", encoded(Recipe(3)))).info.levels
    assert tiled[1].grid == Grid(width=32, height=48)
    assert untiled[1].grid == Grid(width=151, height=112)
    assert {level.pixel_bytes for level in (*tiled, *untiled)} == {0}
    assert untiled[0].fixed_bytes > 12 * 301 * 223 > untiled[1].fixed_bytes


def _blob(make: Callable[[], bytes], name: str = "made.j2c") -> Make:
    def blob(folder: Path) -> Blob:
        del folder
        return MemoryBlob(name, make())

    return blob


class TestHighThroughput(DecoderContract):
    """The decoder keeps the contract for HTJ2K, its memory above all."""

    decoder = Jp2Decoder(OpenJpeg(bind()))
    samples: ClassVar[Mapping[str, Make]] = {
        "untiled": _blob(lambda: encoded(Recipe(3), (1300, 900))),
        "lossy": _blob(lambda: encoded(Recipe(3, loss=0.01), (301, 223))),
        "grey in tiles": _blob(lambda: encoded(Recipe(1, (512, 512)), (1300, 900))),
        "small tiles": _blob(lambda: encoded(Recipe(3, (128, 128)), (640, 480))),
        "in a JPH": _blob(lambda: jp2(encoded(Recipe(3, (64, 96))), ihdr(), colr(16)), "made.jph"),
    }
    nasties: ClassVar[Mapping[str, Make]] = {"cut": _blob(lambda: encoded(Recipe(3))[:90_000])}
