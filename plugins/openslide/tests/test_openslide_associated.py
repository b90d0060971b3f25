"""Images beside a slide's own under the contract that every decoder is held to, and against OpenSlide's own pixels."""

from __future__ import annotations

import tracemalloc
from contextlib import closing
from pathlib import Path
from typing import ClassVar

import numpy as np
import openslide
import pytest
import tifffile
from PIL import Image
from sidecar_openslide import OpenSlideDecoder, OpenSlideSettings
from sidecar_openslide.associated import AssociatedReader
from sidecar_openslide.library import load
from sidecar_openslide.sample import pyramid, tissue, write_svs

from sidecar.plugin import (
    Blob,
    DecodeError,
    Decoder,
    Malformed,
    Native,
    Rect,
    Size,
    SourceChanged,
    Unsupported,
    run_inline,
)
from sidecar.testing.contracts.decoder import DecoderContract, read
from sidecar.testing.descriptors import all_come_back
from sidecar.testing.fakes import MemoryBlob, on_disk


class Labels(OpenSlideDecoder):
    """Opens the label of a slide as if it were the slide."""

    def open(self, blob: Blob) -> AssociatedReader:  # type: ignore[override]  # another kind of reader
        """Open the label; Unsupported if there is none."""
        reader = self.open_associated(blob, "label")
        if reader is None:
            raise Unsupported("no label")
        return reader


_SIZE = Size(700, 450)


def _slide(folder: Path, name: str = "slide.svs", size: Size = _SIZE) -> MemoryBlob:
    path = folder / name
    if not path.exists():
        write_svs(path, pyramid(tissue(Size(480, 240)), []), label=tissue(size, 2))
    return on_disk(path)


def _broken(folder: Path) -> MemoryBlob:
    path = folder / "broken.svs"
    path.write_bytes(_slide(folder).content)
    with tifffile.TiffFile(path) as file:
        start = file.pages[-1].dataoffsets[0]
    with path.open("r+b") as changed:
        changed.seek(start)
        changed.write(b"\xff" * 4096)
    return on_disk(path)


class TestLabels(DecoderContract):
    """Labels of Aperio slides."""

    @classmethod
    def make(cls, native: Native) -> Decoder:
        """Make the decoder with some native threads."""
        return Labels(load(0), OpenSlideSettings().suffixes, native)

    samples: ClassVar = {"a label": _slide}
    nasties: ClassVar = {
        "no path": lambda folder: MemoryBlob("slide.svs", _slide(folder).content),
        "broken strips": _broken,
    }


@pytest.fixture
def decoder() -> OpenSlideDecoder:
    """Return the decoder."""
    return OpenSlideDecoder(load(0), ["svs"], run_inline, max_tile_pixels=2**16)


def test_alpha(tmp_path: Path, decoder: OpenSlideDecoder) -> None:
    """What is transparent in a label is white, and what is half so is blended once: OpenSlide multiplies alpha in."""
    path = tmp_path / "slide.svs"
    write_svs(path, [tissue(Size(480, 240))])
    label = np.dstack([tissue(Size(120, 80), 2), np.tile(np.arange(120, dtype=np.uint8) * 2, (80, 1))])
    with tifffile.TiffWriter(path, append=True) as writer:
        about = "Aperio Image Library v11.2.1 \r\nlabel 120x80"
        writer.write(
            label, photometric="rgb", extrasamples=["unassalpha"], subfiletype=1, description=about, metadata=None
        )
    with openslide.OpenSlide(str(path)) as slide:
        image = slide.associated_images["label"]
    assert np.asarray(image)[..., 3].min() < 255
    wanted = np.asarray(Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB"))
    blob = on_disk(path)
    reader = decoder.open_associated(blob, "label")
    assert reader is not None
    found = read(reader, blob, 0, Rect(0, 0, 120, 80))
    assert np.abs(found.astype(int) - wanted).max() <= 2


def test_memory_of_a_corner(tmp_path: Path, decoder: OpenSlideDecoder) -> None:
    """A few pixels of a label take what they are said to: OpenSlide decodes all of it."""
    blob = _slide(tmp_path, size=Size(256, 250))
    reader = decoder.open_associated(blob, "label")
    assert reader is not None
    (level,) = reader.info.levels
    with closing(reader):
        tracemalloc.start()
        read(reader, blob, 0, Rect(0, 0, 8, 8))
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert 4 * level.size.area < peak <= level.fixed_bytes + level.pixel_bytes * 64


def test_what_is_too_large(tmp_path: Path, decoder: OpenSlideDecoder) -> None:
    """An image of more pixels than a tile may have is refused before it is decoded, and leaves no file open."""
    blob = _slide(tmp_path, size=Size(300, 300))
    with all_come_back(), pytest.raises(Malformed, match="label has 300 x 300"):
        decoder.open_associated(blob, "label")


def test_strips_that_claim_too_much(tmp_path: Path, decoder: OpenSlideDecoder) -> None:
    """A label whose strip claims far more bytes than it has pixels is refused: libtiff would make room for them."""
    blob = _slide(tmp_path, size=Size(100, 100))
    assert blob.path is not None
    with tifffile.TiffFile(blob.path, mode="r+") as file:
        counts = file.pages[-1].aspage().tags["StripByteCounts"]
        counts.overwrite([2**31] * len(counts.value), dtype="I")
    with all_come_back(), pytest.raises(Malformed, match="strip"):
        decoder.open_associated(on_disk(blob.path), "label")


def test_another_slide_in_its_place(tmp_path: Path) -> None:
    """If another slide is put in the file's place, reading its label reports it."""
    decoder = OpenSlideDecoder(load(0), ["svs"], run_inline)
    blob = _slide(tmp_path)
    other = _slide(tmp_path, "other.svs", Size(64, 64))
    reader = decoder.open_associated(blob, "label")
    assert reader is not None
    assert other.path is not None
    assert blob.path is not None
    other.path.replace(blob.path)
    with closing(reader), pytest.raises(SourceChanged):
        read(reader, blob, 0, Rect(0, 0, 8, 8))


@pytest.mark.parametrize("name", ["label", "macro"])
def test_another_size(tmp_path: Path, name: str) -> None:
    """A label that is not of the size for which there is room, or is gone, is not read."""
    path = _slide(tmp_path).path
    assert path is not None
    slide = load(0).open(path)
    with closing(slide), pytest.raises(DecodeError, match="no longer 8 x 8"):
        slide.read_associated(name, Size(8, 8))
