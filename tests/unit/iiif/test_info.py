"""info.json, and that what it declares is answered."""

from __future__ import annotations

from fractions import Fraction
from math import ceil
from typing import Any, cast

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from sidecar.iiif.geometry import Geometry, measure
from sidecar.iiif.info import Profile, information, max_area, scale_factors, sizes, tile_size
from sidecar.iiif.parse import parse
from sidecar.iiif.sizes import constrained
from sidecar.plugin import Size

LAW = settings(deadline=None, derandomize=True)
IMAGE = Size(2000, 1500)
HALF = Fraction(1, 2)
BOTH = (2, 3)


def written(version: int, image: Size, service: Profile, constraint: Fraction = Fraction(1)) -> dict[str, Any]:
    """The info.json of an untiled image."""
    return information(version, "http://x/iiif/a", image, None, service, constraint)


@pytest.mark.parametrize(
    "image,min_size,factors",
    [
        (IMAGE, 64, [1, 2, 4, 8, 16]),
        (IMAGE, 1500, [1]),
        (IMAGE, 750, [1, 2]),
        (IMAGE, 751, [1]),
        (Size(60, 40), 64, [1]),
        (Size(127, 5000), 64, [1]),
        (Size(128, 5000), 64, [1, 2]),
        (Size(1, 1), 1, [1]),
        (Size(4, 9), 1, [1, 2, 4]),
    ],
)
def test_scale_factors(image: Size, min_size: int, factors: list[int]) -> None:
    """Scale factors double as long as no side falls below the smallest."""
    assert scale_factors(image, min_size) == factors


@pytest.mark.parametrize(
    "service,widths",
    [
        (Profile(), [125, 250, 500, 1000, 2000]),
        (Profile(max_pixels=3_000_000), [125, 250, 500, 1000, 2000]),
        (Profile(max_pixels=2_999_999), [125, 250, 500, 1000]),
        (Profile(max_pixels=100_000), [125, 250]),
        (Profile(max_pixels=1), []),
        (Profile(max_scale=0.5), [125, 250, 500, 1000]),
        (Profile(max_scale=0.3), [125, 250, 500]),
        (Profile(max_scale=0), [125, 250, 500, 1000, 2000]),
        (Profile(max_scale=4, max_pixels=10**7), [125, 250, 500, 1000, 2000]),
        (Profile(min_size=512), [1000, 2000]),
    ],
)
def test_sizes(service: Profile, widths: list[int]) -> None:
    """The sizes are halves of halves, rounded half up, without those above the limits."""
    assert [size.width for size in sizes(IMAGE, service)] == widths


def test_a_size_that_rounding_makes_too_large_is_not_listed() -> None:
    """What is listed is the rounded size, so that is what must be within `max_pixels` and `max_scale`."""
    assert sizes(Size(201, 201), Profile(min_size=50, max_scale=0.5)) == [Size(50, 50)]
    assert sizes(Size(201, 201), Profile(min_size=50, max_pixels=10_101)) == [Size(50, 50)]


@pytest.mark.parametrize(
    "service,area,in_2",
    [
        (Profile(), 3_000_000, None),
        (Profile(max_pixels=10**7), 3_000_000, 3_000_000),
        (Profile(max_pixels=10**6), 10**6, 10**6),
        (Profile(max_scale=2, max_pixels=10**7), 6_000_000, 6_000_000),
        (Profile(max_scale=0, max_pixels=10**7), 10**7, 10**7),
        (Profile(max_scale=0), 0, None),
    ],
)
def test_max_area(service: Profile, area: int, in_2: int | None) -> None:
    """The largest area is the smaller of `max_pixels` and the image's times `max_scale`; absent if unlimited."""
    assert max_area(constrained(IMAGE, Fraction(1)), service) == area
    assert written(3, IMAGE, service).get("maxArea", 0) == area
    assert written(2, IMAGE, service)["profile"][1].get("maxArea") == in_2


@pytest.mark.parametrize(
    "image,tile,size",
    [
        (IMAGE, None, Size(512, 512)),
        (IMAGE, Size(2000, 1500), Size(512, 512)),
        (IMAGE, Size(2000, 16), Size(512, 512)),
        (Size(600, 400), None, Size(512, 400)),
        (IMAGE, Size(512, 512), Size(512, 512)),
        (IMAGE, Size(1024, 1024), Size(1024, 1024)),
        (IMAGE, Size(256, 256), Size(512, 512)),
        (IMAGE, Size(240, 240), Size(960, 960)),
        (IMAGE, Size(256, 512), Size(512, 1024)),
        (Size(1023, 767), Size(300, 200), Size(1023, 767)),
        (Size(1023, 767), Size(1024, 1024), Size(1023, 767)),
        (Size(300, 9000), Size(256, 256), Size(300, 512)),
    ],
)
def test_tiles(image: Size, tile: Size | None, size: Size) -> None:
    """The file's tiles, doubled until worth a request and limited to the image; squares where there are none."""
    assert tile_size(image, tile, 512) == size


def test_a_scale_constraint_makes_a_smaller_image() -> None:
    """An image with a constraint is described as one that is so much smaller, without upscaling."""
    found = written(3, Size(1001, 667), Profile(max_scale=2), HALF)
    assert (found["width"], found["height"]) == (501, 334)
    assert found["sizes"] == [
        {"width": 125, "height": 83},
        {"width": 250, "height": 167},
        {"width": 501, "height": 334},
    ]
    assert found["tiles"] == [{"width": 501, "height": 334, "scaleFactors": [1, 2, 4]}]
    assert "sizeUpscaling" not in found["extraFeatures"]


@pytest.mark.parametrize("max_scale,upscaling", [(1, False), (0.5, False), (1.1, True), (0, True)])
def test_upscaling_is_a_feature_where_it_is_allowed(max_scale: float, upscaling: bool) -> None:  # noqa: FBT001  # a parameter of the test
    """Each version has its own word for sizes above the image's."""
    service = Profile(max_scale=max_scale)
    assert ("sizeAboveFull" in written(2, IMAGE, service)["profile"][1]["supports"]) is upscaling
    assert ("sizeUpscaling" in written(3, IMAGE, service)["extraFeatures"]) is upscaling


def test_alone_it_promises_what_it_makes() -> None:
    """Without a Cantaloupe only the formats of the encoders and quarter turns are listed; level 2 takes PNG."""
    alone = Profile(formats=("jpg",), arbitrary_rotation=False)
    profile, details = written(2, IMAGE, alone)["profile"]
    assert profile == "http://iiif.io/api/image/2/level1.json"
    assert details["formats"] == ["jpg"]
    assert "rotationArbitrary" not in details["supports"]
    found = written(3, IMAGE, alone)
    assert (found["profile"], found["extraFormats"]) == ("level1", [])
    assert "rotationArbitrary" not in found["extraFeatures"]
    assert "rotationBy90s" in found["extraFeatures"]
    assert written(3, IMAGE, Profile(formats=("jpg", "png")))["profile"] == "level2"


SIDES = st.one_of(st.integers(1, 50), st.integers(1, 3000), st.integers(1, 200_000))
IMAGES = st.builds(Size, SIDES, SIDES)
TILES = st.one_of(st.none(), st.builds(Size, st.integers(1, 5000), st.integers(1, 5000)))
SERVICES = st.builds(
    Profile,
    max_scale=st.sampled_from([0, 0.3, 0.5, 1, 2.5]),
    max_pixels=st.sampled_from([0, 10_000, 10**7]),
    min_size=st.sampled_from([1, 64, 500]),
    min_tile_size=st.sampled_from([1, 256, 512, 1024]),
)
CONSTRAINTS = st.sampled_from([Fraction(1), HALF, Fraction(2, 3), Fraction(1, 7)])


def ask(version: int, region: str, size: str, image: Size, service: Profile, constraint: Fraction) -> Geometry:
    """What a client's request gives under the service's limits."""
    request = parse(version, region, size, "0", "default.jpg", ("jpg",))
    return measure(request, image, max_scale=service.max_scale, max_pixels=service.max_pixels, constraint=constraint)


@LAW
@given(st.sampled_from(BOTH), IMAGES, SERVICES, CONSTRAINTS)
def test_every_declared_size_is_answered(version: int, image: Size, service: Profile, constraint: Fraction) -> None:
    """A size that info.json lists is answered in that size, whatever the limits are."""
    assume(min(constrained(image, constraint)) >= 1)
    listed = sizes(image, service, constraint)
    for size in cast("list[dict[str, int]]", written(version, image, service, constraint)["sizes"]):
        found = ask(version, "full", f"{size['width']},{size['height']}", image, service, constraint)
        assert found.size == Size(**size)
        assert found.size in listed


@LAW
@given(st.sampled_from(BOTH), IMAGES, TILES, SERVICES, st.sampled_from([Fraction(1), HALF]), st.data())
def test_every_declared_tile_is_answered(
    version: int, image: Size, tile: Size | None, service: Profile, constraint: Fraction, data: st.DataObject
) -> None:
    """Any tile a viewer computes (IIIF Image API 3.0 section 5.4; OpenSeadragon's edges) has the size it computes.

    Limits far below a tile may refuse it; they are left out here. Asked for by width only, as OpenSeadragon does in
    version 2, tiles of the last row have the height that it computes.
    """
    service = Profile(min_size=service.min_size, min_tile_size=service.min_tile_size)
    found = information(version, "x", image, tile, service, constraint)
    declared = cast("list[dict[str, Any]]", found["tiles"])[0]
    factor = data.draw(st.sampled_from(declared["scaleFactors"]))
    step = Size(declared["width"] * factor, declared["height"] * factor)
    width, height = cast("int", found["width"]), cast("int", found["height"])
    x = step.width * data.draw(st.integers(0, (width - 1) // step.width))
    y = step.height * data.draw(st.integers(0, (height - 1) // step.height))
    region = Size(min(step.width, width - x), min(step.height, height - y))
    size = Size(ceil(region.width / factor), ceil(region.height / factor))
    asked = f"{size.width}," if version == 2 and data.draw(st.booleans()) else f"{size.width},{size.height}"
    answer = ask(version, f"{x},{y},{region.width},{region.height}", asked, image, service, constraint)
    assert answer.size.width == size.width
    whole_halvings = constraint == 1 and factor <= 32 and size.width == declared["width"]
    if not asked.endswith(",") or whole_halvings:
        assert answer.size == size
    assert answer.region.right <= image.width
    assert answer.region.bottom <= image.height
    if constraint == 1:
        assert answer.region.size == region
