"""Encoders that keep the contract pass it, those that keep whole pictures included."""

from __future__ import annotations

from typing import ClassVar

from sidecar.plugin import EncoderFactory, Size
from sidecar.testing.contracts.encoder import EncoderContract
from tests.unit.testing import encoders


class TestTiff(EncoderContract):
    """Lossless; it keeps the picture."""

    factory: ClassVar[EncoderFactory] = encoders.Tiff()
    largest_side = encoders.LARGEST_WEBP


class TestWebp(EncoderContract):
    """Lossy and without grey; it takes strips and keeps the picture."""

    factory: ClassVar[EncoderFactory] = encoders.Webp()
    largest_side = encoders.LARGEST_WEBP
    tolerance = 12
    greys = False
    large = Size(1600, 1200)


class TestWebpInOneStrip(TestWebp):
    """The same encoder, given the whole picture at once."""

    factory: ClassVar[EncoderFactory] = encoders.WebpInOneStrip()
