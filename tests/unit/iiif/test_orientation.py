"""Orientation of metadata: what Pillow makes of it is the reference."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, ImageOps

from sidecar.iiif.geometry import Geometry, Orientation
from sidecar.iiif.orientation import as_stored, orientation_of
from sidecar.plugin import Rect, Size
from sidecar.render.steps.orient import orient

VALUES = range(1, 9)


def numbered(width: int, height: int) -> NDArray[np.uint8]:
    """Pixels that are all different."""
    return np.arange(width * height * 3, dtype=np.uint32).astype(np.uint8).reshape(height, width, 3)


def upright(pixels: NDArray[np.uint8], exif: int) -> NDArray[np.uint8]:
    """What Pillow shows of pixels with an EXIF orientation."""
    picture = Image.fromarray(pixels)
    picture.getexif()[274] = exif
    return np.asarray(ImageOps.exif_transpose(picture))


@pytest.mark.parametrize("exif", VALUES)
def test_each_value_shows_what_pillow_shows(exif: int) -> None:
    """The eight values turn and mirror pixels, and turn sizes, as Pillow's exif_transpose does."""
    stored = numbered(5, 3)
    shown = upright(stored, exif)
    assert np.array_equal(orient(stored, orientation_of(exif)), shown)
    assert orientation_of(exif).apply(Size(5, 3)) == Size(shown.shape[1], shown.shape[0])


@pytest.mark.parametrize("exif", [0, 9, -1, 1 << 31])
def test_undefined_values_change_nothing(exif: int) -> None:
    """What EXIF does not define is shown as it is stored."""
    assert orientation_of(exif) == Orientation()


@given(
    st.data(),
    st.sampled_from(VALUES),
    st.builds(Orientation, st.booleans(), st.integers(0, 3)),
)
def test_a_region_of_the_shown_is_cut_from_the_stored(data: st.DataObject, exif: int, asked: Orientation) -> None:
    """Cut from the stored pixels and turned once, a region equals the one cut from what is shown and turned then."""
    width, height = data.draw(st.integers(1, 9)), data.draw(st.integers(1, 9))
    stored = numbered(width, height)
    shown = upright(stored, exif)
    x, y = data.draw(st.integers(0, shown.shape[1] - 1)), data.draw(st.integers(0, shown.shape[0] - 1))
    region = Rect(x, y, data.draw(st.integers(1, shown.shape[1] - x)), data.draw(st.integers(1, shown.shape[0] - y)))
    geometry = Geometry(region, Size(7, 2), asked)
    found = as_stored(geometry, Size(width, height), orientation_of(exif))
    wanted = orient(shown[y : region.bottom, x : region.right], asked)
    cut = stored[found.region.y : found.region.bottom, found.region.x : found.region.right]
    assert np.array_equal(orient(cut, found.orientation), wanted)
    assert found.answer == geometry.answer
