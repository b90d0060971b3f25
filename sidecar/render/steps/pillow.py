"""Between NumPy's arrays and Pillow's images."""

from __future__ import annotations

from typing import Final

import numpy as np
from PIL import Image

from sidecar.plugin import Pixels

PIXEL_BYTES: Final = 4
"""Bytes that a pixel takes in Pillow, whatever its channels."""
_MODES: Final = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}
_PREMULTIPLIED: Final = {2: "La", 4: "RGBa"}


def picture(strip: Pixels) -> Image.Image:
    """Return a strip as an image of Pillow's."""
    height, width, channels = strip.shape
    whole = np.ascontiguousarray(strip)
    return Image.frombuffer(_MODES[channels], (width, height), whole, "raw", _MODES[channels], 0, 1)


def pixels(image: Image.Image) -> Pixels:
    """Return an image of Pillow's as pixels."""
    array = np.asarray(image)
    return array.reshape(*array.shape[:2], -1)


def premultiplied(strip: Pixels) -> Pixels:
    """Return pixels with alpha, their colours multiplied by it."""
    return pixels(picture(strip).convert(_PREMULTIPLIED[strip.shape[2]]))


def unpremultiplied(strip: Pixels) -> Pixels:
    """Return premultiplied pixels, their colours divided by alpha."""
    height, width, channels = strip.shape
    mode = _PREMULTIPLIED[channels]
    whole = np.ascontiguousarray(strip)
    return pixels(Image.frombuffer(mode, (width, height), whole, "raw", mode, 0, 1).convert(_MODES[channels]))
