"""Images that are shown turned: the orientations of EXIF, and requests in pixels as they are stored.

Clients know the image as it is shown: sizes, regions and tiles of requests and of info.json are the shown image's.
Readers know it as it is stored.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from sidecar.iiif.geometry import Geometry, Orientation
from sidecar.plugin import Rect, Size

_UPRIGHT: Final = Orientation()
# EXIF 2.32 §4.6.4, tag Orientation (TIFF 6.0 page 36): where row 0 and column 0 of what is stored are shown.
_EXIF: Final[Mapping[int, Orientation]] = MappingProxyType(
    {
        1: _UPRIGHT,
        2: Orientation(mirror=True),
        3: Orientation(quarter_turns=2),
        4: Orientation(mirror=True, quarter_turns=2),
        5: Orientation(mirror=True, quarter_turns=3),
        6: Orientation(quarter_turns=1),
        7: Orientation(mirror=True, quarter_turns=1),
        8: Orientation(quarter_turns=3),
    }
)
HEEDED: Final[Mapping[str, frozenset[int]]] = MappingProxyType(
    {"rotations": frozenset({1, 3, 6, 8}), "all": frozenset(_EXIF), "stored": frozenset({1})}
)
"""Which EXIF values turn an image, by the setting SIDECAR_ORIENTATION; others leave it as it is stored."""


def orientation_of(exif: int) -> Orientation:
    """Return what makes the shown image of the stored one; values that EXIF does not define change nothing."""
    return _EXIF.get(exif, _UPRIGHT)


def as_stored(geometry: Geometry, image: Size, by: Orientation) -> Geometry:
    """Return a geometry of the shown image as one of the stored image, whose size is `image`; the response is the same.

    `by` makes the shown image of the stored one.
    """
    region = stored_region(geometry.region, by.apply(image), by)
    return Geometry(region, by.apply(geometry.size), by.then(geometry.orientation))


def stored_region(region: Rect, shown: Size, by: Orientation) -> Rect:
    """Return where a region of the shown image, whose size is `shown`, lies in the stored one."""
    for _ in range(by.quarter_turns):  # back, against the clock
        region = Rect(region.y, shown.width - region.right, region.height, region.width)
        shown = shown.turned
    return Rect(shown.width - region.right, region.y, region.width, region.height) if by.mirror else region
