"""The GIF encoder keeps the contract of encoders; so would not one that hides the picture it keeps."""

from __future__ import annotations

import io
from typing import ClassVar

import numpy as np
import pytest
from PIL import Image
from sidecar_gif import LARGEST_SIDE, GifFactory, GifSettings

from sidecar.plugin import EncoderFactory, Frame, Pixels, Size
from sidecar.testing.contracts.encoder import EncoderContract


class TestGif(EncoderContract):
    """Whole pictures of 256 colours."""

    factory: ClassVar[EncoderFactory] = GifFactory(GifSettings())
    largest_side = LARGEST_SIDE
    tolerance = 40
    greys = False
    keeps_icc = False
    large = Size(2000, 1500)

    def decode(self, file: bytes) -> Pixels:
        """Return the colours that the palette stands for."""
        with Image.open(io.BytesIO(file)) as image:
            return np.asarray(image.convert("RGB"))


class Hiding(GifFactory):
    """Declares the memory of a format that streams."""

    def memory(self, frame: Frame) -> int:
        """Return the bytes of two strips, though the whole picture is held."""
        return 2 * self.rows(frame) * frame.size.width * frame.channels


class Dishonest(EncoderContract):
    """Not collected by pytest: the test below runs one of its laws."""

    factory: ClassVar[EncoderFactory] = Hiding(GifSettings())
    largest_side = LARGEST_SIDE
    large = Size(2000, 1500)


def test_a_hidden_picture_is_caught() -> None:
    """An encoder that keeps the whole picture and declares two strips of it fails the contract."""
    with pytest.raises(AssertionError):
        Dishonest().test_resident_memory()
