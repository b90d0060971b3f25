"""The window of a region: which bytes decoding it takes, with what the response hides left out."""

from __future__ import annotations

from typing import Any

from sidecar.plugin import ImageReader, Rect, SupportsTolerance, Tolerance, Window


def window_of(reader: ImageReader[Any], level: int, region: Rect, tolerance: Tolerance) -> Window:
    """Return the window of a region. Called in a greenlet, within `plugin_call`; raises as ImageReader.window."""
    window: Window
    if isinstance(reader, SupportsTolerance) and not tolerance.exact:
        window = reader.tolerant_window(level, region, tolerance=tolerance)
    else:
        window = reader.window(level, region)
    return window
