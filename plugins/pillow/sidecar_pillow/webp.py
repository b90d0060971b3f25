"""WebP through libwebp (RFC 9649): lossy, but for black and white, which is smaller without any loss."""

from __future__ import annotations

from typing import Final

from PIL import features

from sidecar.plugin import Encoder, Frame
from sidecar_pillow.picture import Options, PictureEncoder, strip_rows
from sidecar_pillow.settings import WebpSettings

LARGEST_SIDE: Final = 16383
"""WEBP_MAX_DIMENSION (RFC 9649 §2.7.1.1)."""

_METHOD: Final = 2
"""From 3 on libwebp keeps all coefficients: 25 to 36 bytes a pixel, and twice the time, for files 7 % smaller."""
_LOSSLESS: Final[Options] = {"lossless": True, "quality": 50, "method": _METHOD}
"""Of a lossless file, quality is effort."""
_PIXEL_BYTES: Final = 18
"""Pillow's picture, libwebp's copy of it, planes, and the file: 13.1 were measured, for noise at quality 80."""
_HIGH_QUALITY, _HIGH_BYTES = 90, 12
"""How many more above this quality: files of noise have up to 2.7 bytes a pixel, and 25.4 in all were measured."""
_ALPHA_BYTES: Final = 28
"""How many more with alpha, which is lossless: 45.5 in all were measured, for grey noise."""
_MACROBLOCK: Final = 16
_FIXED_BYTES: Final = 1 << 21


class WebpFactory:
    """Makes WebP encoders; an EncoderFactory that needs whole pictures."""

    format = "webp"
    media_type = "image/webp"
    alpha = True
    largest_side = LARGEST_SIDE

    def __init__(self, settings: WebpSettings) -> None:
        self.largest_area = settings.max_pixels
        self._pixel_bytes = _PIXEL_BYTES + _HIGH_BYTES * (settings.quality > _HIGH_QUALITY)
        self._lossy: Options = {"quality": settings.quality, "method": _METHOD}
        self.settings = f"quality={settings.quality} method={_METHOD} libwebp={features.version('webp')}"

    def rows(self, frame: Frame) -> int:
        """Return the height of strips that are kept."""
        return strip_rows(frame.size.width)

    def memory(self, frame: Frame) -> int:
        """Count the whole picture, in every form in which it exists at once."""
        pixel = self._pixel_bytes + _ALPHA_BYTES * frame.alpha
        width, height = (-(-side // _MACROBLOCK) * _MACROBLOCK for side in (frame.size.width, frame.size.height))
        return pixel * width * height + 4 * len(frame.icc or b"") + _FIXED_BYTES

    def start(self, frame: Frame) -> Encoder:
        """Begin a picture of 1 to 4 channels. Raises EncodeError if it has others, or a side above 16383."""
        options = _LOSSLESS if frame.bitonal and not frame.alpha else self._lossy
        return PictureEncoder(frame, LARGEST_SIDE, "WEBP", options)
