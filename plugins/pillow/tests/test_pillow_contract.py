"""The WebP and AVIF encoders under the contract that every encoder is held to."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image
from sidecar_pillow import AvifFactory, AvifSettings, WebpFactory, WebpSettings
from sidecar_pillow.avif import LARGEST_SIDE as LARGEST_AVIF
from sidecar_pillow.webp import LARGEST_SIDE as LARGEST_WEBP

from sidecar.plugin import Pixels, Size
from sidecar.testing.contracts.encoder import EncoderContract


class TestWebp(EncoderContract):
    """As it is set by default; WebP has no grey."""

    factory = WebpFactory(WebpSettings())
    largest_side = LARGEST_WEBP
    tolerance = 12
    greys = False


class TestBestWebp(EncoderContract):
    """At the quality that takes the most memory."""

    factory = WebpFactory(WebpSettings(quality=100))
    largest_side = LARGEST_WEBP
    tolerance = 6
    greys = False
    large = Size(2000, 1500)


class TestAvif(EncoderContract):
    """As it is set by default; whether grey comes back as one channel depends on the version of Pillow."""

    factory = AvifFactory(AvifSettings())
    largest_side = LARGEST_AVIF
    tolerance = 12
    greys = False
    large = Size(2000, 1500)

    def decode(self, file: bytes) -> Pixels:
        """Return three channels or four."""
        with Image.open(io.BytesIO(file)) as image:
            return np.asarray(image.convert("RGBA" if image.mode.endswith("A") else "RGB"))
