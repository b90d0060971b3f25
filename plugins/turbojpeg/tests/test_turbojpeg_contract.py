"""The JPEG encoder under the contract that every encoder is held to."""

from __future__ import annotations

from sidecar_turbojpeg import JpegFactory, JpegSettings
from sidecar_turbojpeg.library import load

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
