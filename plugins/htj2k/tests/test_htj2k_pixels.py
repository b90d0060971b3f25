"""Pixels: every window equal to the plain decode of the whole by opj_decompress, cropped."""

from __future__ import annotations

import struct
import subprocess
from dataclasses import dataclass
from functools import cache
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sidecar_htj2k import cuts, reader
from sidecar_htj2k.decoder import Htj2kDecoder
from sidecar_htj2k.openjph import OpenJph, load
from sidecar_htj2k.testing import Packing, encode, photograph, repack
from sidecar_jp2.color.convert import eight_bits
from sidecar_jp2.format.main_header import Progression
from sidecar_jp2.index.index_cache import IndexCache
from sidecar_jp2.testing import colr, ihdr, jp2, picture, read

from sidecar.plugin import DecodeError, Malformed, Rect, Unsupported, run_inline
from sidecar.testing.fakes import MemoryBlob

DECODER = Htj2kDecoder(OpenJph(load()), IndexCache(run_inline, 1 << 24))
OFF = 0.005
"""The share of samples of a 9-7 image that may be off by one: OpenJPEG rounds a constant of its wavelet coarsely."""
SIZES = ((1, 1), (97, 61), (333, 250), (701, 502))
PACKINGS = (
    None,
    Packing(),
    Packing(lengths=False, eph=True),
    Packing(precincts=((6, 6), (7, 7))),
    Packing(precincts=((7, 6), (8, 7)), progression=Progression.LRCP, sop=True),
    Packing(precincts=((6, 6), (7, 7)), progression=Progression.RLCP, sop=True, eph=True),
    Packing(precincts=((7, 7),), progression=Progression.PCRL),
    Packing(precincts=((7, 7),), progression=Progression.CPRL, eph=True),
)


@dataclass(frozen=True)
class Made:
    """What an image is made of."""

    size: tuple[int, int]
    channels: int = 3
    depth: int = 8
    reversible: bool = True
    levels: int = 3
    tile: tuple[int, int] | None = None
    packing: Packing | None = None

    @property
    def declared(self) -> int:
        """Imagecodecs writes 8 and 16 bits; other depths are declared afterwards, of reversible images."""
        return self.depth if self.depth not in (8, 16) else 0


IMAGES = st.builds(
    Made,
    size=st.sampled_from(SIZES),
    channels=st.sampled_from((1, 3)),
    depth=st.sampled_from((8, 16)),
    reversible=st.booleans(),
    levels=st.integers(1, 6),
    tile=st.sampled_from((None, None, (256, 256), (130, 77))),
    packing=st.sampled_from(PACKINGS),
)


@pytest.fixture(autouse=True)
def _small_cuts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut small images as large ones are cut."""
    _cut_early(monkeypatch)


def _cut_early(patch: pytest.MonkeyPatch) -> None:
    for name, value in {"SMALL_TILE": 1 << 12, "STAGE_COST": 1 << 8, "RECODING_COST": 1, "USUAL": 64}.items():
        patch.setattr(cuts, name, value)


@cache
def made(image: Made) -> bytes:
    """Return the codestream of an image."""
    options = {"tile": image.tile} if image.tile else {}
    pixels = photograph(image.size, image.channels, image.depth)
    coded = encode(pixels, image.declared, levels=image.levels, reversible=image.reversible, **options)
    return repack(coded, image.packing) if image.packing else coded


def plain(codestream: bytes, level: int = 0) -> NDArray[np.int64]:
    """Return what opj_decompress decodes, in 8 bits: (rows, columns, channels)."""
    with TemporaryDirectory() as folder:
        coded, raw = Path(folder, "in.j2c"), Path(folder, "out.pgx")
        coded.write_bytes(codestream)
        command = ["opj_decompress", "-i", str(coded), "-o", str(raw), "-r", str(level)]
        subprocess.run(command, check=True, capture_output=True)
        return np.stack([_pgx(path) for path in sorted(Path(folder).glob("out_*.pgx"))], -1)


def _pgx(path: Path) -> NDArray[np.int64]:
    head, _, samples = path.read_bytes().partition(b"\n")
    _, order, sign, depth, width, height = head.replace(b"+", b"+ ").split()
    assert (order, sign) == (b"ML", b"+")
    values = np.frombuffer(samples, ">u1" if int(depth) <= 8 else ">u2")
    return np.asarray(eight_bits(values.reshape(int(height), int(width)).astype(np.int32), int(depth)), np.int64)


@cache
def whole(image: Made, level: int) -> NDArray[np.int64]:
    """Return all of a level as opj_decompress decodes it."""
    return plain(made(image), level)


@given(data=st.data())
@settings(max_examples=200, deadline=None, derandomize=True)
def test_a_window_is_the_crop_of_the_plain_whole(data: st.DataObject) -> None:
    """At every level, any window of any image has the pixels that plain OpenJPEG decodes there."""
    image = data.draw(IMAGES)
    blob = MemoryBlob("a.jph", made(image))
    with pytest.MonkeyPatch.context() as patch:
        _cut_early(patch)
        opened = DECODER.open(blob)
        level = data.draw(st.integers(0, len(opened.info.levels) - 1))
        size = opened.info.levels[level].size
        x, y = data.draw(st.integers(0, size.width - 1)), data.draw(st.integers(0, size.height - 1))
        width, height = data.draw(st.integers(1, size.width - x)), data.draw(st.integers(1, size.height - y))
        pixels = read(opened, blob, level, Rect(x, y, width, height)).astype(np.int64)
    expected = whole(image, level)[y : y + height, x : x + width]
    if image.reversible:
        np.testing.assert_array_equal(pixels, expected)
        return
    difference = np.abs(pixels - expected)
    assert difference.max() <= 1
    assert difference.sum() <= max(8, OFF * difference.size)


def test_large_tiles_are_cut() -> None:
    """A window of a large tile with precincts is decoded in stages, from few of the bytes."""
    blob = MemoryBlob("a.jph", made(Made((701, 502), levels=5, packing=Packing(precincts=((6, 6), (7, 7))))))
    window = DECODER.open(blob).window(0, Rect(300, 200, 50, 50))
    (stage,) = window.stages
    assert stage.base is not None
    assert sum(part.length for part in window.ranges) < blob.size / 4


@pytest.mark.parametrize("depth", [10, 12, 14])
def test_depths_between_8_and_16(depth: int) -> None:
    """Samples of other depths are rounded to 8 bits as those of plain OpenJPEG."""
    image = Made((97, 61), 1, depth)
    blob = MemoryBlob("a.jph", made(image))
    np.testing.assert_array_equal(read(DECODER.open(blob), blob), whole(image, 0))


def test_ht_inside_jp2() -> None:
    """HT in a JP2 file is decoded with the colours that its boxes declare."""
    image = Made((97, 61))
    blob = MemoryBlob("a.jp2", jp2(made(image), ihdr(), colr(16)))
    np.testing.assert_array_equal(read(DECODER.open(blob), blob), whole(image, 0))


def _with(codestream: bytes, at: int, data: bytes) -> bytes:
    return codestream[:at] + data + codestream[at + len(data) :]


@pytest.mark.parametrize(
    "changed, reason",
    [
        (lambda _: picture((64, 48)), "no HT"),
        (lambda codestream: _with(codestream, codestream.index(b"\xff\x52") + 6, b"\0\2"), "2 layers"),
        (lambda codestream: _with(codestream, codestream.index(b"\xff\x50") + 8, b"\x20\0"), "capabilities"),
        (lambda codestream: _with(codestream, 43, b"\2"), "subsampled"),
        (lambda codestream: codestream.replace(b"\xff\x52", b"\xff\x5e\0\5\0\0\1\xff\x52", 1), "RGN"),
    ],
    ids=["plain JPEG 2000", "layers", "several HT sets", "subsampling", "region of interest"],
)
def test_what_is_left_to_other_decoders(changed: object, reason: str) -> None:
    """What OpenJPH or imagecodecs would not decode, or not rightly, is unsupported when it is opened."""
    assert callable(changed)
    codestream = changed(made(Made((97, 61))))
    with pytest.raises(Unsupported, match=reason):
        DECODER.open(MemoryBlob("a.jph", codestream))


def test_a_tile_header_that_changes_its_tile() -> None:
    """COD in a tile-part, which OpenJPH ignores, makes the first tile unsupported and a later one fail."""
    codestream = made(Made((333, 250), tile=(256, 256)))
    cod = codestream[codestream.index(b"\xff\x52") :][:14]
    first = codestream.index(b"\xff\x90")
    second = first + struct.unpack_from(">I", codestream, first + 6)[0]
    for at, where in ((first, None), (second, Rect(256, 0, 20, 20))):
        length = struct.unpack_from(">I", codestream, at + 6)[0]
        longer = _with(codestream, at + 6, struct.pack(">I", length + len(cod)))
        blob = MemoryBlob("a.jph", longer[: at + 12] + cod + longer[at + 12 :])
        with pytest.raises(Unsupported if where is None else DecodeError):
            read(DECODER.open(blob), blob, 0, where)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_broken_code_blocks_are_an_error() -> None:
    """A failure that imagecodecs only reports on the side does not pass as pixels."""
    codestream = made(Made((333, 250)))
    start = codestream.index(b"\xff\x93")
    broken = codestream[: start + 5000] + b"\xff" * 60_000 + codestream[start + 65_000 :]
    blob = MemoryBlob("a.jph", broken)
    with pytest.raises((DecodeError, Malformed)):
        read(DECODER.open(blob), blob)


def test_large_remote_tiles_without_lengths(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remote tiles without packet lengths are not held whole if they are too large."""
    monkeypatch.setattr(reader, "LARGEST_WHOLE", 1000)
    blob = MemoryBlob("a.jph", made(Made((333, 250))))
    with pytest.raises(Unsupported, match="packet lengths"):
        DECODER.open(blob).window(0, Rect(0, 0, 8, 8))


def test_overshoot_beyond_the_guard_bits() -> None:
    """A low band that would be clipped is an error, not other pixels."""
    blocks = np.random.default_rng(4).integers(0, 2, (75, 100, 3), np.uint8)
    pixels = np.kron(blocks, np.full((8, 8, 1), 255, np.uint8))
    codestream = repack(encode(pixels, levels=5, reversible=False), Packing(precincts=((6, 6), (7, 7))))
    blob = MemoryBlob("a.jph", codestream)
    opened = DECODER.open(blob)
    failed, expected = 0, plain(codestream)
    for x, y in product(range(0, 800, 200), range(0, 600, 200)):
        try:
            pixels = read(opened, blob, 0, Rect(x, y, 200, 200))
        except DecodeError:
            failed += 1
        else:
            assert np.abs(pixels - expected[y : y + 200, x : x + 200]).max() <= 1
    assert 0 < failed < 12


def test_neighbours_are_decoded_together() -> None:
    """Windows that share code blocks cost less as one, those that lie apart or in different tiles do not."""
    one, beside, far = Rect(0, 0, 128, 128), Rect(128, 0, 128, 128), Rect(384, 0, 128, 128)
    for tile, together in ((None, True), ((128, 128), True), ((192, 192), False)):
        content = made(Made((701, 502), tile=tile, packing=Packing(precincts=((7, 7),))))
        opened = DECODER.open(MemoryBlob("made.j2c", content))
        assert opened.gathers(0, one, beside) is together
        assert not opened.gathers(0, one, far)
