"""AVIF through libavif and libaom (AV1 Image File Format), in one thread a picture."""

from __future__ import annotations

from typing import Final

import PIL
from PIL import features

from sidecar.plugin import Encoder, Frame
from sidecar_pillow.picture import PictureEncoder, strip_rows
from sidecar_pillow.settings import AvifSettings

LARGEST_SIDE: Final = 32768
"""What decoders accept: AVIF_DEFAULT_IMAGE_DIMENSION_LIMIT of libavif, which browsers have; AV1 itself has 65536."""

_COLOURS: Final = 3
_PIXEL_BYTES: Final = 33
"""Pillow's picture and its bytes, libavif's planes and libaom's frames: measured for noise at quality 100."""
_ALPHA_BYTES: Final = 6
"""How many more with alpha, which is a picture of its own."""
_SLOW_SPEED, _SLOW_BYTES = 6, 22
"""How many more at this speed, at which libaom compares more ways to code a block."""
_BORDER: Final = 64
"""Pixels that a picture has more in libaom's frames, across and down, as was measured: they count if it is thin."""
_FIXED_BYTES: Final = 1 << 21


class AvifFactory:
    """Makes AVIF encoders; an EncoderFactory that needs whole pictures."""

    format = "avif"
    media_type = "image/avif"
    alpha = True
    largest_side = LARGEST_SIDE

    def __init__(self, settings: AvifSettings) -> None:
        self.largest_area = settings.max_pixels
        self._quality = settings.quality
        self._speed = settings.speed
        # libaom's version is known to Pillow alone.
        libraries = f"libavif={features.version('avif')} pillow={PIL.__version__}"
        self.settings = f"quality={settings.quality} speed={settings.speed} {libraries}"

    def rows(self, frame: Frame) -> int:
        """Return the height of strips that are kept."""
        return strip_rows(frame.size.width)

    def memory(self, frame: Frame) -> int:
        """Count the whole picture, in every form in which it exists at once."""
        pixel = _PIXEL_BYTES + _ALPHA_BYTES * frame.alpha + _SLOW_BYTES * (self._speed <= _SLOW_SPEED)
        area = (frame.size.width + _BORDER) * (frame.size.height + _BORDER)
        return pixel * area + 4 * len(frame.icc or b"") + _FIXED_BYTES

    def start(self, frame: Frame) -> Encoder:
        """Begin a picture of 1 to 4 channels. Raises EncodeError if it has others, or a side above 32768."""
        # Of several threads the processors are somebody else's: other responses have them.
        options = {
            "quality": self._quality,
            "speed": self._speed,
            "max_threads": 1,
            "subsampling": "4:2:0" if frame.channels >= _COLOURS else "4:0:0",
        }
        return PictureEncoder(frame, LARGEST_SIDE, "AVIF", options)
