"""Region, size and rotation of a request measured against an image, as Cantaloupe does.

Deliberate differences:

- A `pct:` region that reaches beyond the image is cropped; Cantaloupe answers 500 to more than 100 percent.
- A `pct:` region is exact; Cantaloupe reads it as a 32 bit float in version 2 and may be a pixel off.
- A rotation of 360 is one of 0 in both versions; Cantaloupe answers 500 in version 2.
- `max` shrinks the region to `max_pixels`; Cantaloupe fits the region to the size that the whole image would get, and
  so enlarges small regions of large images.
- `^max` is the largest size within both `max_scale` and `max_pixels`; Cantaloupe answers 403 if the first exceeds
  the second, and fits to a square if only the second is set.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from fractions import Fraction
from typing import Final, TypeAlias

from sidecar.errors import BadRequest, Forbidden
from sidecar.iiif.parse import CARET_VERSION, Full, FullSize, Max, Parameters, Percent, Pixels, Region, Rotation, Square
from sidecar.iiif.sizes import Constraint, Extent, extent, half_up, scaled_size, settled
from sidecar.plugin import Rect, Size

_HALF: Final = Fraction(1, 2)
_ONE: Final = Fraction(1)
Number: TypeAlias = Fraction | int


@dataclass(frozen=True, slots=True)
class Orientation:
    """Mirrored left to right first, then turned clockwise by quarters."""

    mirror: bool = False
    quarter_turns: int = 0
    """0 to 3."""

    def then(self, after: Orientation) -> Orientation:
        """Return one orientation after the other, as one."""
        # Mirroring what was turned one way is turning what was mirrored the other way.
        turns = -self.quarter_turns if after.mirror else self.quarter_turns
        return Orientation(self.mirror != after.mirror, (turns + after.quarter_turns) % 4)

    def apply(self, size: Size) -> Size:
        """Return the size of a picture of `size` once oriented."""
        return size.turned if self.quarter_turns % 2 else size


@dataclass(frozen=True, slots=True)
class Geometry:
    """The region that is cut from the image, the size it is scaled to, and how that is oriented in the end."""

    region: Rect
    """In pixels of the image at full resolution, within it."""
    size: Size
    """Before orientation."""
    orientation: Orientation = Orientation()

    @property
    def answer(self) -> Size:
        """The size of the response."""
        return self.orientation.apply(self.size)


def measure(
    request: Parameters,
    image: Size,
    *,
    max_scale: float,
    max_pixels: int,
    sizes: Collection[Size] | None = None,
    constraint: Constraint = _ONE,
) -> Geometry:
    """Measure a request against an image.

    `image` is its size at full resolution, `constraint` that of the identifier, `sizes` are the only ones allowed if
    `restrict_to_sizes` is set. `max_scale` and `max_pixels` of 0 allow any.

    Raises BadRequest if the region lies outside or nothing would be left, and in version 3 for scales above the limit;
    Forbidden for the other limits.
    """
    region = _region(request.region, image, constraint)
    size = settled(request.size, region.size, max_scale, max_pixels, constraint)
    exact = extent(size, Extent.of(region.size))
    if min(exact) < _HALF:
        raise BadRequest("size: nothing would be left of the region")
    # Cantaloupe compares with the whole image: a small region may be enlarged. `max` is the region's own.
    whole = region.size if isinstance(request.size.form, Max | FullSize) else image
    scale = _scale(extent(size, Extent.of(whole)), whole)
    _check_constraint(scale, whole, constraint)
    if max_pixels and exact.area > max_pixels:
        raise Forbidden(f"size: more than {max_pixels} pixels are not available")
    _check_scale(request, scale, max_scale)
    geometry = Geometry(region, scaled_size(size, region), _orientation(request.rotation))
    if sizes is not None and geometry.answer not in sizes:
        raise Forbidden("size: only those listed in info.json are available")
    return geometry


def _region(region: Region, image: Size, constraint: Constraint) -> Rect:
    match region:
        case Full():
            return Rect(0, 0, image.width, image.height)
        case Square():
            side = Fraction(min(image.width, image.height))
            return _cut(image, (image.width - side) / 2, (image.height - side) / 2, side, side)
        case Pixels(x, y, width, height):
            edges = [half_up(edge) for edge in (x, y, width, height)]
            return _cut(image, *(edges if constraint == 1 else [edge / constraint for edge in edges]))
        case Percent(x, y, width, height):
            across, down = Fraction(image.width, 100), Fraction(image.height, 100)
            return _cut(image, x * across, y * down, width * across, height * down)


def _cut(image: Size, x: Number, y: Number, width: Number, height: Number) -> Rect:
    left, columns = _span(x, width, image.width)
    top, rows = _span(y, height, image.height)
    return Rect(left, top, columns, rows)


def _span(start: Number, length: Number, limit: int) -> tuple[int, int]:
    length = min(length, limit - start)
    if length < _HALF:
        raise BadRequest("region: it lies outside of the image or is empty")
    first = min(half_up(start), limit - 1)
    return first, min(half_up(length), limit - first)


def _orientation(rotation: Rotation) -> Orientation:
    return Orientation(rotation.mirror, int(rotation.degrees // 90) % 4)


def _scale(becomes: Extent, whole: Size) -> Fraction:
    """Return the scale in the direction in which it is larger."""
    return max(becomes.width / whole.width, becomes.height / whole.height)


def _check_constraint(scale: Fraction, whole: Size, constraint: Constraint) -> None:
    # A pixel more is let through, as the constrained size may have been rounded up.
    if constraint < 1 and scale - Fraction(1, min(whole.width, whole.height)) > constraint:
        raise Forbidden("size: it is larger than the identifier's scale constraint allows")


def _check_scale(request: Parameters, scale: Fraction, max_scale: float) -> None:
    if request.version >= CARET_VERSION and not request.size.upscale and scale > 1:
        raise BadRequest("size: sizes above that of the image begin with ^")
    # In doubles, as the setting is one: 110 percent is not above 1.1.
    if max_scale and float(scale) > max_scale:
        refusal = BadRequest if request.version >= CARET_VERSION else Forbidden
        raise refusal(f"size: scales above {max_scale:.0%} are not available")
