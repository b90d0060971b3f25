"""The canonical path of a request, in the form of Cantaloupe's Link header.

Deliberate differences, since Cantaloupe is wrong there:

- Sizes keep the ratio of the region; Cantaloupe writes what they would be of the whole image.
- In version 2 a size is `w,h` if `w,` would give another height; Cantaloupe always writes `w,`.
- In version 3 a size has `^` if it is larger than the region; Cantaloupe compares with the whole image.
- Regions of a scale-constrained image are in its own pixels; Cantaloupe's are not if they were asked for by `pct:`.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Final

from sidecar.iiif.geometry import Geometry
from sidecar.iiif.parse import (
    CARET_VERSION,
    Exact,
    Full,
    FullSize,
    Max,
    Parameters,
    Percent,
    Pixels,
    Region,
    SizeForm,
    Square,
    Width,
)
from sidecar.iiif.sizes import Constraint, constrained, half_up, scaled_size
from sidecar.plugin import Rect

_ONE: Final = Fraction(1)


def canonical(request: Parameters, geometry: Geometry, constraint: Constraint = _ONE) -> str:
    """Return the canonical `region/size/rotation/quality.format` of a request, as in Cantaloupe's Link header."""
    return "/".join(
        (
            _region_text(request.region, geometry.region, constraint),
            _size_text(request, geometry, constraint),
            f"{'!' * request.rotation.mirror}{request.rotation.degrees:g}",
            f"{request.quality}.{request.format}",
        )
    )


def _region_text(region: Region, rect: Rect, constraint: Constraint) -> str:
    match region:
        case Full():
            return "full"
        case Square():
            return "square"
        case Pixels(x, y, width, height):
            edges = [x, y, width, height]
        case Percent():
            edges = [edge * constraint for edge in (rect.x, rect.y, rect.width, rect.height)]
    return ",".join(str(half_up(edge)) for edge in edges)


def _size_text(request: Parameters, geometry: Geometry, constraint: Constraint) -> str:
    size, form = geometry.size, request.size.form
    keyword = _keyword(form)
    if keyword:
        return "^" * request.size.upscale + keyword
    if request.version >= CARET_VERSION:
        full = constrained(geometry.region.size, constraint).rounded
        return "^" * (size.width > full.width or size.height > full.height) + f"{size.width},{size.height}"
    implied = not isinstance(form, Exact) and scaled_size(Width(size.width), geometry.region) == size
    return f"{size.width}," if implied else f"{size.width},{size.height}"


def _keyword(form: SizeForm) -> str:
    return "max" if isinstance(form, Max) else "full" if isinstance(form, FullSize) else ""
