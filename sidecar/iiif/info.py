"""info.json: what is offered of an image, field by field and in the order in which Cantaloupe writes it.

Differences on purpose: sizes that `max_scale` would refuse are not listed; `maxArea` is given in version 2 too
if only `max_pixels` is set; a tile is as the file has it (Cantaloupe swaps sides that lie across the image's), and
none is made of the whole of an untiled image under a scale constraint; upscaling is among the features if
`max_scale` is 0, which allows it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import ceil, floor, inf
from typing import Final

from sidecar.iiif.sizes import Constraint, Extent, constrained
from sidecar.plugin import Size

# In the order of Cantaloupe's hash tables, so that answers compare equal.
_QUALITIES_2: Final = ("bitonal", "default", "gray", "color")
_FEATURES_2: Final = (
    "regionByPx",
    "sizeByW",
    "sizeByWhListed",
    "cors",
    "regionSquare",
    "sizeByDistortedWh",
    "canonicalLinkHeader",
    "sizeByConfinedWh",
    "sizeByPct",
    "jsonldMediaType",
    "regionByPct",
    "rotationArbitrary",
    "sizeByH",
    "baseUriRedirect",
    "rotationBy90s",
    "profileLinkHeader",
    "sizeByForcedWh",
    "sizeByWh",
    "mirroring",
    "sizeAboveFull",
)
_QUALITIES_3: Final = ("bitonal", "color", "gray")
_FEATURES_3: Final = (
    "baseUriRedirect",
    "canonicalLinkHeader",
    "cors",
    "jsonldMediaType",
    "mirroring",
    "profileLinkHeader",
    "regionByPct",
    "regionByPx",
    "regionSquare",
    "rotationArbitrary",
    "rotationBy90s",
    "sizeByConfinedWh",
    "sizeByH",
    "sizeByPct",
    "sizeByW",
    "sizeByWh",
    "sizeUpscaling",
)
_UPSCALING: Final = frozenset({"sizeAboveFull", "sizeUpscaling"})
_ONE: Final = Fraction(1)
_DETAILED_PROFILE: Final = 2
"""The version whose profile is a list with the details in it."""


@dataclass(frozen=True, slots=True)
class Profile:
    """What is offered of every image, as a IIIF profile describes it. A limit of 0 is none."""

    max_scale: float = 1.0
    max_pixels: int = 0
    min_size: int = 64
    min_tile_size: int = 512
    formats: Sequence[str] = ("jpg", "tif", "gif", "png")
    """The default is what Cantaloupe lists."""
    arbitrary_rotation: bool = True
    """Whether other angles than quarter turns are offered."""


def scale_factors(image: Size, min_size: int, constraint: Constraint = _ONE) -> list[int]:
    """Return 1, 2, 4 … as long as the smaller side stays at least `min_size`."""
    side, factors = floor(min(constrained(image, constraint))), [1]
    while side >= min_size * factors[-1] * 2:
        factors.append(factors[-1] * 2)
    return factors


def sizes(image: Size, profile: Profile, constraint: Constraint = _ONE) -> list[Size]:
    """Return the sizes worth asking for, smallest first: the image halved again and again, within the limits."""
    virtual = constrained(image, constraint)
    limit = max_area(virtual, profile)
    factors = reversed(scale_factors(image, profile.min_size, constraint))
    area = virtual.area
    within = [virtual.reduced(factor) for factor in factors if not limit or area <= limit * factor**2]
    return [size for size in within if _allowed(size, image, profile)]


def _allowed(size: Size, image: Size, profile: Profile) -> bool:
    """Report whether a size may be asked for: rounding may have led above a limit."""
    scale = max(size.width / image.width, size.height / image.height)
    return size.area <= (profile.max_pixels or inf) and scale <= (profile.max_scale or inf)


def max_area(virtual: Extent, profile: Profile) -> int:
    """Return the largest response in pixels; 0 for no limit."""
    limits = [Fraction(profile.max_pixels)] if profile.max_pixels else []
    if profile.max_scale:
        limits.append(virtual.area * Fraction(str(profile.max_scale)))
    return floor(min(limits, default=Fraction(0)))


def tile_size(image: Size, tile: Size | None, min_tile_size: int, constraint: Constraint = _ONE) -> Size:
    """Return the cheap tile: the file's own, doubled until it is worth a request; None and strips are untiled."""
    virtual = constrained(image, constraint)
    enough = Fraction(min_tile_size)
    least = Extent(min(virtual.width, enough), min(virtual.height, enough))
    if tile is None or tile.width == image.width:
        return Size(ceil(least.width), ceil(least.height))
    width, height = Fraction(tile.width), Fraction(tile.height)
    while width < least.width or height < least.height:
        width, height = width * 2, height * 2
    return Size(ceil(min(virtual.width, width)), ceil(min(virtual.height, height)))


def information(
    version: int,
    uri: str,
    image: Size,
    tile: Size | None,
    profile: Profile,
    constraint: Constraint = _ONE,
) -> dict[str, object]:
    """Return the object of info.json, for version 2 or 3; `uri` is the image's own, as the client knows it."""
    describe = _version_2 if version == _DETAILED_PROFILE else _version_3
    return describe(uri, _Image(image, tile, profile, constraint))


@dataclass(frozen=True, slots=True)
class _Image:
    size: Size
    tile: Size | None
    profile: Profile
    constraint: Constraint

    @property
    def virtual(self) -> Extent:
        return constrained(self.size, self.constraint)

    @property
    def dimensions(self) -> Mapping[str, int]:
        return _json(self.virtual.rounded)

    @property
    def sizes(self) -> list[Mapping[str, int]]:
        return [_json(size) for size in sizes(self.size, self.profile, self.constraint)]

    @property
    def tiles(self) -> list[Mapping[str, object]]:
        tile = tile_size(self.size, self.tile, self.profile.min_tile_size, self.constraint)
        return [{**_json(tile), "scaleFactors": scale_factors(self.size, self.profile.min_size, self.constraint)}]

    @property
    def max_area(self) -> Mapping[str, int]:
        area = max_area(self.virtual, self.profile)
        return {"maxArea": area} if area else {}

    @property
    def level(self) -> str:
        """IIIF Image API compliance, 2.1 section 5 and 3.0 section 5: level 2 includes PNG."""
        return "level2" if {"jpg", "png"} <= {*self.profile.formats} else "level1"

    def features(self, all_features: Sequence[str]) -> list[str]:
        upscaling = self.constraint == 1 and not 0 < self.profile.max_scale <= 1
        without = frozenset() if upscaling else _UPSCALING
        rotation = self.profile.arbitrary_rotation
        return [name for name in all_features if name not in without and (rotation or name != "rotationArbitrary")]


def _version_2(uri: str, image: _Image) -> dict[str, object]:
    details: dict[str, object] = {
        "formats": [*image.profile.formats],
        # Cantaloupe gives it in version 2 only if `max_pixels` is set.
        **(image.max_area if image.profile.max_pixels else {}),
        "qualities": [*_QUALITIES_2],
        "supports": image.features(_FEATURES_2),
    }
    return {
        "@context": "http://iiif.io/api/image/2/context.json",
        "@id": uri,
        "protocol": "http://iiif.io/api/image",
        **image.dimensions,
        "sizes": image.sizes,
        "tiles": image.tiles,
        "profile": [f"http://iiif.io/api/image/2/{image.level}.json", details],
    }


def _version_3(uri: str, image: _Image) -> dict[str, object]:
    return {
        "@context": "http://iiif.io/api/image/3/context.json",
        "id": uri,
        "type": "ImageService3",
        "protocol": "http://iiif.io/api/image",
        "profile": image.level,
        **image.dimensions,
        **image.max_area,
        "sizes": image.sizes,
        "tiles": image.tiles,
        "extraQualities": [*_QUALITIES_3],
        "extraFormats": [name for name in image.profile.formats if name not in ("jpg", "png")],
        "extraFeatures": image.features(_FEATURES_3),
    }


def _json(size: Size) -> Mapping[str, int]:
    return {"width": size.width, "height": size.height}
