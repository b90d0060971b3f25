"""How large a pixel is, as a service that info.json names: IIIF, "Linking to External Services", Physical Dimensions.

Of units it knows millimetres, centimetres and inches, so a slide's micrometres become fractions of millimetres.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import Final

_CONTEXT: Final = "http://iiif.io/api/annex/services/physdim/1/context.json"
_PROFILE: Final = "http://iiif.io/api/annex/services/physdim"
_MICROMETRES: Final = 1000
"""In a millimetre."""
_NAMED: Final = 3
"""The version in which every service has an id and a type (Image API 3.0 §5.8)."""


def physical_scale(version: int, uri: str, pixel_micrometres: float, constraint: Fraction) -> Mapping[str, object]:
    """Return the service for an image; under a scale constraint its pixels are larger than the file's."""
    millimetres = pixel_micrometres / float(constraint) / _MICROMETRES
    return {
        "@context": _CONTEXT,
        **({"@id": f"{uri}#physdim", "@type": "Service"} if version >= _NAMED else {}),
        "profile": _PROFILE,
        # As many digits as a measurement may have, and none of what dividing makes.
        "physicalScale": float(f"{millimetres:.9g}"),
        "physicalUnits": "mm",
    }
