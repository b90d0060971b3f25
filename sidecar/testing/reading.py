"""Windows read into arrays of their own, for tests and tools that have no band to read them into."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

from sidecar.plugin import Blob, Buffer, ImageReader, Pixels, Rect, Window

W = TypeVar("W", bound=Window)


def pixels_of(reader: ImageReader[W], window: W, data: Sequence[Buffer]) -> Pixels:
    """Return the pixels of a window, shape (region.height, region.width, info.channels), C-contiguous.

    Raises what the reader raises.
    """
    pixels = np.empty((window.region.height, window.region.width, reader.info.channels), np.uint8)
    reader.read(window, data, pixels)
    return pixels


def fetched(blob: Blob, window: Window) -> Sequence[Buffer]:
    """Return the bytes of a window's ranges, as the core fetches them. Raises SourceError, SourceChanged."""
    return blob.read(window.ranges) if window.ranges else []


def read(reader: ImageReader[W], blob: Blob, level: int, region: Rect) -> Pixels:
    """Return the pixels of a region of a level, fetched as the core does. Raises what blob and reader raise."""
    window = reader.window(level, region)
    return pixels_of(reader, window, fetched(blob, window))
