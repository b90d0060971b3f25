"""Images beside an Aperio slide's own, straight from their strips: the contract of decoders, and libtiff's pixels."""

from __future__ import annotations

import tracemalloc
from itertools import product
from pathlib import Path
from typing import Any, ClassVar

import imagecodecs
import numpy as np
import openslide
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from sidecar_openslide.sample import tissue, write_svs
from sidecar_tiff import lzw
from sidecar_tiff import samples as made
from sidecar_tiff.associated import AssociatedReader
from sidecar_tiff.decoder import TiffDecoder
from sidecar_tiff.testing import Making

from sidecar.plugin import Blob, DecodeError, Decoder, Malformed, Native, Rect, Size, Unsupported
from sidecar.testing.contracts.decoder import DecoderContract, read
from sidecar.testing.fakes import MemoryBlob

SIZE = Size(331, 203)
PICTURE = tissue(SIZE, 2)


class Labels(TiffDecoder):
    """Opens the label of a slide as if it were the slide."""

    def open(self, blob: Blob) -> AssociatedReader:  # type: ignore[override]  # another kind of reader
        """Open the label; Unsupported if there is none."""
        reader = self.open_associated(blob, "label")
        if reader is None:
            raise Unsupported("no label")
        return reader


def slide(folder: Path, name: str, **how: Any) -> Path:
    """Return a slide whose label is written in some way."""
    path = folder / f"{name}.svs"
    if not path.exists():
        write_svs(path, [tissue(Size(480, 240))])
        with tifffile.TiffWriter(path, append=True) as writer:
            options = {"photometric": "rgb", "subfiletype": 1, "rowsperstrip": 32, "metadata": None, **how}
            writer.write(PICTURE, description="Aperio Image Library v11.2.1 \r\nlabel", **options)
    return path


def _far(path: Path) -> MemoryBlob:
    return MemoryBlob(path.name, path.read_bytes())


def _broken(folder: Path, name: str, **how: Any) -> MemoryBlob:
    whole = bytearray(slide(folder, name, **how).read_bytes())
    with tifffile.TiffFile(folder / f"{name}.svs") as file:
        start = file.pages[-1].dataoffsets[1]
    whole[start : start + 200] = b"\xff" * 200
    return MemoryBlob("broken.svs", bytes(whole))


class TestLabels(DecoderContract):
    """Labels by LZW and JPEG, and not packed."""

    @classmethod
    def make(cls, native: Native) -> Decoder:
        """Make the decoder; it has no use for native threads of its own."""
        del native
        whole = made.decoder()
        return Labels(whole.suffixes, whole._turbo, whole._jpeg2000)

    samples: ClassVar = {
        "LZW": lambda folder: _far(slide(folder, "lzw", compression="lzw", predictor=True)),
        "JPEG": lambda folder: _far(slide(folder, "jpeg", compression="jpeg")),
        "plain, one strip": lambda folder: _far(slide(folder, "plain", rowsperstrip=SIZE.height)),
    }
    nasties: ClassVar = {
        "LZW, broken": lambda folder: _broken(folder, "nasty-lzw", compression="lzw"),
        "Deflate, broken": lambda folder: _broken(folder, "nasty-deflate", compression="adobe_deflate"),
        "JPEG, broken": lambda folder: _broken(folder, "nasty-jpeg", compression="jpeg"),
        "half": lambda folder: MemoryBlob("half.svs", slide(folder, "cut").read_bytes()[:-100_000]),
    }


WAYS: dict[str, dict[str, Any]] = {
    f"{compression}, predictor {predictor}, {rows} rows": {
        "compression": compression,
        "predictor": predictor,
        "rowsperstrip": rows,
    }
    for compression, predictor, rows in product(("lzw", "adobe_deflate", None), (False, True), (16, SIZE.height))
    if compression or not predictor
}
WAYS["JPEG, 4:2:0"] = {"compression": "jpeg", "rowsperstrip": 16, "subsampling": (2, 2)}
WAYS["JPEG, RGB"] = {"compression": "jpeg", "compressionargs": {"outcolorspace": "rgb"}}


@pytest.mark.parametrize("way", sorted(WAYS))
def test_pixels(tmp_path: Path, way: str) -> None:
    """However a label is written, it has OpenSlide's pixels."""
    path = slide(tmp_path, "slide", **WAYS[way])
    with openslide.OpenSlide(str(path)) as whole:
        wanted = np.asarray(whole.associated_images["label"].convert("RGB"))
    blob = _far(path)
    reader = made.decoder().open_associated(blob, "label")
    assert reader is not None
    found = read(reader, blob, 0, Rect(0, 0, *PICTURE.shape[1::-1]))
    assert np.abs(found.astype(int) - wanted).max() <= 1


@pytest.mark.parametrize(
    "how",
    [
        {"compression": "zstd"},
        {"photometric": "ycbcr"},
        {"compression": "lzw", "predictor": True, "planarconfig": "separate"},
    ],
    ids=["Zstandard", "YCbCr that is not packed", "planes"],
)
def test_labels_of_other_kinds(tmp_path: Path, how: dict[str, Any]) -> None:
    """A label that is not surely read right is left to OpenSlide."""
    path = tmp_path / "slide.svs"
    write_svs(path, [tissue(Size(480, 240))])
    pixels = np.moveaxis(PICTURE, 2, 0) if "planarconfig" in how else PICTURE
    with tifffile.TiffWriter(path, append=True) as writer:
        options = {"photometric": "rgb", "subfiletype": 1, "metadata": None, "description": "label", **how}
        writer.write(pixels, **options)
    with pytest.raises(Unsupported):
        made.decoder().open_associated(_far(path), "label")


def test_large_labels_by_lzw(tmp_path: Path) -> None:
    """A label that would keep Python busy for seconds is left to OpenSlide, whose decoder is not Python's."""
    path = tmp_path / "slide.svs"
    write_svs(path, [tissue(Size(480, 240))])
    noise = np.random.default_rng(0).integers(0, 256, (1100, 1100, 3), dtype=np.uint8)
    with tifffile.TiffWriter(path, append=True) as writer:
        writer.write(noise, photometric="rgb", subfiletype=1, compression="lzw", metadata=None, description="label")
    with pytest.raises(Unsupported, match="LZW"):
        made.decoder().open_associated(_far(path), "label")


def test_pyramids_of_no_maker(tmp_path: Path) -> None:
    """A plain pyramid has no images beside its own, as for OpenSlide."""
    path = made.plain(tmp_path, Making())
    for name in ("label", "macro", "thumbnail"):
        assert made.decoder().open_associated(_far(path), name) is None


@given(st.binary(max_size=3000), st.integers(1, 400))
def test_lzw(data: bytes, repeats: int) -> None:
    """What another implementation has compressed comes out as it was, and part of it too."""
    whole = data * repeats
    if whole:
        packed = imagecodecs.lzw_encode(whole[:200_000])
        assert lzw.decode(packed, len(whole[:200_000])) == whole[:200_000]
        assert lzw.decode(packed, 1) == whole[:1]


def test_lzw_takes_no_copies() -> None:
    """What is decoded is in memory once, beside the table and the room that an array grows by."""
    length = 16 << 20
    packed = imagecodecs.lzw_encode(bytes(length))
    tracemalloc.start()
    assert len(lzw.decode(packed, length)) == length
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1.25 * length + lzw.TABLE_BYTES


@given(st.binary(max_size=300), st.integers(1, 100_000))
def test_lzw_of_anything(data: bytes, length: int) -> None:
    """Bytes that nobody has compressed are refused, or come out as many as were asked for."""
    try:
        assert len(lzw.decode(data, length)) == length
    except DecodeError:
        pass
    except Malformed:
        pytest.fail("of another kind")
