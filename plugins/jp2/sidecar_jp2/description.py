"""The description of an opened image for the core, the same for all decoders of JPEG 2000."""

from __future__ import annotations

from collections.abc import Sequence

from sidecar.plugin import ImageInfo, Level, Size
from sidecar_jp2.color.channels import ColorModel, Space
from sidecar_jp2.format.geometry import Resolution
from sidecar_jp2.format.main_header import MainHeader

OBJECTS_BYTES = 8192
"""A reader's own objects: levels, channels, resolutions."""


def held_bytes(header: MainHeader, color: ColorModel) -> int:
    """Return the bytes that an opened image holds, beside a profile that its description has too."""
    return OBJECTS_BYTES + header.nbytes + (len(color.icc or b"") if color.space is Space.CMYK else 0)


def describe(
    finest: Resolution, levels: Sequence[Level], color: ColorModel, *, orientation: int, alpha_is_optional: bool
) -> ImageInfo:
    """Return what the core knows of an image; `levels` are its levels, of which `finest` is the first."""
    geometry = finest.geometry
    return ImageInfo(
        size=finest.size,
        channels=color.depth,
        levels=tuple(levels),
        tile=Size(geometry.tile_width, geometry.tile_height) if finest.tiled else None,
        icc=None if color.space is Space.CMYK else color.icc,
        orientation=orientation,
        alpha_is_optional=alpha_is_optional,
    )
