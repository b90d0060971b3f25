"""Settings of the whole-slide decoder."""

from __future__ import annotations

from typing import ClassVar, Final

from pydantic import Field as Setting

from sidecar.plugin import Names, Section

# What the formats of OpenSlide 4.0.1 are usually named, https://openslide.org/formats/
SUFFIXES: Final = (
    "avs",  # ARGOS
    "bif",  # Ventana
    "czi",  # Zeiss
    "dcm",  # DICOM
    "mrxs",  # MIRAX
    "ndpi",  # Hamamatsu
    "scn",  # Leica
    "svs",  # Aperio
    "svslide",  # Sakura
    "tif",  # Aperio, Huron, Trestle, Ventana, tiled pyramids of any kind
    "tiff",  # Philips, and the same
    "vms",  # Hamamatsu
    "vmu",  # Hamamatsu
)


class OpenSlideSettings(Section):
    """How slides are read."""

    table: ClassVar[str] = "openslide"

    cache_bytes: int = Setting(64 * 2**20, ge=0)
    """Bytes of decoded tiles that a worker keeps, of all its slides together."""
    max_tile_pixels: int = Setting(2**24, ge=2**16)
    """Pixels that a slide's own tiles may have; slides with larger ones are refused: a tile is decoded whole, however
    little of it is wanted, and does not fit into the cache."""
    suffixes: Names = SUFFIXES
    """Suffixes of files that may be slides; the content decides whether they are."""
