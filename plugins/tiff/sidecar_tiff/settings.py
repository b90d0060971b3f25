"""Settings of the decoder."""

from __future__ import annotations

from typing import ClassVar, Final

from pydantic import Field as Setting

from sidecar.plugin import Names, Section

SUFFIXES: Final = ("svs", "tif", "tiff")


class TiffSettings(Section):
    """Which files are looked at."""

    table: ClassVar[str] = "tiff"

    suffixes: Names = Setting(SUFFIXES)
    """Suffixes of files that may be slides of JPEG or JPEG 2000 tiles; the content decides whether they are. None:
    nothing is read here, and OpenSlide answers for all slides."""
