"""Broken and hostile files: an error of ours, never wrong pixels, a crash or an endless loop."""

from __future__ import annotations

import struct
import subprocess
import sys
from pathlib import Path

import pytest
from sidecar_jp2.decoder import Jp2Decoder
from sidecar_jp2.format.broken import Broken
from sidecar_jp2.openjpeg.codec import OpenJpeg
from sidecar_jp2.openjpeg.library import bind
from sidecar_jp2.testing import picture, read

from sidecar.plugin import DecodeError, Malformed, Pixels, SidecarError
from sidecar.testing.fakes import MemoryBlob

DECODER = Jp2Decoder(OpenJpeg(bind()))
IMAGES = Path(__file__).parents[3] / "tests" / "data" / "images"
SOT, SOD = b"\xff\x90\x00\x0a", b"\xff\x93"
SIZ = 8
"""The offset of Xsiz in a bare codestream."""


def codestream(name: str) -> bytes:
    """Return the codestream of a test file."""
    content = (IMAGES / f"{name}.jp2").read_bytes()
    return content[content.index(b"\xff\x4f\xff\x51") :]


def shown(content: bytes, level: int = 0) -> Pixels:
    """Return the pixels of a codestream in memory, at `level` or the last level there is."""
    blob = MemoryBlob("a.j2k", content)
    reader = DECODER.open(blob)
    return read(reader, blob, min(level, len(reader.info.levels) - 1))


def cuts(content: bytes) -> list[int]:
    """Return offsets to cut at: inside and at the edges of the parts, before the end marker, and spread between."""
    first = content.index(SOT)
    parts = [at for at in range(len(content) - 4) if content.startswith(SOT, at)]
    data = content.index(SOD, first) + 2
    spread = range(data + 1, len(content) - 2, max(len(content) // 5, 1))
    return sorted(
        {first, first + 5, first + 12, data, *parts[1:4], parts[-1], parts[-1] + 12, len(content) - 3, *spread}
    )


@pytest.mark.parametrize(
    "name", ["gray8", "tiled_512", "tiled_256_tlm_plt", "untiled_precincts_plt_layers", "progression_cprl_plt"]
)
def test_truncation_is_an_error(name: str) -> None:
    """A codestream truncated anywhere raises DecodeError at every level."""
    content = codestream(name)
    for cut in cuts(content):
        for level in (0, 9):
            with pytest.raises(DecodeError):
                shown(content[:cut], level)


def test_truncation_without_a_length_is_an_error() -> None:
    """Missing packets raise an error even if the tile-part has no length (Psot 0)."""
    content = bytearray(codestream("untiled_plain_lossless_lrcp"))
    at = content.index(SOT)
    content[at + 6 : at + 10] = bytes(4)
    shown(bytes(content))
    for cut in cuts(bytes(content))[3:]:
        with pytest.raises(DecodeError):
            shown(bytes(content[:cut]))


def test_a_missing_tile_is_an_error() -> None:
    """A missing tile raises DecodeError for windows that touch it; OpenJPEG alone would leave it black."""
    content = codestream("tiled_512")
    parts = [at for at in range(len(content)) if content.startswith(SOT, at)]
    with pytest.raises(DecodeError, match="1 of 12 tiles are missing"):
        shown(content[: parts[5]] + content[parts[6] :])


def test_the_text_is_openjpegs_own() -> None:
    """The error contains OpenJPEG's own message."""
    with pytest.raises(DecodeError, match="inconsistent with stream length"):
        shown(codestream("gray8")[:-1000])


@pytest.mark.parametrize(
    "at,layout,values,kind",
    [
        (0, ">II", (0xFFFFFFFF, 0xFFFFFFFF), Broken),
        (0, ">II", (0x7FFFFFFF, 0x7FFFFFFF), Broken),
        (0, ">II", (60_000, 60_000), Broken),
        (0, ">II", (0, 0), Broken),
        (8, ">II", (700, 700), Broken),
        (16, ">II", (0, 0), Broken),
        (32, ">H", (0,), Broken),
        (32, ">H", (0xFFFF,), Broken),
        (0, ">8I", (60_000, 60_000, 0, 0, 60_000, 60_000, 0, 0), Malformed),
        (0, ">8I", (200, 200, 0, 0, 1, 1, 0, 0), Malformed),
    ],
)
def test_huge_claims_never_reach_openjpeg(
    at: int, layout: str, values: tuple[int, ...], kind: type[SidecarError]
) -> None:
    """Absurd sizes, tiles or component counts in SIZ raise an error when the image is opened.

    What makes decoders claim memory is refused, what they refuse themselves is handed over.
    """
    content = bytearray(picture((64, 64), steps=((1, 1),)))
    content[SIZ + at : SIZ + at + struct.calcsize(layout)] = struct.pack(layout, *values)
    with pytest.raises(kind):
        DECODER.open(MemoryBlob("a.j2k", bytes(content)))


def test_fewer_levels_in_a_tile() -> None:
    """A tile whose own COD has fewer levels than the main header limits the levels of the image."""
    content = picture((64, 64), "-n", "6", steps=((1, 1),))
    at = content.index(b"\xff\x52")
    cod = content[at : at + 2 + int.from_bytes(content[at + 2 : at + 4])]
    fewer = cod[:9] + b"\x02" + cod[10:]
    sot, sod = content.index(SOT), content.index(SOD)
    changed = bytearray(content[:sod] + fewer + content[sod:])
    (length,) = struct.unpack_from(">I", changed, sot + 6)
    struct.pack_into(">I", changed, sot + 6, length + len(fewer))
    assert len(DECODER.open(MemoryBlob("a.j2k", content)).info.levels) == 6
    assert len(DECODER.open(MemoryBlob("a.j2k", bytes(changed))).info.levels) == 3


FLIP = """
import random, sys
from pathlib import Path
from hypothesis import given, settings, strategies as st, HealthCheck
from sidecar.errors import SidecarError
from sidecar.plugin import Rect
from sidecar.testing.fakes import MemoryBlob
from sidecar_jp2.decoder import Jp2Decoder
from sidecar_jp2.openjpeg.library import bind
from sidecar_jp2.openjpeg.codec import OpenJpeg
from sidecar_jp2.testing import read
decoder = Jp2Decoder(OpenJpeg(bind()))
content = Path(sys.argv[1]).read_bytes()
head = content.index(b"\\xff\\x93") + 40

@given(st.lists(st.tuples(st.one_of(st.integers(0, head), st.integers(0, len(content) - 1)), st.integers(1, 255)),
                min_size=1, max_size=4))
@settings(max_examples=150, deadline=None, derandomize=True, database=None)
def flips(changes):
    broken = bytearray(content)
    for at, bits in changes:
        broken[at] ^= bits
    blob = MemoryBlob("a.jp2", bytes(broken))
    try:
        reader = decoder.open(blob)
        level = len(reader.info.levels) - 1
        size = reader.info.levels[level].size
        region = Rect(0, 0, min(size.width, 64), min(size.height, 64))
        pixels = read(reader, blob, level, region)
        assert pixels.shape == (region.height, region.width, reader.info.channels)
    except SidecarError:
        pass

flips()
"""


@pytest.mark.parametrize("name", ["tiny_60x40", "gray8", "palette", "image_offset", "odd_1023x767_tiled_300"])
def test_flipped_bits(name: str) -> None:
    """Random changes, most of them in headers, give an error of ours or pixels, and the process survives."""
    arguments = [sys.executable, "-W", "error", "-c", FLIP, str(IMAGES / f"{name}.jp2")]
    run = subprocess.run(arguments, capture_output=True, text=True, timeout=100, check=False)
    assert run.returncode == 0, run.stderr[-3000:]
