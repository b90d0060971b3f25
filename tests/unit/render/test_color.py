"""Colour: what a profile describes arrives in sRGB as LittleCMS says, in any parting, alpha untouched."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image, ImageCms

from sidecar.plugin import Pixels
from sidecar.render.steps.color import ToSrgb
from sidecar.render.steps.step import Rows


def to_srgb(strip: Pixels, icc: bytes) -> Pixels:
    """Apply the step to all rows of a strip."""
    rows = Rows(0, len(strip))
    return ToSrgb(icc).apply(strip, rows, rows)


def noise(channels: int) -> Pixels:
    """A strip of every kind of value."""
    return np.random.default_rng(3).integers(0, 256, (40, 50, channels), np.uint8)


def profile(kind: str) -> bytes:
    """One of LittleCMS's own profiles."""
    return ImageCms.ImageCmsProfile(ImageCms.createProfile(kind)).tobytes()  # type: ignore[arg-type]  # a literal there


def exchanged() -> bytes:
    """A profile whose red and blue primaries are exchanged: no conversion goes unseen."""
    return profile("sRGB").replace(b"rXYZ", b"tmpX").replace(b"bXYZ", b"rXYZ").replace(b"tmpX", b"bXYZ")


def test_equals_littlecms_on_the_whole() -> None:
    """A strip of RGB is what ImageCms makes of it with the same intent, whatever rows it has."""
    strip = noise(3)
    icc = exchanged()
    reference = ImageCms.profileToProfile(
        Image.fromarray(strip),
        io.BytesIO(icc),
        ImageCms.createProfile("sRGB"),
        renderingIntent=ImageCms.Intent.PERCEPTUAL,  # what the profile's header says
    )
    whole = to_srgb(strip, icc)
    assert np.abs(whole.astype(int) - strip).mean() > 10
    assert np.array_equal(whole, np.asarray(reference))
    parts = np.concatenate([to_srgb(strip[:7], icc), to_srgb(strip[7:], icc)])
    assert np.array_equal(parts, whole)


def test_alpha_is_untouched() -> None:
    """The alpha channel of a strip passes through."""
    strip = noise(4)
    converted = to_srgb(strip, profile("sRGB"))
    assert np.array_equal(converted[..., 3], strip[..., 3])
    assert np.array_equal(converted[..., :3], to_srgb(strip[..., :3], profile("sRGB")))


@pytest.mark.parametrize("broken", [b"", b"no profile", profile("LAB"), exchanged()[:200]])
def test_unusable_profiles_are_ignored(broken: bytes) -> None:
    """Colours stay as they are if LittleCMS cannot convert them: opj_decompress leaves them alone, too."""
    strip = noise(3)
    assert np.array_equal(to_srgb(strip, broken), strip)
