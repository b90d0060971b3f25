"""Encoder of the sidecar: lossy WebP through Pillow.

libwebp takes the whole picture at once. So the strips are kept, `finish` makes the file, and `memory` says what all of
that takes: the sidecar admits the response only if there is room for it, and answers 413 if there never will be.
"""

from __future__ import annotations

import io
from collections.abc import Iterable
from typing import ClassVar, Final

import numpy as np
from PIL import Image, features
from pydantic import Field as Setting

from sidecar.plugin import (
    Config,
    EncodeError,
    Encoder,
    EncoderFactory,
    Frame,
    Pixels,
    RowGuard,
    Section,
    StartError,
    hookimpl,
)

SIDECAR_API = 1

LARGEST_SIDE: Final = 16383
"""WEBP_MAX_DIMENSION (RFC 9649 §2.7.1.1)."""
_PIXEL_BYTES: Final = 20
"""The picture itself, Pillow's copy, libwebp's planes and coefficients, and the file; 4:2:0, RGBA, noise: measured."""
_FIXED_BYTES: Final = 1 << 20


class WebpSettings(Section):
    """How WebP files are made."""

    table: ClassVar[str] = "webp"

    quality: int = Setting(80, ge=0, le=100)
    """Quality from 0 to 100."""


class WebpEncoder:
    """One picture; an Encoder."""

    def __init__(self, frame: Frame, quality: int) -> None:
        self._frame = frame
        self._quality = quality
        self._rows = RowGuard(frame)
        # WebP has no grey: its pixels become RGB as they come.
        self._picture = np.empty((frame.size.height, frame.size.width, 3 + frame.alpha), np.uint8)

    def write(self, strip: Pixels) -> bytes:
        """Keep the rows. Raises EncodeError."""
        top = self._frame.size.height - self._rows.left
        pixels = self._rows.take(strip)
        place = self._picture[top : top + len(pixels)]
        colors = pixels.shape[2] - self._frame.alpha
        place[..., :3] = pixels[..., :colors]
        if self._frame.alpha:
            place[..., 3] = pixels[..., -1]
        return b""

    def finish(self) -> bytes:
        """Return the whole file. Raises EncodeError if rows are missing, or if libwebp fails."""
        self._rows.end()
        file = io.BytesIO()
        try:
            Image.fromarray(self._picture).save(
                file, "WEBP", quality=self._quality, method=2, icc_profile=self._frame.icc or b""
            )
        except (OSError, ValueError) as error:
            raise EncodeError(f"WebP: {error}") from error
        return file.getvalue()


class WebpFactory:
    """An EncoderFactory of `webp`."""

    format = "webp"
    media_type = "image/webp"
    alpha = True
    largest_side = LARGEST_SIDE

    def __init__(self, settings: WebpSettings) -> None:
        self._quality = settings.quality
        self.settings = f"quality={settings.quality} libwebp={features.version('webp')}"

    def rows(self, frame: Frame) -> int:
        """Return a strip height at which the bands of the source stay thin: the strips are kept anyway."""
        del frame
        return 64

    def memory(self, frame: Frame) -> int:
        """Count the whole picture, in every form in which it exists at once."""
        return _PIXEL_BYTES * frame.size.area + 3 * len(frame.icc or b"") + _FIXED_BYTES

    def start(self, frame: Frame) -> Encoder:
        """Begin a picture. Raises EncodeError if WebP cannot hold it."""
        if frame.channels not in (1, 2, 3, 4):
            raise EncodeError(f"WebP has no pictures of {frame.channels} channels")
        if max(frame.size.width, frame.size.height) > LARGEST_SIDE:
            raise EncodeError(f"WebP has no pictures of {frame.size}: the largest side is {LARGEST_SIDE}")
        return WebpEncoder(frame, self._quality)


@hookimpl
def register_settings() -> Iterable[type[Section]]:
    """Register the table `webp`."""
    return [WebpSettings]


@hookimpl
def register_encoders(config: Config) -> Iterable[EncoderFactory]:
    """Register the encoder of `webp`. Raises StartError if this Pillow has no libwebp."""
    if not features.check("webp"):
        raise StartError("webp: this Pillow was built without libwebp: pip install 'pillow>=11'")
    return [WebpFactory(config.section(WebpSettings))]
