"""The PNG encoder under the contract that every encoder is held to."""

from __future__ import annotations

from sidecar_png import PngFactory, PngSettings

from sidecar.testing.contracts.encoder import EncoderContract


class TestPng(EncoderContract):
    """As it is set by default."""

    factory = PngFactory(PngSettings())
    largest_side = 2**31 - 1


class TestPngForDrawings(EncoderContract):
    """With zlib's own strategy."""

    factory = PngFactory(PngSettings(strategy="default", level=3))
    largest_side = 2**31 - 1
