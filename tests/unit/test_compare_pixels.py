"""How far apart two pictures are."""

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

from sidecar.compare.pixels import Couple, Unreadable


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
    distance = Couple(*map(_png, pair)).distance
    apart = np.abs(pair[0].astype(float) - pair[1])
    square = (apart**2).mean()
    assert distance is not None
    assert distance.mean == pytest.approx(apart.mean())
    assert distance.maximum == apart.max()
    assert distance.psnr == (pytest.approx(10 * math.log10(255**2 / square)) if square else math.inf)


def test_a_single_wrong_pixel_stays_visible() -> None:
    """The difference is made smaller by the greatest of each block and amplified to the full range."""
    one = np.zeros((1500, 2000, 3), np.uint8)
    other = one.copy()
    other[1499, 1999] = (0, 5, 0)
    pictures = Couple(_png(one), _png(other)).pictures()
    difference = _decoded(pictures.difference)
    assert pictures.gain == 51
    assert max(difference.shape) <= 320
    assert difference[-1, -1] == 255
    assert np.count_nonzero(difference) == 1


def test_a_picture_and_itself_are_not_apart() -> None:
    """Equal pictures have no difference at all, and can be shown all the same."""
    couple = Couple(*[_png(np.full((4, 5, 3), 9, np.uint8))] * 2)
    assert couple.distance is not None
    assert (couple.distance.mean, couple.distance.maximum, couple.distance.psnr) == (0, 0, math.inf)
    assert not _decoded(couple.pictures().difference).any()


def test_grey_equals_the_same_grey_in_colour() -> None:
    """How many channels the file has is not what is seen."""
    grey = np.arange(20, dtype=np.uint8).reshape(4, 5)
    couple = Couple(_png(grey), _png(np.stack([grey] * 3, axis=2)))
    assert couple.distance is not None
    assert couple.distance.maximum == 0


def test_transparency_counts() -> None:
    """Pixels that differ in alpha only are apart."""
    opaque = np.full((4, 5, 4), 255, np.uint8)
    clear = opaque.copy()
    clear[..., 3] = 0
    couple = Couple(_png(opaque), _png(clear))
    assert couple.distance is not None
    assert couple.distance.mean == pytest.approx(255 / 4)


def test_pictures_of_other_sizes_have_no_distance() -> None:
    """They are shown side by side, without a difference."""
    couple = Couple(_png(np.zeros((4, 5), np.uint8)), _png(np.zeros((5, 4), np.uint8)))
    assert couple.distance is None
    assert couple.sizes == ((5, 4), (4, 5))
    assert couple.pictures().difference == ""


@pytest.mark.parametrize("body", [b"", b"no picture", _png(np.zeros((64, 64), np.uint8))[:60]])
def test_what_is_no_whole_picture_is_unreadable(body: bytes) -> None:
    """Nothing, text and a truncated file are all told apart from pictures."""
    with pytest.raises(Unreadable):
        Couple(_png(np.zeros((4, 4), np.uint8)), body)
