"""Small slides of every coding, made once in each folder, and the decoder: what the tests of this plugin share.

Needs what `sidecar_tiff.testing` needs.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image, ImageCms
from sidecar_jp2.openjpeg.codec import OpenJpeg
from sidecar_jp2.openjpeg.library import bind

from sidecar.plugin import Pixels, Size
from sidecar_tiff.decoder import TiffDecoder
from sidecar_tiff.jpeg2000 import Jpeg2000
from sidecar_tiff.places import Paging
from sidecar_tiff.settings import SUFFIXES
from sidecar_tiff.slide import Coding
from sidecar_tiff.testing import Making, halved, slide, write
from sidecar_tiff.turbo import Turbo

SRGB: Final = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
ODD: Final = Size(611, 415)
EVEN: Final = Size(512, 384)
CODINGS: Final = (
    Making(coding=Coding.JPEG_YCC),
    Making(coding=Coding.JPEG_YCC, shared_tables=True, subsampled=False),
    Making(coding=Coding.JPEG_RGB, shared_tables=True),
    Making(coding=Coding.JPEG_2000_RGB, tile=128),
    Making(coding=Coding.JPEG_2000_YCC, tile=128),
)


def decoder(paging: Paging = Paging()) -> TiffDecoder:  # noqa: B008  # it is frozen
    """Return the decoder with the libraries of the system."""
    return TiffDecoder(SUFFIXES, Turbo(), Jpeg2000(OpenJpeg(bind())), paging)


def picture(size: Size, seed: int = 1) -> Pixels:
    """Return clouds of three colours with a little grain, (height, width, 3); the same for the same seed."""
    noise = np.random.default_rng(seed)
    total = np.zeros((size.height, size.width, 3), np.float32)
    for cell, share in ((160, 0.6), (24, 0.3), (8, 0.1)):
        coarse = noise.integers(0, 256, (size.height // cell + 2, size.width // cell + 2, 3), np.uint8)
        total += share * np.asarray(Image.fromarray(coarse).resize((size.width, size.height)))
    total += noise.normal(0, 2, total.shape).astype(np.float32)
    pixels: Pixels = np.clip(total, 0, 255).astype(np.uint8)
    return pixels


def levels(size: Size) -> Sequence[Pixels]:
    """Return a picture and the same at 1:4."""
    whole = picture(size)
    return [whole, halved(whole, 4)]


def aperio(folder: Path, making: Making, size: Size = ODD, icc: bytes | None = None) -> Path:
    """Return an Aperio slide of two levels."""
    path = folder / f"{_name(making, size)}{'-icc' if icc else ''}.svs"
    if not path.exists():
        write(path, slide(levels(size), making, icc=icc))
    return path


def plain(folder: Path, making: Making, size: Size = ODD) -> Path:
    """Return a pyramid of no maker's: a BigTIFF with directories before their tiles."""
    path = folder / f"{_name(making, size)}.tif"
    if not path.exists():
        write(path, slide(levels(size), making, aperio=False), big=True, tiles_first=False)
    return path


def _name(making: Making, size: Size) -> str:
    shared = "-shared" if making.shared_tables else ""
    return f"{making.coding.name.lower()}-{making.tile}{shared}-{size.width}x{size.height}"
