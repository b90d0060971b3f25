"""The window of a region: which bytes decoding it takes, with what the response hides left out."""

from __future__ import annotations

from sidecar.plugin import Rect, Tolerance, Window
from sidecar.render.reader_cache import OpenImage


def window_of(image: OpenImage, level: int, region: Rect, tolerance: Tolerance) -> Window:
    """Return the window of a region. Called in a greenlet, within `plugin_call`; raises as ImageReader.window."""
    window: Window
    if image.tolerant and not tolerance.exact:
        window = image.tolerant.tolerant_window(level, region, tolerance=tolerance)
    else:
        window = image.reader.window(level, region)
    return window
