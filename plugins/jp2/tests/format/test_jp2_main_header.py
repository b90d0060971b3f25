"""The main header, compared with glymur's parser, and damaged."""

from __future__ import annotations

import struct
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sidecar_jp2.format.broken import Broken
from sidecar_jp2.format.main_header import MainHeader, parse_main_header, read_main_header
from sidecar_jp2.format.markers import Incomplete, Marker, segment_bytes
from sidecar_jp2.openjpeg.library import bind
from sidecar_jp2.testing import picture

from sidecar.plugin import Rect, Unsupported
from sidecar.testing.fakes import MemoryBlob

IMAGES = sorted((Path(__file__).parents[4] / "tests/data/images").glob("*.jp2"))


def codestream(path: Path) -> bytes:
    """Return the bytes of a file from SOC on."""
    content = path.read_bytes()
    return content[content.index(b"\xff\x4f\xff\x51") :]


def siz(
    image: tuple[int, int, int, int] = (0, 0, 40, 30),
    tile: tuple[int, int, int, int] = (0, 0, 40, 30),
    components: bytes = b"\x07\x01\x01",
) -> bytes:
    """Return a SIZ segment."""
    x0, y0, x1, y1 = image
    sizes = struct.pack(">8I", x1, y1, x0, y0, tile[2], tile[3], tile[0], tile[1])
    return segment_bytes(Marker.SIZ, b"\0\0" + sizes + struct.pack(">H", len(components) // 3) + components)


COD = segment_bytes(Marker.COD, bytes([0, 2, 0, 1, 0, 1, 4, 4, 0, 1]))
QCD = segment_bytes(Marker.QCD, bytes([0x40, 0x48, 0x48, 0x48, 0x50]))
SOC, SOT = b"\xff\x4f", b"\xff\x90"


@pytest.mark.parametrize("path", IMAGES, ids=lambda path: path.stem)
def test_header_is_what_glymur_reads(path: Path, tmp_path: Path) -> None:
    """Geometry, components, coding style and step sizes equal those of glymur's own parser."""
    bind()
    glymur = import_module("glymur")
    header = parse_main_header(codestream(path), 5)
    bare = tmp_path / "bare.j2k"
    bare.write_bytes(codestream(path))
    segments: dict[str, Any] = {found.marker_id: found for found in glymur.Jp2k(bare).get_codestream().segment}
    size, style, steps = segments["SIZ"], segments["COD"], segments["QCD"]
    grid, coding = header.geometry, header.coding[0]
    assert (grid.x1, grid.y1, grid.x0, grid.y0) == (size.xsiz, size.ysiz, size.xosiz, size.yosiz)
    assert (grid.tile_width, grid.tile_height) == (size.xtsiz, size.ytsiz)
    assert (grid.tile_x, grid.tile_y) == (size.xtosiz, size.ytosiz)
    found = [(part.precision, part.signed, part.dx, part.dy) for part in grid.components]
    assert found == [*zip(size.bitdepth, map(bool, size.signed), size.xrsiz, size.yrsiz, strict=True)]
    assert (header.progression, header.layers, header.component_transform) == (
        style.prog_order,
        style.layers,
        style.mct,
    )
    assert (coding.levels, coding.reversible) == (style.num_res, bool(style.xform))
    assert (2**coding.block_height, 2**coding.block_width) == tuple(style.code_block_size)
    assert (header.sop, header.eph) == (bool(style.scod & 2), bool(style.scod & 4))
    assert [exponent for exponent, _ in header.quantization[0].steps] == [*steps.exponent]
    if style.scod & 1:  # glymur keeps sizes in 8 bits
        assert [(2**x % 256, 2**y % 256) for x, y in coding.precincts] == [(*size,) for size in style.precinct_size]
    assert header.start == 5
    assert codestream(path)[header.stop - 5 :][:2] == SOT


def test_tiles_and_levels_are_parts_of_the_image() -> None:
    """The image area cuts the tiles at its border, and levels halve its edges, rounded up (T.800 B.3, B.5)."""
    header = parse_main_header(SOC + siz((5, 3, 41, 30), (2, 1, 16, 20)) + COD + QCD + SOT)
    grid = header.geometry
    assert (grid.columns, grid.rows) == (3, 2)
    assert grid.tile(0) == Rect(5, 3, 13, 18)
    assert grid.tile(5) == Rect(34, 21, 7, 9)
    assert grid.level(1) == Rect(3, 2, 18, 13)


def test_components_have_their_own_styles() -> None:
    """COC and QCC override COD and QCD for their component, and the image has the fewest levels of any."""
    coc = segment_bytes(Marker.COC, bytes([1, 1, 2, 3, 4, 0, 0, 0x76, 0x87, 0x98]))
    qcc = segment_bytes(Marker.QCC, bytes([1, 0x21]) + struct.pack(">H", 9 << 11 | 5))
    qcd = segment_bytes(Marker.QCD, bytes([0x40, *[0x48] * 13]))
    cod = segment_bytes(Marker.COD, bytes([6, 2, 0, 3, 1, 4, 4, 4, 0x40, 1]))
    header = parse_main_header(SOC + siz(components=b"\x07\x01\x01\x8b\x02\x01") + cod + coc + qcd + qcc + SOT)
    first, second = header.coding
    assert (first.levels, first.reversible, first.high_throughput, first.precincts) == (4, True, True, ((15, 15),) * 5)
    assert (second.levels, second.reversible, second.block_width) == (2, False, 5)
    assert second.precincts == ((6, 7), (7, 8), (8, 9))
    assert header.quantization[1].steps == ((9, 5),)
    assert (header.levels, header.layers, header.sop, header.eph) == (2, 3, True, True)
    assert (header.geometry.components[1].precision, header.geometry.components[1].signed) == (12, True)


def test_a_header_cut_short_asks_for_more() -> None:
    """Every prefix of a header raises Incomplete, which never asks for more bytes than the header has."""
    data = codestream(IMAGES[0].parent / "gray8.jp2")
    whole = parse_main_header(data)
    for length in range(whole.stop + 2):
        with pytest.raises(Incomplete) as caught:
            parse_main_header(data[:length])
        assert length < caught.value.needed <= whole.stop + 2
    assert parse_main_header(data[: whole.stop + 2]) == whole


def test_a_long_header_is_read_in_rounds() -> None:
    """A header longer than the first read is read completely, wherever it begins."""
    comment = segment_bytes(Marker.COM, bytes(50_000)) * 3
    data = SOC + siz() + COD + comment + QCD + SOT + bytes(9)
    blob = MemoryBlob("long.j2k", b"before" + data)
    header = read_main_header(blob, 6, data[:100])
    assert header == parse_main_header(data, 6)
    assert sum(part.stop - part.start for part in blob.asked) <= len(data)


def test_a_header_without_an_end_is_broken() -> None:
    """A blob that ends inside its header raises Broken."""
    blob = MemoryBlob("short.j2k", SOC + siz() + COD)
    with pytest.raises(Broken, match="SOT"):
        read_main_header(blob, 0)


BROKEN: dict[str, tuple[str, bytes]] = {
    "no SOC": ("SOC", b"\xff\x50" + siz() + COD + QCD + SOT),
    "SIZ is not first": ("SIZ", SOC + COD + siz() + QCD + SOT),
    "no COD": ("COD", SOC + siz() + QCD + SOT),
    "no QCD": ("QCD", SOC + siz() + COD + SOT),
    "a segment of no length": ("COM", SOC + siz() + COD + QCD + b"\xff\x64\0\1" + SOT),
    "no marker": ("1234", SOC + siz() + b"\x12\x34\0\2" + COD + QCD + SOT),
    "a tile's data in the main header": ("SOD", SOC + siz() + COD + QCD + b"\xff\x93"),
    "no width": ("SIZ", SOC + siz(image=(40, 0, 40, 30)) + COD + QCD + SOT),
    "no tile width": ("SIZ", SOC + siz(tile=(0, 0, 0, 30)) + COD + QCD + SOT),
    "tiles after the image": ("SIZ", SOC + siz(tile=(1, 0, 40, 30)) + COD + QCD + SOT),
    "a first tile without image": ("SIZ", SOC + siz(image=(20, 0, 40, 30), tile=(0, 0, 20, 30)) + COD + QCD + SOT),
    "too many tiles": ("SIZ", SOC + siz(image=(0, 0, 9999, 9999), tile=(0, 0, 9, 9)) + COD + QCD + SOT),
    "no components": ("SIZ", SOC + siz(components=b"") + COD + QCD + SOT),
    "a sample for nothing": ("SIZ", SOC + siz(components=b"\x07\0\1") + COD + QCD + SOT),
    "39 bits": ("SIZ", SOC + siz(components=b"\x26\1\1") + COD + QCD + SOT),
    "no samples": ("SIZ", SOC + siz(image=(1, 0, 2, 30), components=b"\x07\x09\1") + COD + QCD + SOT),
    "a progression of the future": ("COD", SOC + siz() + COD.replace(b"\0\2\0\1", b"\0\5\0\1") + QCD + SOT),
    "no layers": ("COD", SOC + siz() + COD.replace(b"\0\2\0\1", b"\0\2\0\0") + QCD + SOT),
    "too many levels": ("COD", SOC + siz() + COD.replace(b"\0\1\4\4", b"\0\x21\4\4") + QCD + SOT),
    "large code blocks": ("COD", SOC + siz() + COD.replace(b"\0\1\4\4", b"\0\1\4\5") + QCD + SOT),
    "precincts that are not there": ("COD", SOC + siz() + COD[:4] + b"\1" + COD[5:] + QCD + SOT),
    "an empty COD": ("COD", SOC + siz() + segment_bytes(Marker.COD, b"") + QCD + SOT),
    "an empty COD before another": ("COD", SOC + siz() + segment_bytes(Marker.COD, b"") + COD + QCD + SOT),
    "COC of nobody": ("COC", SOC + siz() + COD + segment_bytes(Marker.COC, bytes([3, 0, 1, 4, 4, 0, 1])) + QCD + SOT),
    "a short COC": ("COC", SOC + siz() + COD + segment_bytes(Marker.COC, bytes([0, 0, 1])) + QCD + SOT),
    "half a step": ("QCD", SOC + siz() + COD + segment_bytes(Marker.QCD, b"\x42\x48\x48\x48") + SOT),
    "an empty QCC": ("QCC", SOC + siz() + COD + QCD + segment_bytes(Marker.QCC, b"\0") + SOT),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_header_is_handed_over_and_its_marker_named(case: str) -> None:
    """A header that breaks the standard raises Broken, and the message begins with the marker."""
    marker, data = BROKEN[case]
    with pytest.raises(Broken, match=f"^{marker}: ") as caught:
        parse_main_header(data)
    assert not isinstance(caught.value, Incomplete)


OTHERS = {
    "a wavelet of the future": SOC + siz() + COD[:-1] + b"\2" + QCD + SOT,
    "quantization of the future": SOC + siz() + COD + segment_bytes(Marker.QCD, b"\x43\x48") + SOT,
    "an arbitrary transformation": SOC + siz() + segment_bytes(0xFF79, bytes(9)) + COD + QCD + SOT,
    "factors of downsampling": SOC + siz() + segment_bytes(0xFF72, bytes(5)) + COD + QCD + SOT,
    "no COD in Part 2": SOC + siz().replace(b"\xff\x51\0\x29\0\0", b"\xff\x51\0\x29\x80\0") + QCD + SOT,
}


@pytest.mark.parametrize("case", OTHERS)
def test_part_2_is_unsupported(case: str) -> None:
    """What only ITU-T T.801 defines raises Unsupported: it is not broken."""
    with pytest.raises(Unsupported):
        parse_main_header(OTHERS[case])


@pytest.mark.parametrize("marker", range(0xFF30, 0xFF40))
def test_reserved_markers_are_skipped(marker: int) -> None:
    """FF30 to FF3F have no segment (T.800 A.2): wherever one stands, the header is as it is without."""
    pieces = [SOC, siz(), COD, QCD, SOT]
    for place in range(1, len(pieces)):
        data = b"".join(pieces[:place]) + marker.to_bytes(2) + b"".join(pieces[place:])
        header = parse_main_header(data)
        assert (header.geometry, header.coding, header.stop) == (SIMPLE.geometry, SIMPLE.coding, SIMPLE.stop + 2)


SIMPLE = parse_main_header(SOC + siz() + COD + QCD + SOT)
OTHER_COD, OTHER_QCD = COD[:-1] + b"\0", segment_bytes(Marker.QCD, bytes([0x40, 0x50, 0x50, 0x50, 0x58]))
COC, QCC = segment_bytes(Marker.COC, b"\0" + OTHER_COD[4:5] + OTHER_COD[9:]), segment_bytes(Marker.QCC, b"\0" + QCD[4:])
IRREGULAR = {
    "two CODs": COD + OTHER_COD + OTHER_QCD,
    "two QCDs": OTHER_COD + QCD + OTHER_QCD,
    "COC before COD": COC + OTHER_COD + OTHER_QCD,
    "QCC before QCD": OTHER_COD + QCC + OTHER_QCD,
}


@pytest.mark.parametrize("case", IRREGULAR)
def test_of_doubled_segments_the_last_counts(case: str) -> None:
    """Each segment overrides those before it, as in OpenJPEG; the header is not regular, so nothing is cut out."""
    header = parse_main_header(SOC + siz() + IRREGULAR[case] + SOT)
    last = parse_main_header(SOC + siz() + OTHER_COD + OTHER_QCD + SOT)
    assert (header.coding, header.quantization) == (last.coding, last.quantization)
    assert last.regular
    assert not header.regular


def test_missing_step_sizes_are_irregular() -> None:
    """OpenJPEG takes missing step sizes as 0, so it decodes the image, whole."""
    assert not parse_main_header(SOC + siz() + COD + segment_bytes(Marker.QCD, b"\x40\x48") + SOT).regular


def _parse_or_refuse(data: bytes) -> MainHeader | None:
    try:
        return parse_main_header(data)
    except (Broken, Unsupported):
        return None


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.data())
def test_damaged_headers_are_handed_over(data: st.DataObject) -> None:
    """A header with any bytes changed parses, within the standard's limits, or raises Broken or Unsupported."""
    sound = bytearray(_sample())
    for _ in range(data.draw(st.integers(1, 4))):
        sound[data.draw(st.integers(0, 250))] = data.draw(st.integers(0, 255))
    header = _parse_or_refuse(bytes(sound))
    if header is not None:
        grid = header.geometry
        assert 1 <= grid.columns * grid.rows <= 65535
        assert min(grid.tile(0).width, grid.tile(0).height) > 0
        assert header.levels <= 32


def _cached(make: Callable[[], bytes]) -> Callable[[], bytes]:
    kept: list[bytes] = []

    def get() -> bytes:
        if not kept:
            kept.append(make())
        return kept[0]

    return get


_sample = _cached(lambda: picture((64, 48), "-c", "[32,32]", "-n", "4", "-SOP", "-I"))
