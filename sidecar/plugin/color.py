"""Colours described by an ICC profile, converted to sRGB by LittleCMS: the one way that core and plugins have."""

from __future__ import annotations

import io
from functools import lru_cache

from PIL import Image, ImageCms

from sidecar.errors import Unsupported

__all__ = ["to_srgb"]


def to_srgb(picture: Image.Image, profile: bytes) -> Image.Image:
    """Convert a picture of mode L, RGB or CMYK to sRGB, mode RGB; grey stays grey, in three equal channels.

    The rendering intent is the profile's own (ICC.1:2022 §7.2.15) and black points are left alone: what opj_decompress
    does, and so Cantaloupe. Safe in any thread. Raises Unsupported if LittleCMS cannot use the profile.
    """
    converted = ImageCms.applyTransform(picture, _transform(profile, picture.mode))
    if converted is None:  # only if it was asked to work in place
        raise Unsupported("ICC profile: the colours cannot be converted")
    return converted


@lru_cache(maxsize=32)
def _transform(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform:
    try:
        opened = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        return ImageCms.buildTransform(
            opened,
            ImageCms.createProfile("sRGB"),
            mode,
            "RGB",
            renderingIntent=ImageCms.Intent(ImageCms.getDefaultIntent(opened)),
        )
    except (ImageCms.PyCMSError, OSError, ValueError) as error:
        raise Unsupported(f"ICC profile: {error}") from error
