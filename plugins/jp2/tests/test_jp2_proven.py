"""The law of proven features: any window of any level has the pixels that opj_decompress shows of the whole there."""

from __future__ import annotations

import functools
import itertools
import struct
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, reject, settings
from hypothesis import strategies as st
from sidecar_jp2.decoder import Jp2Decoder
from sidecar_jp2.extract.extractor import IndexedExtractor
from sidecar_jp2.format.geometry import Area
from sidecar_jp2.format.main_header import MainHeader, parse_main_header
from sidecar_jp2.format.markers import Marker, segment_bytes, segments_before
from sidecar_jp2.index.index_cache import IndexCache
from sidecar_jp2.openjpeg.codec import Input, OpenJpeg, Plane
from sidecar_jp2.openjpeg.library import bind
from sidecar_jp2.proven import BLOCK_STYLES, DecodeUnit, decode_unit
from sidecar_jp2.reader import Jp2Reader
from sidecar_jp2.testing import picture, read

from sidecar.plugin import Blob, DecodeError, Pixels, Rect, run_inline
from sidecar.testing.fakes import MemoryBlob, on_disk

SIZE = (149, 118)
CHEAP = settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
SOP, EPH = b"\xff\x91\x00\x04", b"\xff\x92"
PROGRESSIONS = ("LRCP", "RLCP", "RPCL", "PCRL", "CPRL")


def opened(blob: Blob, *, indexed: bool) -> Jp2Reader:
    """Return a reader, with or without a packet index."""
    extractors = functools.partial(IndexedExtractor, IndexCache(run_inline, 1 << 20)) if indexed else None
    return Jp2Decoder(OpenJpeg(bind()), extractors=extractors).open(blob)


def made(*options: str, components: int = 3) -> bytes:
    """Return a codestream of opj_compress; combinations that it refuses or fails at are no examples."""
    try:
        return picture(SIZE, *options, steps=((1, 1),) * components)
    except subprocess.CalledProcessError:
        reject()


def plain(data: bytes, level: int, channels: int = 3) -> Pixels:
    """Return what opj_decompress writes of a whole codestream at a level: (rows, columns, channels)."""
    with tempfile.TemporaryDirectory() as folder:
        source, raw = Path(folder, "a.j2k"), Path(folder, "a.raw")
        source.write_bytes(data)
        command = ["opj_decompress", "-i", str(source), "-o", str(raw), "-r", str(level)]
        subprocess.run(command, check=True, capture_output=True)
        samples = np.frombuffer(raw.read_bytes(), np.uint8)
    size = parse_main_header(data).geometry.level(level)
    return samples.reshape(channels, size.height, size.width).transpose(1, 2, 0)


def windows(width: int, height: int) -> st.SearchStrategy[Rect]:
    """Draw any window of an image, small ones often: they lie inside a tile and inside a code block."""

    def span(side: int) -> st.SearchStrategy[tuple[int, int]]:
        return st.integers(0, side - 1).flatmap(
            lambda start: st.tuples(
                st.just(start), st.one_of(st.integers(1, min(9, side - start)), st.integers(1, side - start))
            )
        )

    return st.builds(lambda x, y: Rect(x[0], y[0], x[1], y[1]), span(width), span(height))


def assert_law(draw: st.DataObject, data: bytes, expected: Pixels | None = None, level: int | None = None) -> None:
    """Compare three windows of a level with the plain decode, read with a packet index and without."""
    blob = MemoryBlob("a.j2k", data)
    readers = [opened(blob, indexed=indexed) for indexed in (False, True)]
    level = draw.draw(st.integers(0, len(readers[0].info.levels) - 1)) if level is None else level
    expected = plain(data, level) if expected is None else expected
    for region in draw.draw(st.lists(windows(expected.shape[1], expected.shape[0]), min_size=3, max_size=3)):
        crop = expected[region.y : region.bottom, region.x : region.right]
        for reader in readers:
            np.testing.assert_array_equal(read(reader, blob, level, region), crop)


def optional(*options: Sequence[str]) -> st.SearchStrategy[Sequence[str]]:
    """Draw one of some options of opj_compress, or none of them."""
    return st.sampled_from([(), *options])


OPTIONS: st.SearchStrategy[list[str]] = st.tuples(
    st.sampled_from([("-p", name) for name in PROGRESSIONS]),
    optional(("-t", "64,48"), ("-t", "37,53"), ("-t", "100,100"), ("-t", "149,20")),
    optional(("-d", "8,16"), ("-d", "19,11")),
    st.sampled_from([("-n", str(levels)) for levels in (1, 2, 4, 6)]),
    optional(("-c", "[64,64],[32,32]"), ("-c", "[16,32]"), ("-c", "[128,32],[64,64],[16,16]")),
    optional(("-b", "8,8"), ("-b", "4,256"), ("-b", "32,16")),
    st.integers(0, BLOCK_STYLES).map(lambda style: ("-M", str(style))),
    optional(("-I",)),
    optional(("-ROI", "c=0,U=3"), ("-ROI", "c=2,U=9")),
    optional(("-SOP",), ("-EPH",), ("-SOP", "-EPH")),
    optional(("-r", "20,10,5"), ("-r", "8")),
    optional(("-PLT",), ("-PLT", "-TLM")),
    optional(("-TP", "R"), ("-TP", "C")),
    optional(("-mct", "0")),
).map(lambda parts: [*itertools.chain(*parts)])


@CHEAP
@given(OPTIONS, st.data())
def test_windows_of_proven_features(options: list[str], data: st.DataObject) -> None:
    """Whatever opj_compress is told, its files are decoded in windows, and rightly."""
    content = made(*options)
    assert opened(MemoryBlob("a.j2k", content), indexed=False)._image.unit == DecodeUnit.WINDOW
    assert_law(data, content)


@settings(CHEAP, max_examples=10)
@given(optional(("-t", "64,48")), st.data())
def test_windows_beside_segments_that_decoding_does_not_need(tiles: Sequence[str], data: st.DataObject) -> None:
    """CRG, COM and PLM in the main header change nothing."""
    content = picture(SIZE, *tiles)
    stop = parse_main_header(content).stop
    more = [(Marker.CRG, bytes(12)), (Marker.COM, b"\0\1text"), (Marker.PLM, bytes(6))]
    changed = content[:stop] + b"".join(itertools.starmap(segment_bytes, more)) + content[stop:]
    assert opened(MemoryBlob("a.j2k", changed), indexed=False)._image.unit == DecodeUnit.WINDOW
    assert_law(data, changed)


@settings(CHEAP, max_examples=25)
@given(st.tuples(*[st.tuples(st.sampled_from([2, 3, 5]), OPTIONS)] * 3), st.data())
def test_windows_of_components_coded_differently(parts: Sequence[tuple[int, list[str]]], data: st.DataObject) -> None:
    """Components may differ in levels, wavelet, blocks, precincts and quantization (COC and QCC)."""
    alone = ("-t", "64,48", "-p", "CPRL", "-n")
    drawn = [[*options, *alone, str(levels)] for levels, options in parts]
    kept = [
        [*_only(options, {"-t", "-p", "-n", "-c", "-b", "-M"}), *(["-I"] if "-I" in options else [])]
        for options in drawn
    ]
    streams = [made(*options, components=1) for options in kept]
    level = data.draw(st.integers(0, min(levels for levels, _ in parts) - 1))
    expected = np.concatenate([plain(stream, level, 1) for stream in streams], axis=2)
    assert_law(data, joined(streams), expected, level)


def _only(options: Sequence[str], names: set[str]) -> Iterator[str]:
    """Return the last of each named option with its value."""
    last = {name: value for name, value in itertools.pairwise(options) if name in names}
    return itertools.chain(*last.items())


def joined(streams: Sequence[bytes]) -> bytes:
    """Return one codestream with the components of several, each of one component, in tiles of one tile-part, CPRL."""
    headers = [parse_main_header(stream) for stream in streams]
    siz, cod, qcd = (_of(headers[0], marker) for marker in (Marker.SIZ, Marker.COD, Marker.QCD))
    head = struct.pack(">H", Marker.SOC)
    head += segment_bytes(Marker.SIZ, siz[:34] + struct.pack(">H", len(streams)) + siz[36:39] * len(streams))
    head += segment_bytes(Marker.COD, cod[:4] + b"\0" + cod[5:]) + segment_bytes(Marker.QCD, qcd)
    for number, header in enumerate(headers[1:], 1):
        style = _of(header, Marker.COD)
        head += segment_bytes(Marker.COC, bytes([number, style[0] & 1]) + style[5:])
        head += segment_bytes(Marker.QCC, bytes([number]) + _of(header, Marker.QCD))
    tiles = zip(*(tile_parts(stream) for stream in streams), strict=True)
    for number, parts in enumerate(tiles):
        head += tile_part(number, b"", b"".join(body for _, body in parts))
    return head + b"\xff\xd9"


def _of(header: MainHeader, marker: Marker) -> bytes:
    return next(segment.data for segment in header.segments if segment.marker == marker)


def tile_parts(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield the tile and the packets of each tile-part."""
    at = parse_main_header(data).stop
    while data[at : at + 2] == b"\xff\x90":
        length = int.from_bytes(data[at + 6 : at + 10])
        segments = [*segments_before(Marker.SOD, data, at + 12)]
        body = (segments[-1].stop if segments else at + 12) + 2
        yield int.from_bytes(data[at + 4 : at + 6]), data[body : at + length]
        at += length


def tile_part(tile: int, header: bytes, body: bytes) -> bytes:
    """Return a tile's only tile-part."""
    length = 14 + len(header) + len(body)
    return struct.pack(">HHHIBB", Marker.SOT, 10, tile, length, 0, 1) + header + b"\xff\x93" + body


def packed(data: bytes, marker: Marker) -> bytes:
    """Move the packet headers of a codestream with SOP and EPH to PPM or PPT (T.800 A.7.4, A.7.5)."""
    parts = [(tile, *_split(body)) for tile, body in tile_parts(data)]
    head = data[: parse_main_header(data).stop]
    if marker == Marker.PPM:
        head += segment_bytes(marker, b"\0" + b"".join(struct.pack(">I", len(each)) + each for _, each, _ in parts))
        return head + b"".join(tile_part(tile, b"", rest) for tile, _, rest in parts) + b"\xff\xd9"
    tiles = (tile_part(tile, segment_bytes(marker, b"\0" + each), rest) for tile, each, rest in parts)
    return head + b"".join(tiles) + b"\xff\xd9"


def _split(body: bytes) -> tuple[bytes, bytes]:
    """Return the packet headers, and the rest, of packets that begin with SOP."""
    heads, rest = [], []
    for packet in body.split(SOP)[1:]:
        stop = packet.index(EPH, 2) + 2
        heads.append(packet[2:stop])
        rest += [SOP, packet[:2], packet[stop:]]
    return b"".join(heads), b"".join(rest)


@settings(CHEAP, max_examples=25)
@given(
    st.sampled_from(PROGRESSIONS),
    optional(("-t", "64,48"), ("-t", "149,50")),
    optional(("-c", "[32,32]")),
    optional(("-r", "20,10,5")),
    st.sampled_from([Marker.PPM, Marker.PPT]),
    st.data(),
)
def test_packed_packet_headers(
    progression: str,
    tiles: Sequence[str],
    precincts: Sequence[str],
    layers: Sequence[str],
    marker: Marker,
    data: st.DataObject,
) -> None:
    """Packet headers in PPM and PPT, which OpenJPEG mistakes in windows of some tiles, are decoded rightly."""
    content = picture(SIZE, "-p", progression, *tiles, *precincts, *layers, "-SOP", "-EPH", "-n", "4")
    assert_law(data, packed(content, marker))


@settings(CHEAP, max_examples=15)
@given(
    st.sampled_from(["T1=0,0,1,2,3,RPCL/T1=2,0,1,4,3,LRCP", "T1=0,0,1,4,1,CPRL/T1=0,1,1,4,3,PCRL"]),
    optional(("-t", "64,48")),
    st.data(),
)
def test_changes_of_progression(changes: str, tiles: Sequence[str], data: st.DataObject) -> None:
    """Codestreams with POC are decoded rightly."""
    assert_law(data, made("-n", "4", "-c", "[32,32]", "-POC", changes, *tiles))


@pytest.mark.parametrize(
    "marker,unit",
    [
        (Marker.CRG, DecodeUnit.WINDOW),
        (Marker.COM, DecodeUnit.WINDOW),
        (Marker.CAP, DecodeUnit.TILE),
        (Marker.POC, DecodeUnit.TILE),
        (0xFF74, DecodeUnit.TILE),
        (Marker.PPM, DecodeUnit.IMAGE),
    ],
)
def test_only_what_is_listed_is_decoded_in_windows(marker: int, unit: DecodeUnit) -> None:
    """A marker segment that is not on the list, known or unknown, has whole tiles decoded."""
    data = picture(SIZE, "-t", "64,64")
    stop = parse_main_header(data).stop
    changed = data[:stop] + segment_bytes(marker, bytes(4)) + data[stop:]
    assert decode_unit(parse_main_header(changed), frozenset({Marker.PLT, Marker.COM})) == unit


@pytest.mark.parametrize("marker", [Marker.PPT, Marker.POC, Marker.COD, Marker.QCC, 0xFF7F])
def test_a_tile_of_its_own_style_is_decoded_whole(marker: int) -> None:
    """A segment in a tile-part header that may change how the tile is coded has whole tiles decoded."""
    header = parse_main_header(picture(SIZE, "-t", "64,64"))
    assert decode_unit(header, frozenset({Marker.PLT, marker})) == DecodeUnit.TILE


def test_a_window_that_fails_is_decoded_in_whole_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    """If OpenJPEG decodes whole tiles only, their pixels are shown, and if it decodes none, its error is raised."""
    data = picture(SIZE, "-t", "64,48")
    blob, expected = MemoryBlob("a.j2k", data), plain(data, 0)
    reader = opened(blob, indexed=False)
    decoded, left = OpenJpeg.decoded, {16}

    def only(self: OpenJpeg, source: Input, area: Area) -> AbstractContextManager[Sequence[Plane]]:
        if area.left % 64 or area.top % 48 or area.left in left:
            raise DecodeError("no window")
        return decoded(self, source, area)

    monkeypatch.setattr(OpenJpeg, "decoded", only)
    region = Rect(10, 30, 100, 40)
    np.testing.assert_array_equal(read(reader, blob, 0, region), expected[30:70, 10:110])
    left.add(64)
    with pytest.raises(DecodeError, match="no window"):
        read(reader, blob, 0, region)


def restyled(data: bytes, tile: int) -> bytes:
    """Write the coding style and the quantization into the header of a tile, as encoders do if they differ there."""
    header = parse_main_header(data)
    own = b"".join(segment_bytes(marker, _of(header, marker)) for marker in (Marker.COD, Marker.QCD))
    parts = [tile_part(number, own if number == tile else b"", body) for number, body in tile_parts(data)]
    return data[: header.stop] + b"".join(parts) + b"\xff\xd9"


@pytest.mark.parametrize("local", [True, False])
def test_tiles_of_their_own_style_are_decoded_whole(local: bool, tmp_path: Path) -> None:  # noqa: FBT001
    """Windows of a later tile with a COD of its own are decoded in whole tiles, and rightly."""
    data = restyled(picture(SIZE, "-t", "64,48", "-n", "4"), 4)
    path = tmp_path / "a.j2k"
    path.write_bytes(data)
    blob: Blob = on_disk(path) if local else MemoryBlob("a.j2k", data)
    expected, region, areas = plain(data, 0), Rect(70, 60, 20, 20), list[Area]()
    decoded = OpenJpeg.decoded

    def seen(self: OpenJpeg, source: Input, area: Area) -> AbstractContextManager[Sequence[Plane]]:
        areas.append(area)
        return decoded(self, source, area)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(OpenJpeg, "decoded", seen)
        np.testing.assert_array_equal(read(opened(blob, indexed=True), blob, 0, region), expected[60:80, 70:90])
    assert [(area.right - area.left, area.bottom - area.top) for area in areas] == [(64, 48)]
