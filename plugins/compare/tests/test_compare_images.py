"""The numbers and thumbnails of two images that differ."""

from __future__ import annotations

import base64
import io
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from PIL import Image
from sidecar_compare.errors import UnreadableImage
from sidecar_compare.images import ImagePair


def _png(pixels: NDArray[np.uint8]) -> bytes:
    data = io.BytesIO()
    Image.fromarray(pixels).save(data, "PNG")
    return data.getvalue()


def _decoded(uri: str) -> NDArray[np.uint8]:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.removeprefix("data:image/png;base64,")))))


PAIRS = st.tuples(st.integers(1, 600), st.integers(1, 9)).flatmap(
    lambda shape: st.tuples(*(arrays(np.uint8, (*shape, 3), elements=st.integers(0, 255)) for _ in range(2)))
)


@given(PAIRS)
@settings(max_examples=50, deadline=None, derandomize=True)
def test_the_numbers_are_those_of_their_definitions(pair: tuple[NDArray[np.uint8], NDArray[np.uint8]]) -> None:
    """Mean, maximum and PSNR from counts equal those computed from all samples in floating point."""
    distance = ImagePair(*map(_png, pair)).distance
    differences = np.abs(pair[0].astype(float) - pair[1])
    square = (differences**2).mean()
    assert distance is not None
    assert distance.mean == pytest.approx(differences.mean())
    assert distance.maximum == differences.max()
    assert distance.psnr == (pytest.approx(10 * math.log10(255**2 / square)) if square else math.inf)


def test_a_single_wrong_pixel_stays_visible() -> None:
    """The thumbnail takes the maximum of each block and amplifies it to the full range."""
    one = np.zeros((1500, 2000, 3), np.uint8)
    other = one.copy()
    other[1499, 1999] = (0, 5, 0)
    thumbnails = ImagePair(_png(one), _png(other)).thumbnails()
    difference = _decoded(thumbnails.difference)
    assert thumbnails.gain == 51
    assert max(difference.shape) <= 320
    assert difference[-1, -1] == 255
    assert np.count_nonzero(difference) == 1


@pytest.mark.parametrize("most", [300_000, 20_000, 4_000])
@pytest.mark.parametrize("size", [(512, 512), (700, 90), (333, 1000), (40, 30)])
def test_thumbnails_are_aligned_and_bounded(size: tuple[int, int], most: int) -> None:
    """All three have one size, in which a pixel stands for the same block, and together they are as small as wanted."""
    noise = np.random.default_rng(1).integers(0, 256, (*size[::-1], 3), np.uint8)
    other = noise.copy()
    other[-1, -1] ^= 0x80
    thumbnails = ImagePair(_png(noise), _png(other)).thumbnails(most)
    shapes = {_decoded(uri).shape[:2] for uri in (thumbnails.cantaloupe, thumbnails.sidecar, thumbnails.difference)}
    (shape,) = shapes
    assert max(shape) <= 320
    assert np.argwhere(_decoded(thumbnails.difference)).tolist() == [[side - 1 for side in shape]]
    assert thumbnails.size <= max(most, 12_000)


def test_an_image_equals_itself() -> None:
    """Equal images have a distance of 0, an infinite PSNR and a black difference."""
    pair = ImagePair(*[_png(np.full((4, 5, 3), 9, np.uint8))] * 2)
    assert pair.distance is not None
    assert (pair.distance.mean, pair.distance.maximum, pair.distance.psnr) == (0, 0, math.inf)
    assert not _decoded(pair.thumbnails().difference).any()


def test_grey_equals_the_same_grey_in_rgb() -> None:
    """A grey image and an RGB image with the same greys have a distance of 0."""
    grey = np.arange(20, dtype=np.uint8).reshape(4, 5)
    pair = ImagePair(_png(grey), _png(np.stack([grey] * 3, axis=2)))
    assert pair.distance is not None
    assert pair.distance.maximum == 0


def test_transparency_counts() -> None:
    """Pixels that differ only in alpha differ."""
    opaque = np.full((4, 5, 4), 255, np.uint8)
    clear = opaque.copy()
    clear[..., 3] = 0
    pair = ImagePair(_png(opaque), _png(clear))
    assert pair.distance is not None
    assert pair.distance.mean == pytest.approx(255 / 4)


def test_images_of_different_sizes_have_no_distance() -> None:
    """Images of different sizes have thumbnails, but no distance and no difference."""
    pair = ImagePair(_png(np.zeros((4, 5), np.uint8)), _png(np.zeros((5, 4), np.uint8)))
    assert pair.distance is None
    assert pair.sizes == ((5, 4), (4, 5))
    assert pair.thumbnails().difference == ""


@pytest.mark.parametrize("body", [b"", b"no image", _png(np.zeros((64, 64), np.uint8))[:60]])
def test_incomplete_and_foreign_bytes_are_unreadable(body: bytes) -> None:
    """An empty body, text and a truncated file raise UnreadableImage."""
    with pytest.raises(UnreadableImage):
        ImagePair(_png(np.zeros((4, 4), np.uint8)), body)
