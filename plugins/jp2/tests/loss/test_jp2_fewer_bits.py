"""The laws of codestreams that leave bits out: plain OpenJPEG decodes them, and their headers say what was kept."""

from __future__ import annotations

import itertools
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, reject, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sidecar_jp2.blocks.packet_reader import read_precinct
from sidecar_jp2.extract.extractor import extract
from sidecar_jp2.extract.rewritten_codestream import RewrittenCodestream
from sidecar_jp2.extract.small_codestream import SOP
from sidecar_jp2.extraction import Extracted
from sidecar_jp2.format import cut_grid
from sidecar_jp2.format.geometry import Area
from sidecar_jp2.format.main_header import parse_main_header
from sidecar_jp2.index.packet_index import PacketIndex
from sidecar_jp2.loss import dropped_planes
from sidecar_jp2.loss.dropped_planes import Loss
from sidecar_jp2.openjpeg.codec import OpenJpeg
from sidecar_jp2.openjpeg.library import bind
from sidecar_jp2.openjpeg.streams import MemoryInput
from sidecar_jp2.testing import picture

from sidecar.plugin import DecodeError, run_inline
from sidecar.testing.fakes import MemoryBlob

SIZE = (301, 223)
CHEAP = settings(
    max_examples=9,
    phases=[Phase.explicit, Phase.generate],
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.function_scoped_fixture],
)
OPTIONS = st.tuples(
    st.sampled_from([("-p", name) for name in ("LRCP", "RLCP", "RPCL", "PCRL", "CPRL")]),
    st.sampled_from([(), ("-t", "150,200"), ("-t", "128,128"), ("-d", "19,11")]),
    st.sampled_from([("-n", str(levels)) for levels in (2, 3, 4)]),
    st.sampled_from([(), ("-c", "[64,64],[32,32]"), ("-c", "[128,32],[64,64],[16,16]")]),
    st.sampled_from([("-b", "8,8"), ("-b", "16,16")]),
    st.one_of(st.just(0), st.integers(0, 63)).map(lambda style: ("-M", str(style))),
    st.sampled_from([(), ("-I",)]),
    st.sampled_from([(), ("-SOP",), ("-EPH",), ("-SOP", "-EPH")]),
    st.sampled_from([(), ("-r", "20,10,5"), ("-r", "20,10,1"), ("-r", "6")]),
).map(lambda parts: ["-PLT", *itertools.chain(*parts)])
LOSSES = st.builds(
    Loss, st.sampled_from([0.5, 2.0, 8.0]), st.booleans(), st.integers(0, 2), st.sampled_from([None, None, 2, 3])
)
AREAS = [
    Area(30, 20, 290, 220, 0, 1),
    Area(80, 64, 120, 100, 0, 1),
    Area(64, 40, 280, 210, 1, 1),
    Area(20, 12, 300, 222, 2, 1),
]


@pytest.fixture(autouse=True)
def _however_little(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut images out however little that saves, and write precincts anew however small they are."""
    monkeypatch.setattr(cut_grid, "LEAST_SAVED", 1)
    monkeypatch.setattr(dropped_planes, "LEAST_SIZE", 0)
    monkeypatch.setattr("sidecar_jp2.extract.block_choice.EDGED_SIZE", 0)


def made(options: Sequence[str]) -> bytes:
    """Return a codestream of opj_compress; combinations that it refuses or fails at are no examples."""
    try:
        return picture(SIZE, *options)
    except subprocess.CalledProcessError:
        reject()


def decode(data: bytes, area: Area) -> list[NDArray[np.int32]]:
    """Decode an area to one array per component."""
    with OpenJpeg(bind()).decoded(MemoryInput(data), area) as found:
        return [np.array(plane) for plane in found]


def built(index: PacketIndex, content: bytes, area: Area, loss: Loss | None) -> tuple[object, Extracted]:
    """Return how a codestream is built, and the codestream."""
    blob = MemoryBlob("a.j2k", content)
    small = extract(index, area, blob, cut=True, loss=loss)
    assert small is not None
    return small, small.extracted(blob.read(small.ranges))


def areas(index: PacketIndex) -> Sequence[Area]:
    """Return the areas of the levels that there are."""
    return [area for area in AREAS if area.reduce <= index.header.levels]


def indexed(content: bytes) -> PacketIndex:
    """Return an empty index of a codestream."""
    return PacketIndex(parse_main_header(content), len(content), run_inline)


@CHEAP
@given(OPTIONS, LOSSES)
def test_what_is_lost_is_small(options: list[str], loss: Loss) -> None:
    """Whatever opj_compress is told, a codestream of fewer bits decodes, to nearly the samples of the whole file."""
    content = made(options)
    index = indexed(content)
    for area in areas(index):
        _, found = built(index, content, area, loss)
        exact = np.stack(decode(content, area)).astype(float)
        lossy = np.stack(decode(bytes(found.codestream), found.area)).astype(float)
        error = float(np.sqrt(np.mean((lossy - exact) ** 2)))
        assert loss.layers or error <= 4 + 6 * loss.threshold, (area, error)
    assert not index.blocks.unreadable


@CHEAP
@given(OPTIONS)
def test_a_loss_of_nothing(options: list[str]) -> None:
    """A threshold below every step leaves the samples as they are."""
    content = made(options)
    index = indexed(content)
    for area in areas(index)[1:3]:
        _, found = built(index, content, area, Loss(1e-6))
        for plane, wanted in zip(decode(bytes(found.codestream), found.area), decode(content, area), strict=True):
            np.testing.assert_array_equal(plane, wanted)


@CHEAP
@given(OPTIONS, LOSSES)
def test_headers_say_what_was_kept(options: list[str], loss: Loss) -> None:
    """A packet that was written anew parses back: the same zero planes, no more passes, and the bytes of the file."""
    content = made(options)
    index = indexed(content)
    for area in areas(index):
        small, _ = built(index, content, area, loss)
        if not isinstance(small, RewrittenCodestream):
            continue
        pieces = MemoryBlob("a.j2k", content).read(small.ranges)
        for tile in small.tiles:
            packets = [*small.pieces(tile.packets, [memoryview(piece) for piece in pieces])]
            for precinct in tile.precincts:
                own = [packets[number] for number in precinct.packets]
                choice, style = tile.choices[precinct.place.component], tile.choices[0].coding.block_style
                whole, part = choice.grids(precinct.place)
                before = read_precinct(whole, own, style, eph=small.eph)
                new = [
                    new.header + b"".join(bytes(packet[start:stop]) for start, stop in new.spans)
                    for packet, new in zip(own, small.rewritten(tile, precinct, own), strict=True)
                ]
                after = read_precinct(part, new, style, eph=small.eph)
                if whole == part:
                    kept = [
                        sum(layer.passes[block] for layer in after.layers) for block in range(len(after.zero_planes))
                    ]
                    full = [sum(layer.passes[block] for layer in before.layers) for block in range(len(kept))]
                    assert all(less <= more for less, more in zip(kept, full, strict=True))
                    assert all(
                        zero == old
                        for zero, old, count in zip(after.zero_planes, before.zero_planes, kept, strict=True)
                        if count
                    )


@pytest.mark.parametrize("options", [(), ("-I", "-r", "6"), ("-t", "128,128"), ("-r", "20,10,1", "-M", "5")])
def test_opj_decompress_reads_it_without_a_warning(options: tuple[str, ...]) -> None:
    """OpenJPEG's own program decodes a codestream of fewer bits whole, and reports nothing but that."""
    content = picture(SIZE, "-PLT", "-n", "3", "-b", "16,16", *options)
    small, found = built(indexed(content), content, AREAS[0], Loss(2.0, halved_chroma=True, margin=2))
    with tempfile.TemporaryDirectory() as folder:
        source, raw = Path(folder, "a.j2k"), Path(folder, "a.raw")
        source.write_bytes(found.codestream)
        command = ["opj_decompress", "-i", str(source), "-o", str(raw)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert "WARN" not in done.stdout + done.stderr
    assert "-I" in options or isinstance(small, RewrittenCodestream)


@pytest.mark.parametrize("options", [("-t", "128,128"), ("-r", "20,10,1")])
def test_a_header_that_cannot_be_read_makes_the_window_exact(options: tuple[str, ...]) -> None:
    """If a packet header cannot be read, the samples are those of the file, it is counted, and nothing is lost."""
    content = picture(SIZE, "-PLT", "-n", "3", "-b", "16,16", *options)
    index, area, loss = indexed(content), AREAS[0], Loss(2.0, halved_chroma=True)
    blob = MemoryBlob("a.j2k", content)
    small = extract(index, area, blob, cut=True, loss=loss)
    assert isinstance(small, RewrittenCodestream)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("sidecar_jp2.blocks.packet_reader.MOST_ZERO_PLANES", -1)
        found = small.extracted(blob.read(small.ranges))
    assert index.blocks.unreadable == 1
    exact = decode(content, area)
    again = built(index, content, area, loss)[1]
    for made_, area_ in ((found.codestream, found.area), (again.codestream, again.area)):
        for plane, wanted in zip(decode(bytes(made_), area_), exact, strict=True):
            np.testing.assert_array_equal(plane, wanted)


def test_a_header_that_cannot_be_read_while_layers_are_left_out_breaks_the_window() -> None:
    """What was not fetched cannot be shown: such a window is refused, and the next one has all layers."""
    content = picture(SIZE, "-PLT", "-n", "3", "-b", "16,16", "-r", "20,10,1")
    index, area, loss = indexed(content), AREAS[0], Loss(2.0, halved_chroma=True, layers=2)
    blob = MemoryBlob("a.j2k", content)
    small = extract(index, area, blob, cut=True, loss=loss)
    assert isinstance(small, RewrittenCodestream)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("sidecar_jp2.blocks.packet_reader.MOST_ZERO_PLANES", -1)
        with pytest.raises(DecodeError, match="layers"):
            small.extracted(blob.read(small.ranges))
    again = built(index, content, area, loss)[1]
    for plane, wanted in zip(decode(bytes(again.codestream), again.area), decode(content, area), strict=True):
        np.testing.assert_array_equal(plane, wanted)


@pytest.mark.parametrize("options", [(), ("-I",), ("-p", "RPCL"), ("-t", "128,128"), ("-p", "RLCP", "-c", "[64,64]")])
def test_the_last_layers_are_not_fetched(options: tuple[str, ...]) -> None:
    """Of a file with quality layers only the first ones are read, and decode as OpenJPEG decodes so many layers."""
    content = picture(SIZE, "-PLT", "-n", "3", "-b", "16,16", "-r", "40,20,10,1", *options)
    index, area, blob = indexed(content), AREAS[1], MemoryBlob("a.j2k", content)
    ranges = [extract(index, area, blob, cut=True, loss=Loss(1e-6, layers=layers)) for layers in (None, 2)]
    every, few = (sum(part.length for part in each.ranges) if each else 0 for each in ranges)
    assert 0 < 2 * few < every
    found = built(index, content, area, Loss(1e-6, layers=2))[1]
    with tempfile.TemporaryDirectory() as folder:
        source, raw = Path(folder, "a.j2k"), Path(folder, "a.raw")
        source.write_bytes(content)
        command = ["opj_decompress", "-i", str(source), "-o", str(raw), "-l", "2"]
        subprocess.run(command, check=True, capture_output=True)
        samples = np.frombuffer(raw.read_bytes(), np.uint8).reshape(3, SIZE[1], SIZE[0])
    expected = samples[:, area.top : area.bottom, area.left : area.right].astype(int)
    shown = np.clip(np.stack(decode(bytes(found.codestream), found.area)), 0, 255)
    assert int(np.abs(shown - expected).max()) <= 1


def test_lasting_packets_are_written_once() -> None:
    """What every window gets alike is kept with the index, counted, and the same bytes come of it."""
    content = picture(SIZE, "-PLT", "-n", "3", "-b", "16,16", "-t", "128,128")
    index = indexed(content)
    first = built(index, content, AREAS[0], Loss(2.0))[1]
    assert index.blocks.nbytes > 0
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("sidecar_jp2.extract.rewritten_codestream.write_precinct", None)
        assert built(index, content, AREAS[0], Loss(2.0))[1] == first
    assert first.codestream.count(SOP[:4]) > 0 if isinstance(first.codestream, bytes) else True
