"""The law of the cut: an image cut out of a tile decodes to the samples of the whole tile, without a warning."""

from __future__ import annotations

import functools
import itertools
import struct
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, reject, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sidecar_jp2.blocks.packet_reader import SOP_BYTES
from sidecar_jp2.decoder import Jp2Decoder
from sidecar_jp2.extract.extractor import IndexedExtractor, extract
from sidecar_jp2.extract.rewritten_codestream import RewrittenCodestream
from sidecar_jp2.extract.small_codestream import SOP
from sidecar_jp2.format import cut_grid
from sidecar_jp2.format.cut_grid import CutGrid
from sidecar_jp2.format.geometry import Area
from sidecar_jp2.format.main_header import MainHeader, parse_main_header
from sidecar_jp2.index.index_cache import IndexCache
from sidecar_jp2.index.packet_index import PacketIndex
from sidecar_jp2.openjpeg.codec import OpenJpeg
from sidecar_jp2.openjpeg.library import bind
from sidecar_jp2.openjpeg.streams import MemoryInput
from sidecar_jp2.reader import Jp2Reader
from sidecar_jp2.testing import picture, read

from sidecar.plugin import DecodeError, Rect, run_inline
from sidecar.testing.fakes import MemoryBlob

SIZE = (301, 223)
CHEAP = settings(
    max_examples=16,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.function_scoped_fixture],
)
CHROMA = ((1, 1), (2, 2), (2, 2))
RGB = ((1, 1),) * 3


@pytest.fixture(autouse=True)
def _every_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut images out however little that saves, and windows in several parts however short they are."""
    monkeypatch.setattr(cut_grid, "LEAST_SAVED", 1)
    monkeypatch.setattr(cut_grid, "USUAL", 80)


def optional(*options: Sequence[str]) -> st.SearchStrategy[Sequence[str]]:
    """Draw one of some options of opj_compress, or none of them."""
    return st.sampled_from([(), *options])


OPTIONS: st.SearchStrategy[list[str]] = st.tuples(
    st.sampled_from([("-p", name) for name in ("LRCP", "RLCP", "RPCL", "PCRL", "CPRL")]),
    optional(("-t", "150,200")),
    optional(("-d", "19,11"), ("-d", "37,21")),
    st.sampled_from([("-n", str(levels)) for levels in (1, 2, 3, 4)]),
    optional(("-c", "[64,64],[32,32]"), ("-c", "[16,32]"), ("-c", "[128,32],[64,64],[16,16]")),
    st.sampled_from([("-b", "4,4"), ("-b", "8,8"), ("-b", "4,16"), ("-b", "16,8")]),
    st.one_of(st.just(0), st.integers(0, 63)).map(lambda style: ("-M", str(style))),
    optional(("-I",)),
    optional(("-ROI", "c=0,U=3")),
    optional(("-SOP",), ("-EPH",), ("-SOP", "-EPH")),
    optional(("-r", "20,10,5"), ("-r", "8")),
    optional(("-TP", "R")),
).map(lambda parts: ["-PLT", *itertools.chain(*parts)])


def made(options: Sequence[str], steps: Sequence[tuple[int, int]] = RGB) -> bytes:
    """Return a codestream of opj_compress; combinations that it refuses or fails at are no examples."""
    try:
        return picture(SIZE, *options, *(("-mct", "0") if {*steps} != {(1, 1)} else ()), steps=steps)
    except subprocess.CalledProcessError:
        reject()


def decode(data: bytes, area: Area) -> list[NDArray[np.int32]]:
    """Decode an area to one array per component."""
    with OpenJpeg(bind()).decoded(MemoryInput(data), area) as found:
        return [np.array(plane) for plane in found]


@st.composite
def areas(draw: st.DrawFn, header: MainHeader) -> Area:
    """Draw an area of any level, small ones often."""
    level, grid = draw(st.integers(0, header.levels)), header.geometry
    whole = grid.level(level)
    left, top = draw(st.integers(whole.x, whole.right - 1)), draw(st.integers(whole.y, whole.bottom - 1))
    right = min(whole.right, left + draw(st.sampled_from([1, 5, 20, 200])))
    bottom = min(whole.bottom, top + draw(st.sampled_from([1, 5, 20, 200])))
    x, y = (
        (max(left << level, grid.x0), min(right << level, grid.x1)),
        (
            max(top << level, grid.y0),
            min(bottom << level, grid.y1),
        ),
    )
    return Area(x[0], y[0], x[1], y[1], level, 1)


def cut_of(index: PacketIndex, data: bytes, area: Area) -> RewrittenCodestream | None:
    """Return what is cut out for an area, if anything is."""
    small = extract(index, area, MemoryBlob("a.j2k", data), cut=True)
    return small if isinstance(small, RewrittenCodestream) else None


def pieces_of(small: RewrittenCodestream, data: bytes) -> list[bytes]:
    """Return the bytes of its ranges."""
    return [data[part.start : part.stop] for part in small.ranges]


@CHEAP
@given(OPTIONS, st.sampled_from([RGB, CHROMA, ((1, 1), (2, 1), (2, 1)), ((1, 1),)]), st.data())
def test_a_cut_equals_the_plain_decode(
    options: list[str], steps: Sequence[tuple[int, int]], data: st.DataObject
) -> None:
    """Whatever opj_compress is told, and whatever is cut out of its files, the samples are those of the whole file."""
    content = made(options, steps)
    header = parse_main_header(content)
    index = PacketIndex(header, len(content), run_inline)
    for area in data.draw(st.lists(areas(header), min_size=5, max_size=5)):
        small = cut_of(index, content, area)
        if small is None:
            continue
        found = small.extracted(pieces_of(small, content))
        assert found.cut
        assert small.unchanged().ranges == small.ranges
        try:
            expected = decode(content, area)
        except DecodeError:  # an area without samples of a subsampled component
            continue
        for plane, wanted in zip(decode(bytes(found.codestream), found.area), expected, strict=True):
            np.testing.assert_array_equal(plane, wanted)


@functools.cache
def usual() -> bytes:
    """Return a file whose precincts are parted by cuts."""
    return made(("-n", "4", "-b", "8,8", "-r", "20,10,2", "-M", "5", "-p", "RPCL", "-PLT", "-SOP"))


def test_opj_decompress_reads_a_cut_without_a_warning() -> None:
    """OpenJPEG's own program decodes a cut image whole, and reports nothing but that."""
    content, area = usual(), Area(120, 90, 150, 130, 0, 1)
    small = cut_of(PacketIndex(parse_main_header(content), len(content), run_inline), content, area)
    assert small is not None
    assert small.tiles[0].precincts
    with tempfile.TemporaryDirectory() as folder:
        source, raw = Path(folder, "a.j2k"), Path(folder, "a.raw")
        source.write_bytes(small.extracted(pieces_of(small, content)).codestream)
        command = ["opj_decompress", "-i", str(source), "-o", str(raw)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        right, bottom, left, top = struct.unpack_from(">4I", source.read_bytes(), 8)
        samples = np.frombuffer(raw.read_bytes(), np.uint8).reshape(3, bottom - top, right - left)
    assert "WARN" not in done.stdout + done.stderr
    expected = decode(content, area)
    for plane, wanted in zip(samples, expected, strict=True):
        part = plane[area.top - top : area.bottom - top, area.left - left : area.right - left]
        np.testing.assert_array_equal(part, wanted)
    assert (right - left) * (bottom - top) < SIZE[0] * SIZE[1] / 2


def test_headers_are_read_once() -> None:
    """What was read of a packet header is kept with the index, counted, and serves other windows."""
    content = usual()
    index = PacketIndex(parse_main_header(content), len(content), run_inline)
    assert index.blocks.nbytes == 0
    area = Area(120, 90, 150, 130, 0, 1)
    small = cut_of(index, content, area)
    assert small is not None
    before = index.nbytes
    first = small.extracted(pieces_of(small, content))
    assert index.blocks.nbytes > 0
    assert index.nbytes == before + index.blocks.nbytes
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("sidecar_jp2.extract.rewritten_codestream.read_precinct", None)
        again = cut_of(index, content, area)
        assert again == small
        assert again.extracted(pieces_of(again, content)) == first


def test_a_header_that_cannot_be_read_leaves_the_tile_whole() -> None:
    """If a packet header cannot be read, the window has the samples of the whole tile; it is counted, and cuts end."""
    content = usual()
    index = PacketIndex(parse_main_header(content), len(content), run_inline)
    area = Area(120, 90, 150, 130, 0, 1)
    small = cut_of(index, content, area)
    assert small is not None
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("sidecar_jp2.blocks.packet_reader.MOST_ZERO_PLANES", -1)
        found = small.extracted(pieces_of(small, content))
    assert not found.cut
    assert index.blocks.unreadable == 1
    for plane, wanted in zip(decode(bytes(found.codestream), found.area), decode(content, area), strict=True):
        np.testing.assert_array_equal(plane, wanted)
    assert cut_of(index, content, area) is None


def test_packets_from_another_place_are_refused() -> None:
    """If SOP numbers the packets, bytes from another place raise DecodeError."""
    content = usual()
    small = cut_of(
        PacketIndex(parse_main_header(content), len(content), run_inline), content, Area(120, 90, 150, 130, 0, 1)
    )
    assert small is not None
    wrong = [piece.replace(SOP[:4], SOP[:3] + b"\5") for piece in pieces_of(small, content)]
    assert all(len(piece) > SOP_BYTES for piece in wrong)
    with pytest.raises(DecodeError, match="SOP"):
        small.extracted(wrong)


@functools.cache
def reader_of(content: bytes, *, indexed: bool) -> Jp2Reader:
    """Return a reader of a remote file, with or without a packet index."""
    extractors = functools.partial(IndexedExtractor, IndexCache(run_inline, 1 << 24)) if indexed else None
    return Jp2Decoder(OpenJpeg(bind()), extractors=extractors).open(MemoryBlob("a.j2k", content))


def windows(width: int, height: int) -> Iterator[Rect]:
    """Return windows that are long in one direction or both."""
    yield Rect(0, 0, width, height)
    yield Rect(width // 7, height // 3, width // 2, 1)


@pytest.mark.parametrize(
    "options", [(), ("-I", "-r", "10"), ("-d", "19,11", "-r", "20,5"), ("-mct", "0", "-p", "PCRL")]
)
def test_long_windows_are_decoded_in_parts(options: tuple[str, ...]) -> None:
    """A window longer than what is cut out at once has the pixels of the whole, and reads no byte twice."""
    steps = CHROMA if "PCRL" in options else RGB
    content = picture(SIZE, "-n", "3", "-b", "4,4", "-c", "[32,32]", "-PLT", *options, steps=steps)
    blob, reader = MemoryBlob("a.j2k", content), reader_of(content, indexed=True)
    parts = 0
    for level, each in enumerate(reader.info.levels):
        plain = read(reader_of(content, indexed=False), blob, level)
        for region in windows(each.size.width, each.size.height):
            window = reader.window(level, region)
            parts += len(window.parts)
            assert all(before.stop < after.start for before, after in itertools.pairwise(window.ranges))
            expected = plain[region.y : region.bottom, region.x : region.right]
            np.testing.assert_array_equal(read(reader, blob, level, region), expected)
    assert parts > 4


def test_what_is_cut_out_is_bounded() -> None:
    """For a window up to the longest side, wherever it lies, no more is cut out than the grid says."""
    header = parse_main_header(usual())
    for level in range(header.levels + 1):
        axis = CutGrid.of(header, level).x
        for start in range(1000, 1000 + axis.step):
            begin, end = axis.around(start, start + axis.longest, 0, 1 << 20)
            assert begin <= start - axis.reach
            assert start + axis.longest + axis.reach <= end
            assert end - begin <= axis.most


def test_a_tile_that_is_not_cut_against_the_plan_is_refused() -> None:
    """If headers cannot be read, and the whole tile takes more memory than was planned, nothing is decoded."""
    content = picture((4096, 512), "-n", "2", "-b", "8,8", "-c", "[64,64],[64,64]", "-PLT", steps=((1, 1),))
    blob, reader = MemoryBlob("a.j2k", content), reader_of(content, indexed=True)
    region = Rect(0, 0, 16, 16)
    window = reader.window(0, region)
    assert window.cut
    pixels = np.empty((16, 16, 1), np.uint8)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("sidecar_jp2.blocks.packet_reader.MOST_ZERO_PLANES", -1)
        patched.setattr("sidecar_jp2.reader.UNPLANNED", 0)
        with pytest.raises(DecodeError, match="the tile is large"):
            reader.read(window, blob.read(window.ranges), pixels)
    assert reader.window(0, region).cut is False
