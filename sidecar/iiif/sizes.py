"""Widths and heights: exact rational arithmetic until the last rounding, which is half up as Java's `Math.round` is."""

from __future__ import annotations

from fractions import Fraction
from math import ceil, floor, isqrt
from typing import Final, NamedTuple, TypeAlias

from sidecar.iiif.parse import Confined, Exact, FullSize, Height, Max, Scaled, SizeSpec, Width
from sidecar.plugin import Rect, Size

_WHOLE: Final = Fraction(100)
# The decomposition levels that most JPEG 2000 files have, and that Cantaloupe assumes if it does not know.
_HALVINGS: Final = 5

Constraint: TypeAlias = Fraction
"""A scale constraint: above 0, and 1 for none."""
Scale: TypeAlias = Scaled | Width | Height | Confined | Exact
"""The sizes that determine by themselves how large a region becomes."""


class Extent(NamedTuple):
    """A width and height that need not be whole pixels."""

    width: Fraction
    height: Fraction

    @classmethod
    def of(cls, size: Size) -> Extent:
        """A size in whole pixels."""
        return cls(Fraction(size.width), Fraction(size.height))

    @property
    def area(self) -> Fraction:
        """In pixels."""
        return self.width * self.height

    @property
    def rounded(self) -> Size:
        """In whole pixels."""
        return self.reduced(1)

    def reduced(self, factor: int) -> Size:
        """Both sides divided by a factor, in whole pixels."""
        return Size(half_up(self.width, factor), half_up(self.height, factor))

    def scaled(self, scale: Fraction) -> Extent:
        """Both sides by a factor."""
        return self if scale == 1 else Extent(self.width * scale, self.height * scale)


def half_up(number: Fraction | int, divisor: int = 1) -> int:
    """Return the integer nearest to a quotient; the upper of two."""
    # In integers: each fraction in between would be brought to its lowest terms first.
    denominator = number.denominator * divisor
    return (2 * number.numerator + denominator) // (2 * denominator)


def constrained(image: Size, constraint: Constraint) -> Extent:
    """Return the size that an image pretends to have under a scale constraint."""
    return Extent.of(image).scaled(constraint)


def settled(size: SizeSpec, region: Size, max_scale: float, max_pixels: int, constraint: Constraint) -> Scale:
    """Return a size without what it depends on: `max` and `full` as numbers, percentages as those of the region."""
    match size.form:
        case Max():
            return _maximum(constrained(region, constraint), max_scale, max_pixels, constraint, upscale=size.upscale)
        case FullSize():
            return Scaled(_WHOLE * constraint)
        case Scaled(percent):
            return Scaled(percent * constraint)
        case form:
            return form


def _maximum(have: Extent, max_scale: float, max_pixels: int, constraint: Constraint, *, upscale: bool) -> Scale:
    scale = Fraction(str(max_scale)) if upscale and max_scale else Fraction(1)
    unbound = upscale and not max_scale
    if not max_pixels or (have.scaled(scale).area <= max_pixels and not unbound):
        return Scaled(_WHOLE * constraint * scale)
    # Rounded down on both sides, so that rounding up later cannot exceed the area; one pixel at least.
    width = max(1, min(max_pixels, isqrt(floor(max_pixels * have.width / have.height))))
    height = max(1, min(max_pixels // width, isqrt(floor(max_pixels * have.height / have.width))))
    return Confined(width, height)


def extent(scale: Scale, have: Extent) -> Extent:
    """Return how large something becomes, before rounding."""
    match scale:
        case Scaled(percent):
            return have.scaled(percent / 100)
        case Width(width):
            return have.scaled(width / have.width)
        case Height(height):
            return have.scaled(height / have.height)
        case Confined(width, height):
            return have.scaled(min(width / have.width, height / have.height))
        case Exact(width, height):
            return Extent(Fraction(width), Fraction(height))


def scaled_size(scale: Scale, region: Rect) -> Size:
    """Return how large a region becomes, in whole pixels.

    Cantaloupe keeps the ratio of what its OpenJpegProcessor decodes: the samples that a region has at the coarsest
    resolution still large enough, both edges rounded up (ITU-T T.800 B-14). That is a sample off the exact ratio at
    most, and makes tiles of the last row as high as viewers expect that ask for a width only.
    """
    ratio = extent(scale, Extent.of(region.size)).width / region.width
    halvings = 0 if isinstance(scale, Exact) else max(0, min(_HALVINGS, floor(1 / ratio).bit_length() - 1))
    step = 1 << halvings
    decoded = Extent(_samples(region.x, region.right, step), _samples(region.y, region.bottom, step))
    remaining = Scaled(scale.percent * step) if isinstance(scale, Scaled) else scale
    return extent(remaining, decoded).rounded


def _samples(start: int, stop: int, step: int) -> Fraction:
    return Fraction(max(1, ceil(stop / step) - ceil(start / step)))
