"""Between NumPy's arrays and Pillow's images."""

from __future__ import annotations

from typing import Final

import numpy as np
from PIL import Image

from sidecar.plugin import Pixels

PIXEL_BYTES: Final = 4
"""Bytes that a pixel takes in Pillow, whatever its channels."""
_MODES: Final = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}


def picture(strip: Pixels) -> Image.Image:
    """Return a strip as an image of Pillow's."""
    height, width, channels = strip.shape
    whole = np.ascontiguousarray(strip)
    return Image.frombuffer(_MODES[channels], (width, height), whole, "raw", _MODES[channels], 0, 1)


def pixels(image: Image.Image) -> Pixels:
    """Return an image of Pillow's as pixels."""
    array = np.asarray(image)
    return array.reshape(*array.shape[:2], -1)
