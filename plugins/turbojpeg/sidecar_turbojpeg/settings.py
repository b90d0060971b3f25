"""Settings of the JPEG encoder."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field as Setting

from sidecar.plugin import FromCantaloupe, Section


class JpegSettings(Section):
    """How JPEG files are made."""

    table: ClassVar[str] = "jpeg"

    quality: Annotated[int, FromCantaloupe("processor.jpg.quality", "whole", 80)] = Setting(80, ge=1, le=100)
    """Quality from 1 to 100, as `processor.jpg.quality`."""
    subsampling: Literal["4:2:0", "4:2:2", "4:4:4"] = "4:2:0"
    """Chroma subsampling of colour pictures."""
    progressive_pixels: int = Setting(0, ge=0, le=2**24)
    """Pictures of at most so many pixels are progressive: 5 % smaller, in eight times the time; 0: none."""
    library: str = ""
    """Path of the TurboJPEG library; empty: the system's."""
