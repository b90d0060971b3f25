"""The JPEG encoder under the contract that every encoder is held to."""

from __future__ import annotations

from sidecar_turbojpeg import JpegFactory, JpegSettings
from sidecar_turbojpeg.library import load, path_of
from sidecar_turbojpeg.progressive import load_progressive

from sidecar.plugin import Size
from sidecar.testing.contracts.encoder import EncoderContract


class TestJpeg(EncoderContract):
    """As it is set by default."""

    factory = JpegFactory(JpegSettings(), load())
    largest_side = 65500
    tolerance = 8


class TestJpegFullChroma(EncoderContract):
    """With no chroma subsampling, whose MCU is half as high."""

    factory = JpegFactory(JpegSettings(quality=95, subsampling="4:4:4"), load())
    largest_side = 65500
    tolerance = 5


class TestProgressiveJpeg(EncoderContract):
    """With all coefficients in memory, at the settings that take the most."""

    factory = JpegFactory(
        JpegSettings(quality=100, subsampling="4:4:4", progressive_pixels=2**22), load(), load_progressive(path_of(""))
    )
    largest_side = 65500
    tolerance = 5
    large = Size(2000, 1500)
