"""What a JPEG 2000 file is said to be is what glymur and OpenJPEG say, and the advised encoding needs no advice."""

from __future__ import annotations

import re
import shlex
import subprocess
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest
import sidecar_jp2.advice
from PIL import Image
from sidecar_jp2.decoder import Jp2Decoder
from sidecar_jp2.extract.extractor import IndexedExtractor
from sidecar_jp2.index.index_cache import IndexCache
from sidecar_jp2.loss.dropped_planes import Loss
from sidecar_jp2.openjpeg.codec import OpenJpeg
from sidecar_jp2.openjpeg.library import bind
from sidecar_jp2.reader import Jp2Reader
from sidecar_jp2.testing import picture
from sidecar_jp2.windows import Jp2Window

from sidecar.plugin import Rect, run_inline
from sidecar.testing.fakes import MemoryBlob, on_disk

OPENJPEG: Final = OpenJpeg(bind())
import glymur  # noqa: E402  # after the library is chosen

IMAGES: Final = Path(__file__).parents[3] / "tests" / "data" / "images"
NAMES: Final = sorted(path.name for path in IMAGES.glob("*.jp2"))
PROGRESSIONS: Final = ("LRCP", "RLCP", "RPCL", "PCRL", "CPRL")


def opened(blob: MemoryBlob) -> Jp2Reader:
    """Open a file with an index."""
    indexes = IndexCache(run_inline, 2**20)
    return Jp2Decoder(OPENJPEG, extractors=partial(IndexedExtractor, indexes)).open(blob)


def facts(blob: MemoryBlob) -> dict[str, Any]:
    """Return what is said of a file."""
    return dict(opened(blob).facts())


@pytest.mark.filterwarnings("ignore:The IHDR dimensions")
@pytest.mark.parametrize("name", NAMES)
def test_facts_are_those_of_glymur(name: str) -> None:
    """Tiles, levels, layers, progression, code blocks, wavelet and markers are as glymur reads them."""
    found, segments = (
        facts(on_disk(IMAGES / name)),
        glymur.Jp2k(IMAGES / name).get_codestream(header_only=False).segment,
    )
    siz, cod = (next(each for each in segments if each.marker_id == kind) for kind in ("SIZ", "COD"))
    columns, rows = -(-(siz.xsiz - siz.xtosiz) // siz.xtsiz), -(-(siz.ysiz - siz.ytosiz) // siz.ytsiz)
    assert int(re.match(r"\d+", found["tiles"])[0]) == columns * rows  # type: ignore[index]
    assert columns * rows == 1 or found["tiles"].endswith(f"{siz.xtsiz} x {siz.ytsiz} pixels")
    assert found["components"] == f"{len(siz.bitdepth)} of {siz.bitdepth[0]} bits"
    assert found["decomposition levels"] == cod.num_res
    assert found["quality layers"] == cod.layers
    assert found["progression"] == PROGRESSIONS[cod.prog_order]
    assert found["code blocks"] == f"{cod.code_block_size[1]} x {cod.code_block_size[0]}"
    assert found["wavelet"].startswith("5-3" if cod.xform == glymur.core.WAVELET_XFORM_5X3_REVERSIBLE else "9-7")
    kinds = {each.marker_id for each in segments}
    assert found["packet lengths (PLT)"] == ("PLT" in kinds)
    assert found["tile-part lengths (TLM)"] == ("TLM" in kinds)
    assert found["component transform"] == bool(cod.mct)


@pytest.mark.parametrize("name", NAMES)
def test_facts_are_those_of_opj_dump(name: str) -> None:
    """Layers, levels, precincts and tiles are as OpenJPEG's own tool prints them."""
    found = facts(on_disk(IMAGES / name))
    printed = subprocess.run(["opj_dump", "-i", IMAGES / name], check=True, capture_output=True, text=True).stdout
    assert f"numlayers={found['quality layers']}" in printed
    assert f"numresolutions={found['decomposition levels'] + 1}" in printed
    exponents = re.findall(r"\d+", re.findall(r"preccintsize \(w,h\)=(.*)", printed)[0])
    precincts = [f"{1 << int(x)} x {1 << int(y)}" for x, y in zip(exponents[::2], exponents[1::2], strict=True)]
    expected = ", ".join(dict.fromkeys(reversed(precincts)))
    assert found["precincts"] == ("none: each resolution is one" if expected == "32768 x 32768" else expected)
    across, down = re.findall(r"\btw=(\d+), th=(\d+)", printed)[0]
    assert found["tiles"].startswith(f"{int(across) * int(down)}:")


def test_bits_per_pixel() -> None:
    """They are those of the codestream, without boxes."""
    content = picture((160, 100))
    assert facts(MemoryBlob("a.j2k", content))["bits per pixel"] == round(len(content) * 8 / 16000, 2)


def window_facts(reader: Jp2Reader, window: Jp2Window) -> dict[str, Any]:
    """Return what is said of a window."""
    return dict(reader.window_facts(window))


def test_packets_and_blocks_of_a_tiled_file() -> None:
    """A window of one tile takes its packets and code blocks: as many as the tile has, counted by hand."""
    # Two levels of 128 x 128: LL 32 x 32, then three subbands of 32 x 32 and of 64 x 64, in blocks of 32.
    content = picture((256, 256), "-t", "128,128", "-n", "3", "-b", "32,32", "-PLT")
    reader = opened(MemoryBlob("a.j2k", content))
    found = window_facts(reader, reader.window(0, Rect(130, 130, 20, 20)))
    assert found["decoded from"] == "a small codestream of 1 tile"
    assert found["packets"] == "9 of 9"
    assert found["code blocks"] == 3 * (1 + 3 + 3 * 4)
    found = window_facts(reader, reader.window(0, Rect(100, 100, 60, 20)))
    assert found["packets"] == "18 of 18"
    found = window_facts(reader, reader.window(2, Rect(0, 0, 64, 64)))
    assert (found["packets"], found["code blocks"]) == ("12 of 36", 4 * 3)


def test_fewer_packets_with_precincts() -> None:
    """With precincts a window takes some of the packets, and their lengths are those of its ranges."""
    content = picture((300, 300), "-n", "2", "-c", "[64,64],[64,64]", "-PLT", "-SOP")
    reader = opened(MemoryBlob("a.j2k", content))
    window = reader.window(0, Rect(0, 0, 40, 40))
    packets, of_packets = map(int, window_facts(reader, window)["packets"].split(" of "))
    assert of_packets == content.count(b"\xff\x91\x00\x04")
    fetched = b"".join(content[start:stop] for start, stop in window.ranges)
    assert fetched.count(b"\xff\x91\x00\x04") == packets < of_packets


def test_without_packet_lengths() -> None:
    """Without PLT the whole file is decoded from, and the facts say so."""
    reader = opened(MemoryBlob("a.j2k", picture((256, 256), "-t", "128,128")))
    assert str(dict(reader.facts())["packets found by"]).startswith("nothing")
    found = window_facts(reader, reader.window(0, Rect(0, 0, 256, 256)))
    assert found == {"decoded from": "the whole file, of which tiles are skipped"}


def test_bit_planes_left_out() -> None:
    """What may be lost is named by component and subband, with the layers that are read."""
    content = picture((512, 512), "-n", "3", "-PLT", "-r", "20,10,1", "-c", "[128,128]")
    reader = opened(MemoryBlob("a.j2k", content))
    assert window_facts(reader, reader.window(0, Rect(0, 0, 64, 64)))["bit planes left out"] == "none"
    lossy = reader.lossy_window(0, Rect(0, 0, 64, 64), Loss(4.0, halved_chroma=True, layers=2))
    found = window_facts(reader, lossy)
    assert re.match(r"Y: HL \d, LH \d, HH \d(; then .*)? \| Cb: .* \| Cr: HL \d", found["bit planes left out"])
    assert found["quality layers read"] == "2 of 3"


@pytest.mark.parametrize(
    "options",
    [
        (),
        ("-t", "128,128"),
        ("-p", "CPRL", "-PLT", "-TLM", "-c", "[64,64]"),
        ("-b", "16,16", "-PLT", "-TLM", "-n", "1"),
    ],
    ids=["plain", "small tiles", "CPRL", "small blocks"],
)
@pytest.mark.parametrize("many", [0, 2**28], ids=["precincts", "tiles"])
def test_advice_is_good(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, options: tuple[str, ...], many: int) -> None:
    """A badly encoded file gets advice; what the advised command makes of its picture gets none, and is lossless."""
    # As for a picture that is larger by four each way.
    monkeypatch.setattr(sidecar_jp2.advice, "OPJ_TILES", "-t 256,256")
    monkeypatch.setattr(sidecar_jp2.advice, "SMALLEST_TILE", 256)
    monkeypatch.setattr(sidecar_jp2.advice, "MANY_TILES", many)
    monkeypatch.setattr(sidecar_jp2.advice, "LARGE", 2**16)
    monkeypatch.setattr(sidecar_jp2.advice, "HEAVY", 100.0)
    random = np.random.default_rng(1)
    ramp = np.add.outer(np.arange(300), np.arange(520)) // 8
    pixels = (ramp[..., np.newaxis] + random.integers(0, 3, (300, 520, 3))).astype(np.uint8)
    Image.fromarray(pixels).save(tmp_path / "IN.tif")
    subprocess.run(
        ["opj_compress", "-i", "IN.tif", "-o", "bad.jp2", *options], cwd=tmp_path, check=True, stdout=subprocess.DEVNULL
    )
    (advice,) = opened(on_disk(tmp_path / "bad.jp2")).advice()
    command = next(shlex.split(each) for each in advice.commands if each.startswith("opj_compress"))
    subprocess.run(command, cwd=tmp_path, check=True, stdout=subprocess.DEVNULL)
    good = opened(on_disk(tmp_path / "OUT.jp2"))
    assert good.advice() == []
    assert np.array_equal(glymur.Jp2k(tmp_path / "OUT.jp2")[:], pixels)


def test_advice_for_heavy_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files of many bits for each pixel are advised to become HTJ2K; small ones are left in peace."""
    blob = MemoryBlob("a.j2k", picture((512, 512), "-PLT", "-TLM"))
    assert opened(blob).advice() == []
    monkeypatch.setattr(sidecar_jp2.advice, "LARGE", 2**10)
    assert any("Cmodes=HT" in command for advice in opened(blob).advice() for command in advice.commands)
