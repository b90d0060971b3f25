"""Windows read into arrays of their own, for tests and tools that have no band to read them into."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sidecar.interfaces import ImageReader
from sidecar.model import Buffer, Pixels, Window


def pixels_of(reader: ImageReader, window: Window, data: Sequence[Buffer]) -> Pixels:
    """The pixels of a window: (region.height, region.width, info.channels), C-contiguous. Raises as the reader does."""
    pixels = np.empty((window.region.height, window.region.width, reader.info.channels), np.uint8)
    reader.read(window, data, pixels)
    return pixels
