"""The whole-slide decoder under the contract that every decoder is held to."""

from __future__ import annotations

import io
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
import tifffile
from PIL import Image, ImageCms
from sidecar_openslide import OpenSlideDecoder, OpenSlideSettings
from sidecar_openslide.library import load
from sidecar_openslide.sample import Tile, pyramid, tissue, write_svs, write_tiff

from sidecar.plugin import Decoder, Native, Pixels, Size
from sidecar.testing.contracts.decoder import DecoderContract
from sidecar.testing.fakes import MemoryBlob, on_disk

_SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def _levels(size: Size) -> Sequence[Pixels]:
    """Three levels, each side rounded down as scanners do."""
    return pyramid(tissue(size), [Size(size.width >> shift, size.height >> shift) for shift in (2, 4)])


def _whole_ratios(folder: Path) -> MemoryBlob:
    path = folder / "whole.svs"
    if not path.exists():
        write_svs(path, _levels(Size(768, 512)))
    return on_disk(path)


def _odd_ratios(folder: Path) -> MemoryBlob:
    path = folder / "odd.svs"
    if not path.exists():
        write_svs(path, _levels(Size(811, 615)), icc=_SRGB)
    return on_disk(path)


def _sparse(folder: Path) -> MemoryBlob:
    path = folder / "sparse.tif"
    if not path.exists():
        gaps = {Tile(0, 0, 0), Tile(0, 2, 3), Tile(0, 4, 6), Tile(1, 1, 1)}
        write_tiff(path, _levels(Size(811, 615)), tile=128, compression="adobe_deflate", missing=gaps)
    return on_disk(path)


def _changed(folder: Path, start: int, content: bytes) -> MemoryBlob:
    """The first sample with some bytes changed."""
    whole = bytearray(_whole_ratios(folder).content)
    whole[start : start + len(content)] = content
    return _written(folder / f"changed-{start}-{len(content)}.svs", bytes(whole))


def _written(path: Path, content: bytes) -> MemoryBlob:
    path.write_bytes(content)
    return on_disk(path)


def _first_directory(folder: Path) -> int:
    return int(struct.unpack("<I", _whole_ratios(folder).content[4:8])[0])


def _circle(folder: Path) -> MemoryBlob:
    """A TIFF whose only directory says that it is followed by itself."""
    head = struct.pack("<4sI", b"II*\0", 8)
    directory = struct.pack("<HHHIHxxI", 1, 256, 3, 1, 64, 8)
    return _written(folder / "circle.tif", head + directory)


def _scribbled_tiles(folder: Path) -> MemoryBlob:
    with tifffile.TiffFile(io.BytesIO(_whole_ratios(folder).content)) as file:
        page = file.pages.first
        start, length = page.dataoffsets[0], page.databytecounts[0]
    return _changed(folder, start, b"\x55" * length)


def _tiled(folder: Path, name: str, pixels: Pixels, photometric: str) -> MemoryBlob:
    path = folder / name
    tifffile.imwrite(path, pixels, tile=(64, 64), photometric=photometric, metadata=None)
    return on_disk(path)


def _picture(folder: Path, name: str, kind: str) -> MemoryBlob:
    Image.new("RGB", (100, 80)).save(folder / name, kind)
    return on_disk(folder / name)


class TestOpenSlide(DecoderContract):
    """Aperio slides and tiled TIFFs."""

    @classmethod
    def make(cls, native: Native) -> Decoder:
        """Make the decoder with some native threads."""
        return OpenSlideDecoder(load(2**20), OpenSlideSettings().suffixes, native)

    samples: ClassVar = {
        "levels at whole ratios": _whole_ratios,
        "levels at odd ratios, ICC": _odd_ratios,
        "levels at odd ratios, tiles missing": _sparse,
    }
    nasties: ClassVar = {
        "no path": lambda folder: MemoryBlob("whole.svs", _whole_ratios(folder).content),
        "path to nothing": lambda folder: MemoryBlob("gone.svs", b"II*\0", path=folder / "gone.svs"),
        "header only": lambda folder: _written(folder / "head.svs", _whole_ratios(folder).content[:8]),
        "half": lambda folder: _written(folder / "half.svs", _whole_ratios(folder).content[:50_000]),
        "directory outside": lambda folder: _changed(folder, 4, b"\xff\xff\xff\x7f"),
        "no directory": lambda folder: _changed(folder, 4, b"\0\0\0\0"),
        "directory of 65535 entries": lambda folder: _changed(folder, _first_directory(folder), b"\xff\xff"),
        "circle": _circle,
        "tiles scribbled over": _scribbled_tiles,
        "16 bit": lambda folder: _tiled(folder, "deep.tif", np.zeros((128, 128, 3), np.uint16), "rgb"),
        "CMYK": lambda folder: _tiled(folder, "cmyk.tif", np.zeros((128, 128, 4), np.uint8), "separated"),
        "alpha": lambda folder: _tiled(folder, "alpha.tif", np.zeros((128, 128, 4), np.uint8), "rgb"),
        "grey, 0 is white": lambda folder: _tiled(folder, "inverse.tif", np.zeros((128, 128), np.uint8), "miniswhite"),
        "in strips": lambda folder: _picture(folder, "strips.tif", "TIFF"),
        "JPEG": lambda folder: _picture(folder, "jpeg.svs", "JPEG"),
        "list of files that are not there": lambda folder: _written(
            folder / "list.vms", b"[Virtual Microscope Specimen]\nNoLayers=1\nImageFile=gone.jpg\nMapFile=gone.jpg\n"
        ),
        "bare mrxs": lambda folder: _picture(folder, "bare.mrxs", "JPEG"),
    }
