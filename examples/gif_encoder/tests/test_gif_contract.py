"""The WebP encoder keeps the contract of encoders; so would not one that hides the picture it keeps."""

from __future__ import annotations

from typing import ClassVar

import pytest
from sidecar_webp import LARGEST_SIDE, WebpFactory, WebpSettings

from sidecar.plugin import EncoderFactory, Frame
from sidecar.testing.contracts.encoder import EncoderContract


class TestWebp(EncoderContract):
    """Whole pictures, grey as RGB."""

    factory: ClassVar[EncoderFactory] = WebpFactory(WebpSettings())
    largest_side = LARGEST_SIDE
    tolerance = 20
    greys = False


class Hiding(WebpFactory):
    """Declares the memory of a format that streams."""

    def memory(self, frame: Frame) -> int:
        """Count two strips."""
        return 2 * self.rows(frame) * frame.size.width * frame.channels


class Dishonest(EncoderContract):
    """Not collected by pytest: the test below runs one of its laws."""

    factory: ClassVar[EncoderFactory] = Hiding(WebpSettings())
    largest_side = LARGEST_SIDE


def test_a_hidden_picture_is_caught() -> None:
    """An encoder that keeps the whole picture and declares two strips of it fails the contract."""
    with pytest.raises(AssertionError):
        Dishonest().test_resident_memory()
