"""Colours described by an ICC profile, converted to sRGB."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from sidecar.plugin import Pixels, Unsupported
from sidecar.plugin.color import to_srgb
from sidecar.render.steps.pillow import PIXEL_BYTES, picture, pixels
from sidecar.render.steps.step import Rows, Shape, Step


@dataclass(frozen=True, slots=True)
class ToSrgb(Step):
    """Grey or RGB in sRGB; alpha is kept, and grey stays one channel, in sRGB's tone curve."""

    profile: bytes = field(repr=False)

    def peak_bytes(self, before: Shape, after: Shape) -> int:
        """Count the colours in one piece, the picture before and after in Pillow, that as an array, and the output."""
        return before.pixels * (2 * 3 + 2 * PIXEL_BYTES) + after.nbytes

    def apply(self, strip: Pixels, have: Rows, wanted: Rows) -> Pixels:
        """Convert. If LittleCMS cannot use the profile, the colours stay as they are, as opj_decompress leaves them."""
        del have, wanted
        channels = strip.shape[2]
        colors = channels - 1 + channels % 2
        try:
            image = to_srgb(picture(strip[:, :, :colors]), self.profile)
        except Unsupported:
            return strip
        converted = pixels(image)[:, :, :colors]
        return converted if colors == channels else np.concatenate([converted, strip[:, :, colors:]], axis=2)
