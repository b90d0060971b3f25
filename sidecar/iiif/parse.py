"""The parameters of an image request: decoded path segments become one frozen value.

The grammar is that of the IIIF Image API 2.1 and 3.0 (section 4 of both), read strictly: numbers are ASCII digits with
at most one point, keywords are lower case. Cantaloupe reads some parts more loosely (`1e2`, `+5`, ` 5`, `DEFAULT.JPG`);
such requests are BadRequest here, so that Cantaloupe answers them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from fractions import Fraction
from typing import Final, TypeAlias

from sidecar.errors import BadRequest, NotFound, Unsupported, UnsupportedFormat


@dataclass(frozen=True, slots=True)
class Full:
    """The region `full`."""


@dataclass(frozen=True, slots=True)
class Square:
    """The region `square`: as large as fits, in the middle."""


@dataclass(frozen=True, slots=True)
class Pixels:
    """The region `x,y,w,h`."""

    x: Fraction
    y: Fraction
    width: Fraction
    height: Fraction


@dataclass(frozen=True, slots=True)
class Percent:
    """The region `pct:x,y,w,h`, in hundredths of the image."""

    x: Fraction
    y: Fraction
    width: Fraction
    height: Fraction


Region: TypeAlias = Full | Square | Pixels | Percent


@dataclass(frozen=True, slots=True)
class Max:
    """The size `max`: the largest there is."""


@dataclass(frozen=True, slots=True)
class FullSize:
    """The size `full`, of version 2 only: the region's pixels one to one."""


@dataclass(frozen=True, slots=True)
class Width:
    """The size `w,`."""

    width: int


@dataclass(frozen=True, slots=True)
class Height:
    """The size `,h`."""

    height: int


@dataclass(frozen=True, slots=True)
class Scaled:
    """The size `pct:n`, in hundredths of the region."""

    percent: Fraction


@dataclass(frozen=True, slots=True)
class Exact:
    """The size `w,h`: the ratio may change."""

    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Confined:
    """The size `!w,h`: as large as fits within, the ratio kept."""

    width: int
    height: int


SizeForm: TypeAlias = Max | FullSize | Width | Height | Scaled | Exact | Confined


@dataclass(frozen=True, slots=True)
class SizeSpec:
    """The size parameter."""

    form: SizeForm
    upscale: bool = False
    """Whether it begins with `^`; never in version 2."""


@dataclass(frozen=True, slots=True)
class Rotation:
    """Mirrored first, then turned clockwise."""

    degrees: float
    """0 to 360."""
    mirror: bool = False


@dataclass(frozen=True, slots=True)
class Parameters:
    """The image request parameters (Image API 3.0 §4), whatever the image."""

    version: int
    """Of the Image API: 2 or 3."""
    region: Region
    size: SizeSpec
    rotation: Rotation
    quality: str
    format: str


QUALITIES: Final = ("default", "color", "gray", "bitonal")
# What Cantaloupe writes from any source beside what encoders make here; it answers the rest with 415.
_CANTALOUPES_FORMATS: Final = frozenset({"jpg", "png", "tif", "gif"})

# Bounded, so that no text makes huge integers: 2**31 pixels have ten digits.
_INTEGER: Final = "([0-9]{1,10})"
_NUMBER: Final = r"([0-9]{1,10}(?:\.[0-9]{1,20})?)"

_REGION: Final = re.compile(f"(pct:)?{_NUMBER},{_NUMBER},{_NUMBER},{_NUMBER}")
_ROTATION: Final = re.compile(f"(!?){_NUMBER}")
_SIZES: Final[tuple[tuple[re.Pattern[str], Callable[..., SizeForm], Callable[[str], int | Fraction]], ...]] = (
    (re.compile(f"{_INTEGER},"), Width, int),
    (re.compile(f",{_INTEGER}"), Height, int),
    (re.compile(f"{_INTEGER},{_INTEGER}"), Exact, int),
    (re.compile(f"!{_INTEGER},{_INTEGER}"), Confined, int),
    (re.compile(f"pct:{_NUMBER}"), Scaled, Fraction),
)
_FULL_TURN: Final = 360
CARET_VERSION: Final = 3
"""The first version with `^`, and without the size `full`."""


def parse(
    version: int, region: str, size: str, rotation: str, quality_format: str, formats: Collection[str]
) -> Parameters:
    """Read the percent-decoded segments of an image request; `formats` are those that encoders make.

    Raises BadRequest naming the part that is wrong, NotFound if the last segment names no format (no such route in
    Cantaloupe), UnsupportedFormat if nobody writes it, Unsupported for legal requests that only Cantaloupe answers.
    """
    quality, dot, extension = quality_format.rpartition(".")
    if not (quality and dot and extension):
        raise NotFound(f"format: {_shown(quality_format)} is not of the form quality.format")
    request = Parameters(
        version=version,
        region=_region(region),
        size=_size(version, size),
        rotation=_rotation(rotation),
        quality=_quality(quality),
        format=extension,
    )
    _check_supported(request, formats)
    return request


def _region(text: str) -> Region:
    if text == "full":
        return Full()
    if text == "square":
        return Square()
    match = _REGION.fullmatch(text)
    if match is None:
        raise BadRequest(f"region: {_shown(text)} is none of full, square, x,y,w,h and pct:x,y,w,h")
    kind = Percent if match[1] else Pixels
    region = kind(*map(Fraction, match.groups()[1:]))
    if not (region.width and region.height):
        raise BadRequest(f"region: {_shown(text)} has no width or no height")
    return region


def _size(version: int, text: str) -> SizeSpec:
    carets = version >= CARET_VERSION
    upscale = carets and text.startswith("^")
    form = _size_form(text[1:] if upscale else text, full=not carets)
    if form is None:
        names = "max, ^max, w, and ,h and w,h and !w,h and pct:n" if carets else "full, max, w, and ,h and w,h and !w,h"
        raise BadRequest(f"size: {_shown(text)} is none of {names}")
    return SizeSpec(form, upscale)


def _size_form(text: str, *, full: bool) -> SizeForm | None:
    if text == "max":
        return Max()
    if full and text == "full":
        return FullSize()
    for pattern, kind, number in _SIZES:
        match = pattern.fullmatch(text)
        if match is not None:
            numbers = [number(group) for group in match.groups()]
            if not all(numbers):
                raise BadRequest(f"size: {_shown(text)} must be above 0")
            return kind(*numbers)
    return None


def _rotation(text: str) -> Rotation:
    match = _ROTATION.fullmatch(text)
    if match is None:
        raise BadRequest(f"rotation: {_shown(text)} is neither n nor !n, with n from 0 to 360 degrees")
    degrees = float(match[2])
    if degrees > _FULL_TURN:
        raise BadRequest(f"rotation: {_shown(text)} is above 360 degrees")
    return Rotation(degrees, mirror=bool(match[1]))


def _quality(text: str) -> str:
    if text not in QUALITIES:
        raise BadRequest(f"quality: {_shown(text)} is none of {', '.join(QUALITIES)}")
    return text


def _check_supported(request: Parameters, formats: Collection[str]) -> None:
    if request.format not in formats:
        if request.format in _CANTALOUPES_FORMATS:
            raise Unsupported(f"format: {request.format} is not written here")
        raise UnsupportedFormat(f"format: {_shown(request.format)} is none of {', '.join(sorted(formats))}")
    if request.rotation.degrees % 90:
        raise Unsupported(f"rotation: {request.rotation.degrees:g} is not a multiple of 90 degrees")


def _shown(text: str) -> str:
    """Return what can stand in a message of any text, control characters and lone surrogates included."""
    return ascii(text if len(text) <= 40 else text[:40] + "...")  # noqa: PLR2004  # long enough to recognise
