"""Settings of the encoders."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field as Setting

from sidecar.plugin import Section


class WebpSettings(Section):
    """How WebP files are made."""

    table: ClassVar[str] = "webp"

    quality: int = Setting(80, ge=0, le=100)
    """Quality from 0 to 100; 80 is as good as a JPEG of 80. Bitonal pictures are lossless with any."""
    max_pixels: int = Setting(15_000_000, ge=0)
    """The most pixels of a picture, which is encoded in one call that nothing stops; 0: WebP is not offered."""


class AvifSettings(Section):
    """How AVIF files are made."""

    table: ClassVar[str] = "avif"

    quality: int = Setting(65, ge=0, le=100)
    """Quality from 0 to 100; 65 is as good as a JPEG of 80."""
    speed: int = Setting(9, ge=6, le=9)
    """How little time is spent: 6 to 9. At 6 files are a sixth smaller than at 9, for ten times the time."""
    max_pixels: int = Setting(8_000_000, ge=0)
    """The most pixels of a picture, which is encoded in one call that nothing stops; 0: AVIF is not offered."""
