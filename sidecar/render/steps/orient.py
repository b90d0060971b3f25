"""Mirroring and turning by quarters: views, no copies."""

from __future__ import annotations

import numpy as np

from sidecar.iiif.geometry import Orientation
from sidecar.plugin import Pixels


def orient(band: Pixels, orientation: Orientation) -> Pixels:
    """Return a view of a band, mirrored left to right first and then turned clockwise (Image API 3.0 §4.3)."""
    mirrored = band[:, ::-1] if orientation.mirror else band
    return np.rot90(mirrored, -orientation.quarter_turns)
