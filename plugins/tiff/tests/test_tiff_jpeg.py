"""JPEG streams made of tables and tiles."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image
from sidecar_tiff import jpeg, samples
from sidecar_tiff.slide import Coding
from sidecar_tiff.testing import Making, encoded

from sidecar.plugin import DecodeError, Size

TILE = samples.picture(Size(48, 48))


@pytest.mark.parametrize("coding", [Coding.JPEG_RGB, Coding.JPEG_YCC])
@pytest.mark.parametrize("marker", [b"", b"\xff\xe0\0\x10JFIF\0\x01\x01\0\0\x01\0\x01\0\0", b"\xff\xfe\0\x04ab"])
def test_what_the_samples_are(coding: Coding, marker: bytes) -> None:
    """A tile is shown as its directory says, whatever its own markers say or do not say."""
    whole = encoded(TILE, Making(coding=coding, subsampled=False))
    bare = jpeg.SOI + marker + whole[jpeg.head_of(whole).start :]
    made = jpeg.stream(jpeg.opening(coding, b""), bare, jpeg.head_of(bare))
    with Image.open(io.BytesIO(made)) as image:
        assert np.abs(np.asarray(image.convert("RGB")).astype(int) - TILE).mean() < 3


@pytest.mark.parametrize("end", [b"", b"\xff\xd9", b"\xff\xd9\0", b"\xff\xd9" + bytes(20)])
def test_ends(end: bytes) -> None:
    """A file ends with its end, whether the tile lacks it or has padding behind it."""
    tile = encoded(TILE, Making())[:-2] + end
    made = jpeg.stream(jpeg.opening(Coding.JPEG_YCC, b""), tile, jpeg.head_of(tile))
    assert made.endswith(jpeg.EOI)
    assert made.count(jpeg.EOI) == 1


@pytest.mark.parametrize(
    "follows", [b"\xff\xd9<html>" + bytes(500) + jpeg.EOI, b"\xff\xd8\xff\xe1", b"\xff\xff\xc0\0\x08"]
)
def test_what_follows_a_scan(follows: bytes) -> None:
    """Whatever a file has behind the scan of a tile, no matter how much of it, is no part of what is made."""
    tile = encoded(TILE, Making())
    made = jpeg.stream(jpeg.SOI, tile[:-2] + follows, jpeg.head_of(tile))
    assert made.rstrip(jpeg.EOI).endswith(tile[-20:-2].rstrip(b"\xff"))
    assert len(made) <= len(tile) + 1


def _progressive() -> bytes:
    file = io.BytesIO()
    Image.fromarray(TILE).save(file, "JPEG", progressive=True)
    return file.getvalue()


@pytest.mark.parametrize(
    "tile",
    [
        b"",
        jpeg.SOI,
        b"no JPEG at all",
        jpeg.SOI + b"\xff\xfe\0\x03a" * 100_000,
        encoded(TILE, Making())[:200],
        _progressive(),
        encoded(TILE, Making()).replace(b"\xff\xc0\0\x11\x08", b"\xff\xc0\0\x11\x0c"),
    ],
    ids=["empty", "only a beginning", "text", "comments", "cut", "progressive", "12 bits"],
)
def test_refused(tile: bytes) -> None:
    """What is no sequential JPEG of 8 bits is refused, soon."""
    with pytest.raises(DecodeError):
        jpeg.head_of(tile)
