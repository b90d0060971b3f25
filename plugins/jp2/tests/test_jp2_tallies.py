"""What is counted of windows: how they were decoded, and what was left out of them."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np
import pytest
from sidecar_jp2.decoder import Jp2Decoder
from sidecar_jp2.extract.extractor import IndexedExtractor, extract
from sidecar_jp2.format import cut_grid
from sidecar_jp2.format.geometry import Area
from sidecar_jp2.format.main_header import parse_main_header
from sidecar_jp2.index.index_cache import IndexCache
from sidecar_jp2.index.packet_index import PacketIndex
from sidecar_jp2.loss.dropped_planes import Loss, dropped_planes
from sidecar_jp2.openjpeg.codec import OpenJpeg
from sidecar_jp2.openjpeg.library import bind
from sidecar_jp2.testing import picture

from sidecar.observability.work import CURRENT, Work
from sidecar.plugin import Rect, run_inline
from sidecar.testing.fakes import MemoryBlob

BLOCK = 16


@pytest.fixture(scope="module")
def content() -> bytes:
    """Provide a codestream of one tile, whose code blocks are small, with three quality layers."""
    return picture((256, 256), "-PLT", "-n", "2", "-b", f"{BLOCK},{BLOCK}", "-I", "-r", "20,10,5")


@pytest.fixture
def work(monkeypatch: pytest.MonkeyPatch) -> Iterator[Work]:
    """Provide the work of a request, and cut windows out however little that saves."""
    monkeypatch.setattr(cut_grid, "LEAST_SAVED", 1)
    token = CURRENT.set(made := Work())
    yield made
    CURRENT.reset(token)


def left_out(content: bytes, area: Area, loss: Loss | None) -> tuple[int, int, int]:
    """Return what an area is decoded without: bit planes, layers and code blocks."""
    index, blob = PacketIndex(parse_main_header(content), len(content), run_inline), MemoryBlob("a.j2k", content)
    small = extract(index, area, blob, cut=True, loss=loss)
    assert small is not None
    return small.extracted(blob.read(small.ranges)).left_out


@pytest.mark.usefixtures("work")
def test_planes_and_layers(content: bytes) -> None:
    """Planes are those of all subbands of all components, layers those after the last that is read."""
    header, area, loss = parse_main_header(content), Area(0, 0, 64, 64, 0, 1), Loss(8.0, layers=2)
    planes = dropped_planes(header, 0, loss)
    expected = sum(number for component in planes for resolution in component for number in resolution)
    assert expected > 0
    assert left_out(content, area, loss)[:2] == (expected, 1)
    assert left_out(content, area, None)[:2] == (0, 0)


@pytest.mark.usefixtures("work")
def test_blocks(content: bytes) -> None:
    """Code blocks are left out of a window that is cut out of a tile; a larger window leaves out fewer."""
    small, large = (left_out(content, Area(0, 0, side, side, 0, 1), None)[2] for side in (32, 200))
    assert small > large > 0
    # All there are: three components with 16 x 16 blocks in the finest resolution and the coarser ones together.
    assert small < 3 * (256 // BLOCK) ** 2


def test_a_request_has_them(content: bytes, work: Work) -> None:
    """Reading a window counts for the request; so does decoding one out of the whole file, for want of an index."""
    blob, indexes = MemoryBlob("a.j2k", content), IndexCache(run_inline, 1 << 20)
    for extractors in (partial(IndexedExtractor, indexes), None):
        reader = Jp2Decoder(OpenJpeg(bind()), extractors=extractors).open(blob)
        window = reader.window(0, Rect(0, 0, 32, 32))
        reader.read(window, blob.read(window.ranges), np.empty((32, 32, 3), np.uint8))
    assert work.tallies.keys() == {"jp2_cut", "jp2_blocks_left_out", "jp2_whole"}
    assert (work.tallies["jp2_cut"], work.tallies["jp2_whole"]) == (1, 1)
