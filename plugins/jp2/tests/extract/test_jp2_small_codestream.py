"""The law of the small codestream: for any window of any file, it decodes to the same samples as the whole one."""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sidecar_jp2.decoder import Jp2Decoder
from sidecar_jp2.extract.extractor import IndexedExtractor, extract
from sidecar_jp2.format.geometry import Area
from sidecar_jp2.format.main_header import MainHeader, parse_main_header
from sidecar_jp2.index.index_cache import IndexCache
from sidecar_jp2.index.packet_index import PacketIndex
from sidecar_jp2.openjpeg.codec import OpenJpeg
from sidecar_jp2.openjpeg.library import bind
from sidecar_jp2.openjpeg.streams import MemoryInput
from sidecar_jp2.reader import Jp2Reader
from sidecar_jp2.testing import picture, read

from sidecar.plugin import ByteRange, DecodeError, Pixels, Rect, run_inline
from sidecar.testing.fakes import MemoryBlob

IMAGES = {path.stem: path for path in sorted((Path(__file__).parents[4] / "tests/data/images").glob("*.jp2"))}
SIZE = (301, 223)
PRECINCTS = ("-c", "[64,64],[64,32],[32,32]")
ROUGH = ("-r", "20,10,5")
MADE: dict[str, tuple[str, ...]] = {
    "one tile, lossless": ("-p", "RPCL", *PRECINCTS, "-PLT", "-n", "5"),
    "lossy, layers, SOP, EPH": ("-p", "LRCP", "-I", *ROUGH, *PRECINCTS, "-PLT", "-SOP", "-EPH", "-n", "6"),
    "layers outermost but one": ("-p", "RLCP", *ROUGH, *PRECINCTS, "-PLT", "-SOP", "-n", "5"),
    "layers in tiles": ("-p", "LRCP", *ROUGH, *PRECINCTS, "-PLT", "-t", "128,128", "-TLM", "-n", "4"),
    "tile-parts by component": ("-p", "CPRL", "-I", *ROUGH, *PRECINCTS, "-PLT", "-EPH", "-TP", "C", "-n", "5"),
    "positions first": ("-p", "PCRL", *ROUGH, *PRECINCTS, "-PLT", "-SOP", "-EPH", "-n", "5"),
    "tiles": ("-p", "RPCL", "-t", "128,96", *PRECINCTS, "-PLT", "-TLM", "-TP", "R", "-n", "6"),
    "odd tiles": ("-p", "LRCP", "-t", "100,90", *PRECINCTS, "-I", "-PLT", "-n", "4"),
    "tiles without PLT": ("-p", "RPCL", "-t", "64,64", "-TP", "R", "-n", "4"),
    "tiles without precincts": ("-p", "PCRL", "-t", "96,128", "-PLT", "-SOP", "-n", "4"),
    "offset image": ("-p", "PCRL", "-d", "37,21", *ROUGH, *PRECINCTS, "-PLT", "-n", "5"),
    "offset image in offset tiles": ("-p", "CPRL", "-d", "37,21", "-T", "5,17", "-t", "64,96", *PRECINCTS, "-PLT"),
    "offset tiles, even": (
        "-p",
        "RPCL",
        "-d",
        "64,32",
        "-T",
        "32,32",
        "-t",
        "64,64",
        *PRECINCTS,
        "-I",
        "-PLT",
        "-n",
        "4",
    ),
    "chroma at half size": ("-p", "RPCL", "-mct", "0", *PRECINCTS, "-PLT", "-EPH", "-n", "5"),
    "chroma at half size in tiles": ("-p", "PCRL", "-mct", "0", "-t", "100,64", *PRECINCTS, "-PLT", "-n", "4"),
    "block styles": ("-p", "RPCL", "-M", "61", "-b", "16,64", *PRECINCTS, "-PLT", "-n", "5"),
    "no halvings": ("-p", "LRCP", "-n", "1", "-c", "[64,64]", "-PLT"),
    "region of interest": ("-p", "RPCL", "-ROI", "c=0,U=3", *PRECINCTS, "-PLT", "-n", "5"),
}
SAMPLINGS = {name: ((1, 1), (2, 2), (2, 2)) for name in MADE if name.startswith("chroma")}


@functools.cache
def codestream(name: str) -> bytes:
    """Return a codestream by name: of a file in tests/data, or made by opj_compress."""
    if name in MADE:
        return picture(SIZE, *MADE[name], steps=SAMPLINGS.get(name, ((1, 1),) * 3))
    content = IMAGES[name].read_bytes()
    return content[content.index(b"\xff\x4f\xff\x51") :]


@functools.cache
def index_of(name: str) -> PacketIndex:
    """Return an index that keeps growing from example to example."""
    data = codestream(name)
    return PacketIndex(parse_main_header(data), len(data), run_inline)


def decode(data: bytes, area: Area) -> list[NDArray[np.int32]]:
    """Decode an area to one array per component."""
    with OpenJpeg(bind()).decoded(MemoryInput(data), area) as found:
        return [np.array(plane) for plane in found]


def small_codestream(name: str, area: Area) -> tuple[bytes, Area] | None:
    """Extract and build the small codestream of an area; None if there is none."""
    data = codestream(name)
    small = extract(index_of(name), area, MemoryBlob(name, data))
    if small is None:
        return None
    found = small.extracted([data[part.start : part.stop] for part in small.ranges])
    return bytes(found.codestream), found.area


@st.composite
def areas(draw: st.DrawFn, header: MainHeader) -> Area:
    """Draw any area of any level as a reader computes it: at multiples of the scale, or at the image's edges."""
    level, grid = draw(st.integers(0, header.levels)), header.geometry
    whole = grid.level(level)
    left, top = draw(st.integers(whole.x, whole.right - 1)), draw(st.integers(whole.y, whole.bottom - 1))
    right, bottom = draw(st.integers(left + 1, whole.right)), draw(st.integers(top + 1, whole.bottom))
    x0, x1 = max(left << level, grid.x0), min(right << level, grid.x1)
    y0, y1 = max(top << level, grid.y0), min(bottom << level, grid.y1)
    for component in grid.components:  # OpenJPEG decodes no component without samples
        assume(samples(x0, x1, component.dx, level) and samples(y0, y1, component.dy, level))
    return Area(x0, y0, x1, y1, level, 1)


def samples(start: int, stop: int, step: int, level: int) -> range:
    """Return the samples of a component between two points of the reference grid."""
    return range(-((start // -step) >> level), -((stop // -step) >> level))


@pytest.mark.parametrize("name", [*MADE, *IMAGES])
def test_a_window_equals_the_plain_decode(name: str) -> None:
    """For random windows and levels of a file, the small codestream decodes to the samples of the whole one."""
    header, data = parse_main_header(codestream(name)), codestream(name)

    @settings(max_examples=12, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
    @given(areas(header))
    def law(area: Area) -> None:
        made = small_codestream(name, area)
        if made is None:
            return
        small, where = made
        for plane, expected in zip(decode(small, where), decode(data, area), strict=True):
            np.testing.assert_array_equal(plane, expected)

    law()


@pytest.mark.parametrize("name", [name for name in MADE if name != "no halvings"])
def test_a_window_is_much_smaller(name: str) -> None:
    """A corner, and the whole at a quarter of the size, take less than half of the bytes of every generated file."""
    data, grid = codestream(name), parse_main_header(codestream(name)).geometry
    corner = Area(grid.x0, grid.y0, grid.x0 + 40, grid.y0 + 40, 0, 1)
    made = small_codestream(name, corner)
    assert made is not None
    assert len(made[0]) < len(data) / 2
    quarter = small_codestream(name, Area(grid.x0, grid.y0, grid.x1, grid.y1, 2, 1))
    assert (quarter is None) == (name == "tiles without PLT")
    assert quarter is None or len(quarter[0]) < len(data) / 2


def test_few_bytes_are_read_of_the_usual_recipe() -> None:
    """With one tile, precincts and PLT, a window takes few bytes for its area, and none of finer levels."""
    data = codestream("untiled_precincts_plt_sop_eph")
    tile = small_codestream("untiled_precincts_plt_sop_eph", Area(1024, 512, 1280, 768, 0, 1))
    thumbnail = small_codestream("untiled_precincts_plt_sop_eph", Area(0, 0, 2000, 1500, 4, 1))
    assert tile is not None
    assert thumbnail is not None
    assert len(tile[0]) < len(data) / 2  # three by three precincts of the finest
    assert len(thumbnail[0]) < len(data) / 20
    assert thumbnail[1] == Area(0, 0, 125, 94, 0, 1, marked=True)


@functools.cache
def reader_of(name: str, *, indexed: bool) -> Jp2Reader:
    """Return a reader of a file, with or without a packet index."""
    extractors = functools.partial(IndexedExtractor, IndexCache(run_inline, 1 << 20)) if indexed else None
    return Jp2Decoder(OpenJpeg(bind()), extractors=extractors).open(blob_of(name))


@functools.cache
def blob_of(name: str) -> MemoryBlob:
    """Return a remote blob of a file."""
    return MemoryBlob(name, IMAGES[name].read_bytes())


@functools.cache
def whole_level(name: str, level: int) -> Pixels:
    """Return a whole level, decoded without a packet index."""
    return read(reader_of(name, indexed=False), blob_of(name), level)


@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(st.data(), st.sampled_from([*IMAGES]))
def test_a_window_is_a_crop_of_the_whole_level(data: st.DataObject, name: str) -> None:
    """Any window of a reader has the pixels that the whole level has there, for 9/7 wavelets and all colours too."""
    reader = reader_of(name, indexed=True)
    level = data.draw(st.integers(0, len(reader.info.levels) - 1))
    size = reader.info.levels[level].size
    x, y = data.draw(st.integers(0, size.width - 1)), data.draw(st.integers(0, size.height - 1))
    region = Rect(x, y, data.draw(st.integers(1, size.width - x)), data.draw(st.integers(1, size.height - y)))
    expected = whole_level(name, level)[region.y : region.bottom, region.x : region.right]
    np.testing.assert_array_equal(read(reader, blob_of(name), level, region), expected)


def test_ranges_are_runs_of_packets() -> None:
    """Contiguous packets of a tile-part make one range, and ranges never overlap."""
    name = "untiled_precincts_plt_sop_eph"
    data = codestream(name)
    small = extract(index_of(name), Area(0, 0, 2000, 1500, 3, 1), MemoryBlob(name, data))
    assert small is not None
    assert len(small.ranges) == 3  # tile-parts
    tile = extract(index_of(name), Area(512, 512, 1024, 1024, 0, 1), MemoryBlob(name, data))
    assert tile is not None
    assert len(tile.ranges) < 20
    assert all(before.stop < after.start for before, after in zip(tile.ranges, tile.ranges[1:], strict=False))


def test_packets_from_another_place_are_refused() -> None:
    """If SOP numbers the packets, bytes from another place raise DecodeError."""
    name = "untiled_precincts_plt_sop_eph"
    data = codestream(name)
    small = extract(index_of(name), Area(512, 512, 1024, 1024, 0, 1), MemoryBlob(name, data))
    assert small is not None
    pieces = [data[part.start : part.stop] for part in small.ranges]
    with pytest.raises(DecodeError, match="SOP"):
        small.extracted(pieces[::-1])


def test_a_small_codestream_is_a_value() -> None:
    """Two equal windows give equal small codestreams."""
    name = "tiles"
    area = Area(10, 10, 200, 60, 1, 1)
    first, second = (extract(index_of(name), area, MemoryBlob(name, codestream(name))) for _ in range(2))
    assert first == second
    assert first is not None
    assert all(isinstance(part, ByteRange) for part in first.ranges)
