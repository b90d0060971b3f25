"""Colours described by an ICC profile, converted to sRGB by LittleCMS (Pillow's ImageCms)."""

from __future__ import annotations

import io
from functools import lru_cache
from typing import Final

import numpy as np
from PIL import Image, ImageCms

from sidecar.errors import Unsupported
from sidecar.model import Pixels

_MODES: Final = {1: "L", 3: "RGB"}


def to_srgb(strip: Pixels, profile: bytes) -> Pixels:
    """The strip's grey or RGB in sRGB, relative to media white with black point compensation; alpha is kept.

    Grey stays grey: one channel in sRGB's tone curve. Raises Unsupported for profiles that LittleCMS cannot use.
    """
    channels = strip.shape[2]
    alpha = 1 - channels % 2
    picture = np.ascontiguousarray(strip[:, :, : channels - alpha])
    mode = _MODES[channels - alpha]
    source = Image.frombuffer(mode, (strip.shape[1], strip.shape[0]), picture, "raw", mode, 0, 1)
    converted = np.asarray(_apply(_transform(profile, mode), source)).reshape(*strip.shape[:2], -1)[
        :, :, : channels - alpha
    ]
    return np.concatenate([converted, strip[:, :, channels - alpha :]], axis=2) if alpha else converted


def _apply(transform: ImageCms.ImageCmsTransform, source: Image.Image) -> Image.Image:
    converted = ImageCms.applyTransform(source, transform)
    if converted is None:  # only where it was asked to work in place
        raise Unsupported("ICC profile: the colours cannot be converted")
    return converted


@lru_cache(maxsize=32)
def _transform(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform:
    # The profile says what the pixels are; the mode of the answer is RGB, whose channels are equal where grey went in.
    try:
        return ImageCms.buildTransform(
            ImageCms.ImageCmsProfile(io.BytesIO(profile)),
            ImageCms.createProfile("sRGB"),
            mode,
            "RGB",
            renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
            flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
        )
    except (ImageCms.PyCMSError, OSError) as error:
        raise Unsupported(f"ICC profile: {error}") from error
