"""Settings of the PNG encoder."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field as Setting

from sidecar.plugin import Section


class PngSettings(Section):
    """How PNG files are made; the pixels are the same with any."""

    table: ClassVar[str] = "png"

    strategy: Literal["rle", "default"] = "rle"
    """How zlib looks for repeats: `rle` in runs only, best for photographs and scans; `default` also far back, smaller
    for drawings and slower."""
    level: int = Setting(6, ge=0, le=9)
    """zlib's level: how long `default` looks for repeats. With `rle` 0 stores, and all others are the same."""
