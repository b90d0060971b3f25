"""Colours described by an ICC profile, converted to sRGB by LittleCMS: the one way that core and plugins have."""

from __future__ import annotations

import io
from typing import Final, NamedTuple

from cachetools import LRUCache, cached
from cachetools.keys import hashkey
from PIL import Image, ImageCms

from sidecar.errors import Unsupported
from sidecar.plugin.threads import thread_lock

__all__ = ["shared_profile", "to_srgb"]

_SHARED_BYTES: Final = 16 * 2**20
"""Bytes of the profiles of which one copy is shared."""
_TRANSFORM_BYTES: Final = 16 * 2**20
"""Bytes of the transforms that are kept, their profiles included."""
_TABLES_BYTES: Final = 128 * 2**10
"""What a transform takes beside its profile."""


class _Transform(NamedTuple):
    convert: ImageCms.ImageCmsTransform
    nbytes: int


@cached(LRUCache(_SHARED_BYTES, getsizeof=len), lock=thread_lock())
def shared_profile(profile: bytes) -> bytes:
    """Return the one object that stands for all profiles of the same content, so that each is held once.

    The images of a collection have the same few profiles, of a kilobyte or of some megabytes. Profiles that have not
    been asked for lately are forgotten, and the next of that content stands for them. Safe in any thread.
    """
    return profile


def to_srgb(picture: Image.Image, profile: bytes) -> Image.Image:
    """Convert a picture of mode L, RGB or CMYK to sRGB, mode RGB; grey stays grey, in three equal channels.

    The rendering intent is the profile's own (ICC.1:2022 §7.2.15) and black points are left alone: what opj_decompress
    does, and so Cantaloupe. Safe in any thread. Raises Unsupported if LittleCMS cannot use the profile.
    """
    converted = ImageCms.applyTransform(picture, _transform(shared_profile(profile), picture.mode).convert)
    if converted is None:  # only if it was asked to work in place
        raise Unsupported("ICC profile: the colours cannot be converted")
    return converted


@cached(LRUCache(_TRANSFORM_BYTES, getsizeof=lambda found: found.nbytes), key=hashkey, lock=thread_lock())
def _transform(profile: bytes, mode: str) -> _Transform:
    try:
        opened = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        transform = ImageCms.buildTransform(
            opened,
            ImageCms.createProfile("sRGB"),
            mode,
            "RGB",
            renderingIntent=ImageCms.Intent(ImageCms.getDefaultIntent(opened)),
        )
    except (ImageCms.PyCMSError, OSError, ValueError) as error:
        raise Unsupported(f"ICC profile: {error}") from error
    return _Transform(transform, len(profile) + _TABLES_BYTES)
