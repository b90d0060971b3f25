"""Progressive JPEG: the pixels of the baseline file, in scans that each show the whole picture."""

from __future__ import annotations

import io

import numpy as np
import pytest
import sidecar_turbojpeg
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from sidecar_turbojpeg import JpegFactory, JpegSettings
from sidecar_turbojpeg.library import load, path_of
from sidecar_turbojpeg.progressive import load_progressive

from sidecar.plugin import Config, EncodeError, EncoderFactory, Frame, Pixels, Size, StartError, run_inline
from sidecar.registry import Plugins
from sidecar.testing.contracts.encoder import encode

COMPRESS = load()
REWRITE = load_progressive(path_of(""))
MOST = 100_000


def factory(**chosen: object) -> JpegFactory:
    """An encoder that makes pictures of up to 100,000 pixels progressive."""
    return JpegFactory(JpegSettings.model_validate({"progressive_pixels": MOST, **chosen}), COMPRESS, REWRITE)


def picture(size: Size, channels: int, seed: int = 0) -> Pixels:
    """Patches of noise on waves."""
    y, x = np.ogrid[: size.height, : size.width]
    waves = 120 + 60 * np.sin(x / 40 + y / 90)
    noise = np.random.default_rng(seed).normal(0, 9, (size.height, size.width, channels))
    return np.asarray(np.clip(waves[:, :, np.newaxis] + noise, 0, 255).astype(np.uint8))


def made(by: EncoderFactory, pixels: Pixels, icc: bytes | None = None) -> bytes:
    """The file of a picture."""
    height, width, channels = pixels.shape
    return encode(by, Frame(size=Size(width, height), channels=channels, icc=icc), pixels)


@given(
    width=st.integers(1, 400),
    height=st.integers(1, 250),
    channels=st.sampled_from([1, 3]),
    quality=st.integers(1, 100),
    subsampling=st.sampled_from(["4:2:0", "4:2:2", "4:4:4"]),
)
@settings(max_examples=40, deadline=None, derandomize=True, database=None)
def test_the_same_pixels(width: int, height: int, channels: int, quality: int, subsampling: str) -> None:
    """Whatever the size, the quality and the subsampling, Pillow decodes the pixels of the baseline file."""
    pixels = picture(Size(width, height), channels)
    files = [
        made(factory(quality=quality, subsampling=subsampling, progressive_pixels=most), pixels) for most in (MOST, 0)
    ]
    progressive, baseline = (Image.open(io.BytesIO(file)) for file in files)
    assert (progressive.info.get("progressive"), baseline.info.get("progressive")) == (1, None)
    assert np.array_equal(np.asarray(progressive), np.asarray(baseline))


def test_smaller() -> None:
    """A tile has fewer bytes, and no restart markers."""
    pixels = picture(Size(300, 300), 3)
    progressive, baseline = made(factory(), pixels), made(factory(progressive_pixels=0), pixels)
    assert len(progressive) < len(baseline)
    assert b"\xff\xd0" not in progressive


def test_larger_pictures_are_streamed() -> None:
    """A picture of one row more than the setting allows is the baseline file, made in strips."""
    assert b"\xff\xc2" in made(factory(), picture(Size(400, 250), 3))  # SOF2
    pixels = picture(Size(400, 251), 3)
    assert made(factory(), pixels) == made(factory(progressive_pixels=0), pixels)


def test_profile() -> None:
    """The ICC profile stands after the segment of JFIF; without it the file is the same."""
    pixels = picture(Size(40, 40), 3)
    segment = b"\xff\xe2\x00\x17ICC_PROFILE\0\x01\x01profile"
    described = made(factory(), pixels, b"profile")
    assert described.index(segment) == 20
    assert described.replace(segment, b"", 1) == made(factory(), pixels)


def test_a_file_that_is_none() -> None:
    """What libjpeg-turbo cannot read arrives as EncodeError with its text."""
    with pytest.raises(EncodeError, match="libjpeg-turbo: "):
        REWRITE(b"no JPEG")


@pytest.mark.parametrize("path", ["/nowhere/libturbojpeg.so.0", "libm.so.6"])
def test_a_library_that_cannot(path: str) -> None:
    """A library without the function ends the start with what to set."""
    with pytest.raises(StartError, match="SIDECAR_JPEG_PROGRESSIVE_PIXELS=0"):
        load_progressive(path)


def test_the_etag_depends_on_it() -> None:
    """The plugin's settings name it, if it is set."""
    names = []
    for most in (0, 262_144):
        config = Config.of(JpegSettings(progressive_pixels=most))
        names.append(Plugins([sidecar_turbojpeg], installed=False).load(config, run_inline).encoders["jpg"].settings)
    assert names[1] == f"{names[0]} progressive=262144"
