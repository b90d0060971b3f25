"""Requests measured against images, and the canonical path."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from sidecar.errors import BadRequest, Forbidden
from sidecar.iiif.canonical import canonical
from sidecar.iiif.geometry import Geometry, Orientation, measure
from sidecar.iiif.parse import Parameters, Width, parse
from sidecar.iiif.sizes import scaled_size
from sidecar.plugin import Rect, SidecarError, Size

LAW = settings(deadline=None, derandomize=True)
IMAGE = Size(2000, 1500)
ODD = Size(1001, 667)
HALF = Fraction(1, 2)
BOTH = (2, 3)


def request(version: int, path: str) -> Parameters:
    """The request of `region/size[/rotation[/quality.format]]`."""
    parts = path.split("/")
    region, size, rotation, last = [*parts, *("full", "max", "0", "default.jpg")[len(parts) :]]
    return parse(version, region, size, rotation, last, ("jpg", "png"))


def geometry(
    version: int,
    path: str,
    image: Size = IMAGE,
    *,
    max_scale: float = 1,
    max_pixels: int = 0,
    sizes: tuple[Size, ...] | None = None,
    constraint: Fraction = Fraction(1),
) -> Geometry:
    """The geometry of a path, by default with the limits of Cantaloupe's sample configuration but for `max_pixels`."""
    asked = request(version, path)
    return measure(asked, image, max_scale=max_scale, max_pixels=max_pixels, sizes=sizes, constraint=constraint)


@pytest.mark.parametrize("version", BOTH)
@pytest.mark.parametrize(
    "region,image,rect",
    [
        ("full", IMAGE, Rect(0, 0, 2000, 1500)),
        ("square", IMAGE, Rect(250, 0, 1500, 1500)),
        ("square", Size(1500, 2000), Rect(0, 250, 1500, 1500)),
        ("square", ODD, Rect(167, 0, 667, 667)),
        ("square", Size(1, 9), Rect(0, 4, 1, 1)),
        ("square", Size(1, 10), Rect(0, 5, 1, 1)),
        ("10,20,30,40", IMAGE, Rect(10, 20, 30, 40)),
        ("10.5,20.4,30.5,40.49", IMAGE, Rect(11, 20, 31, 40)),
        ("1900,1400,512,512", IMAGE, Rect(1900, 1400, 100, 100)),
        ("1999,1499,1,1", IMAGE, Rect(1999, 1499, 1, 1)),
        ("0,0,9999999999,9999999999", IMAGE, Rect(0, 0, 2000, 1500)),
        ("pct:0,0,100,100", IMAGE, Rect(0, 0, 2000, 1500)),
        ("pct:10,10,30.5,20.25", IMAGE, Rect(200, 150, 610, 304)),
        ("pct:0,0,101,10", IMAGE, Rect(0, 0, 2000, 150)),
        ("pct:50,50,50,50", ODD, Rect(501, 334, 500, 333)),
        ("pct:99.95,99.95,1,1", Size(1000, 1000), Rect(999, 999, 1, 1)),
        ("pct:12.7,0,1,1", Size(500, 500), Rect(64, 0, 5, 5)),
    ],
)
def test_regions(version: int, region: str, image: Size, rect: Rect) -> None:
    """A region is cropped to the image, its edges rounded half up."""
    assert geometry(version, region, image).region == rect


@pytest.mark.parametrize("version", BOTH)
@pytest.mark.parametrize(
    "region", ["2000,0,10,10", "0,1500,10,10", "3000,0,10,10", "0,0,0.4,10", "pct:100,0,10,10", "pct:0,0,0.001,10"]
)
def test_regions_outside(version: int, region: str) -> None:
    """A region that holds no pixel of the image is 400."""
    with pytest.raises(BadRequest, match=r"^region: "):
        geometry(version, region)


@pytest.mark.parametrize("version", BOTH)
@pytest.mark.parametrize(
    "path,size",
    [
        ("full/max", Size(2000, 1500)),
        ("full/500,", Size(500, 375)),
        ("full/,500", Size(667, 500)),
        ("full/200,200", Size(200, 200)),
        ("full/!300,300", Size(300, 225)),
        ("full/!300,100", Size(133, 100)),
        ("full/!200,9999", Size(200, 150)),
        ("full/pct:50", Size(1000, 750)),
        ("full/pct:0.1", Size(2, 2)),
        ("full/pct:33.3333", Size(667, 500)),
        ("100,200,301,203/pct:50", Size(151, 102)),
        ("100,200,301,203/150,", Size(150, 101)),
        ("100,200,301,203/,77", Size(114, 77)),
        ("1900,1400,512,512/max", Size(100, 100)),
        ("0,0,100,100/200,", Size(200, 200)),
        ("0,0,1,1500/,100", Size(0, 100)),
        ("square/500,", Size(500, 500)),
        ("1,1,1,1/pct:50", Size(1, 1)),
    ],
)
def test_sizes(version: int, path: str, size: Size) -> None:
    """A size keeps the ratio of the region, rounded half up; nothing left is 400."""
    if size.area:
        assert geometry(version, path).size == size
    else:
        with pytest.raises(BadRequest, match=r"^size: "):
            geometry(version, path)


@pytest.mark.parametrize(
    "path,max_scale,in_2,in_3",
    [
        ("full/full", 1, Size(2000, 1500), None),
        ("full/2001,", 1, Forbidden, BadRequest),
        ("full/pct:101", 1, Forbidden, BadRequest),
        ("full/!3000,3000", 1, Forbidden, BadRequest),
        ("full/,1501", 1, Forbidden, BadRequest),
        ("full/100,1501", 1, Forbidden, BadRequest),
        ("full/2200,", 1.1, Size(2200, 1650), BadRequest),
        ("full/pct:110", 1.1, Size(2200, 1650), BadRequest),
        ("full/2201,", 1.1, Forbidden, BadRequest),
        ("full/pct:230", 2.3, Size(4600, 3450), BadRequest),
        ("full/9000,", 0, Size(9000, 6750), BadRequest),
        ("0,0,100,100/2000,", 1, Size(2000, 2000), Size(2000, 2000)),
        ("0,0,100,100/1500,", 1, Size(1500, 1500), Size(1500, 1500)),
        ("full/max", 0.5, Forbidden, BadRequest),
        ("full/1000,", 0.5, Size(1000, 750), Size(1000, 750)),
        ("full/1001,", 0.5, Forbidden, BadRequest),
        ("full/^max", 1, None, Size(2000, 1500)),
        ("full/^max", 1.5, None, Size(3000, 2250)),
        ("0,0,10,10/^max", 1.5, None, Size(15, 15)),
        ("full/^2001,", 1, None, BadRequest),
        ("full/^2001,", 1.5, None, Size(2001, 1501)),
        ("full/^pct:120", 1.5, None, Size(2400, 1800)),
        ("full/^!3000,3000", 1.5, None, Size(3000, 2250)),
        ("full/^200,", 1, None, Size(200, 150)),
        ("full/^max", 0, None, Size(2000, 1500)),
        ("full/^9000,", 0, None, Size(9000, 6750)),
    ],
)
def test_scales(
    path: str, max_scale: float, in_2: Size | type[SidecarError] | None, in_3: Size | type[SidecarError] | None
) -> None:
    """Scales are limited relative to the whole image: 403 in version 2, 400 in version 3, which also wants a caret."""
    for version, outcome in ((2, in_2), (3, in_3)):
        if isinstance(outcome, Size):
            assert geometry(version, path, max_scale=max_scale).size == outcome
        elif outcome is not None:
            with pytest.raises(SidecarError, match=r"^size: ") as caught:
                geometry(version, path, max_scale=max_scale)
            assert type(caught.value) is outcome


def test_a_small_region_is_not_wide_of_the_limit_by_height() -> None:
    """`w,` of a tall region is compared as it would be of the whole image, as Cantaloupe does."""
    assert geometry(3, "0,0,10,1500/20,").size == Size(20, 3000)


@pytest.mark.parametrize(
    "version,path,outcome",
    [
        (2, "full/full", Forbidden),
        (2, "full/1155,", Forbidden),
        (2, "full/1154,", Size(1154, 866)),
        (2, "full/max", Size(1154, 866)),
        (3, "full/max", Size(1154, 866)),
        (3, "full/1155,", Forbidden),
        (3, "full/1999,1", Size(1999, 1)),
        (2, "0,0,100,100/max", Size(100, 100)),
        (3, "0,0,2000,2/max", Size(2000, 2)),
        (3, "full/^max", Size(1154, 866)),
    ],
)
def test_max_pixels(version: int, path: str, outcome: Size | type[SidecarError]) -> None:
    """`max` is shrunk to the largest area, rounded down; whatever else exceeds it is 403."""
    if isinstance(outcome, Size):
        assert geometry(version, path, max_pixels=1_000_000).size == outcome
    else:
        with pytest.raises(outcome, match=r"^size: more than 1000000 pixels"):
            geometry(version, path, max_pixels=1_000_000)


@pytest.mark.parametrize("image", [Size(1, 4), Size(4, 1), Size(1, 1000), Size(3, 1000)])
@pytest.mark.parametrize("max_pixels", [1, 2, 10])
def test_max_of_a_line_is_within_the_largest_area_or_nothing(image: Size, max_pixels: int) -> None:
    """Rounding up the short side of a line never leads above the largest area."""
    try:
        size = geometry(3, "full/max", image, max_pixels=max_pixels).size
    except BadRequest:
        size = Size(0, 0)
    assert size.area <= max_pixels


def test_max_of_a_region_is_held_to_the_largest_scale() -> None:
    """A region within the largest area is refused at a scale above the limit."""
    assert geometry(2, "full/max", max_scale=0.5, max_pixels=270_000).size == Size(600, 450)
    with pytest.raises(Forbidden, match=r"^size: scales above 50%"):
        geometry(2, "0,0,10,10/max", max_scale=0.5, max_pixels=270_000)


def test_caret_max_fills_the_largest_area_where_scales_are_not_limited() -> None:
    """Version 3: `^max` enlarges up to the largest area, and up to the largest scale if there is one."""
    assert geometry(3, "0,0,100,50/^max", max_scale=0, max_pixels=20_000).size == Size(200, 100)
    assert geometry(3, "0,0,100,50/^max", max_scale=1.5, max_pixels=20_000).size == Size(150, 75)
    assert geometry(3, "full/^max", max_scale=2, max_pixels=3_100_000).size == Size(2032, 1524)


@pytest.mark.parametrize("version", BOTH)
def test_only_listed_sizes_where_restricted(version: int) -> None:
    """With `restrict_to_sizes` an answer has a listed size or is 403; turned as well, as in Cantaloupe."""
    listed = (Size(1000, 750), Size(2000, 1500))
    assert geometry(version, "full/1000,", sizes=listed).size == Size(1000, 750)
    for path in ("full/999,", "full/1000,/90", "0,0,512,512/512,"):
        with pytest.raises(Forbidden, match=r"^size: only those listed in info\.json"):
            geometry(version, path, sizes=listed)


@pytest.mark.parametrize("version", BOTH)
@pytest.mark.parametrize(
    "path,region,size",
    [
        ("full/max", Rect(0, 0, 2000, 1500), Size(1000, 750)),
        ("full/pct:50", Rect(0, 0, 2000, 1500), Size(500, 375)),
        ("full/200,", Rect(0, 0, 2000, 1500), Size(200, 150)),
        ("full/1000,750", Rect(0, 0, 2000, 1500), Size(1000, 750)),
        ("100,100,50,40/max", Rect(200, 200, 100, 80), Size(50, 40)),
        ("999,0,50,50/max", Rect(1998, 0, 2, 100), Size(1, 50)),
        ("0.5,0,10.5,10/max", Rect(2, 0, 22, 20), Size(11, 10)),
        ("pct:50,50,10,10/max", Rect(1000, 750, 200, 150), Size(100, 75)),
        ("square/max", Rect(250, 0, 1500, 1500), Size(750, 750)),
    ],
)
def test_scale_constraints(version: int, path: str, region: Rect, size: Size) -> None:
    """An image with a constraint of 1:2 is answered as if it were half as large."""
    found = geometry(version, path, constraint=HALF)
    assert (found.region, found.size) == (region, size)


@pytest.mark.parametrize("path", ["full/1100,", "full/pct:101", "full/1100,10", "full/^max"])
def test_nothing_above_the_scale_constraint(path: str) -> None:
    """Sizes above the constrained image are a 403, whatever `max_scale` is."""
    with pytest.raises(Forbidden, match="scale constraint"):
        geometry(3 if "^" in path else 2, path, constraint=HALF, max_scale=2)


ORIENTATIONS = st.builds(Orientation, st.booleans(), st.integers(0, 3))


@LAW
@given(ORIENTATIONS)
def test_four_turns_and_two_mirrors_are_none(orientation: Orientation) -> None:
    """Turning four times or mirroring twice makes the same picture again."""
    turned, mirrored = orientation, orientation
    for _ in range(4):
        turned = turned.then(Orientation(quarter_turns=1))
    for _ in range(2):
        mirrored = mirrored.then(Orientation(mirror=True))
    assert turned == mirrored == orientation


@LAW
@given(ORIENTATIONS, ORIENTATIONS)
def test_orientations_add_up_as_pictures_do(first: Orientation, second: Orientation) -> None:
    """Two orientations as one do to pixels what they do one after the other, and to sizes what they do to pixels."""
    picture = np.arange(6).reshape(2, 3)

    def orient(pixels: NDArray[np.int_], by: Orientation) -> NDArray[np.int_]:
        return np.rot90(pixels[:, ::-1] if by.mirror else pixels, -by.quarter_turns)

    both = orient(picture, first.then(second))
    assert np.array_equal(both, orient(orient(picture, first), second))
    size = first.then(second).apply(Size(3, 2))
    assert both.shape == (size.height, size.width)


@pytest.mark.parametrize(
    "rotation,orientation",
    [
        ("0", Orientation()),
        ("90", Orientation(quarter_turns=1)),
        ("180", Orientation(quarter_turns=2)),
        ("270.0", Orientation(quarter_turns=3)),
        ("360", Orientation()),
        ("!0", Orientation(mirror=True)),
        ("!90", Orientation(mirror=True, quarter_turns=1)),
    ],
)
def test_rotations(rotation: str, orientation: Orientation) -> None:
    """Degrees become quarter turns, and the answer's size turns with them."""
    found = geometry(2, f"full/200,/{rotation}")
    assert found.orientation == orientation
    assert found.answer == (Size(150, 200) if orientation.quarter_turns % 2 else Size(200, 150))


SIDES = st.one_of(st.integers(1, 40), st.integers(1, 300_000))
IMAGES = st.builds(Size, SIDES, SIDES)
VALUES = st.one_of(
    st.integers(0, 300_000).map(str),
    st.integers(0, 120).map(str),
    st.decimals(0, 120, places=3, allow_nan=False).map(lambda number: f"{number:f}"),
)
LENGTHS = st.one_of(st.integers(1, 300_000), st.integers(1, 2000)).map(str)
REGIONS = st.one_of(
    st.sampled_from(["full", "square"]),
    st.tuples(st.sampled_from(["", "pct:"]), VALUES, VALUES, VALUES, VALUES).map(
        lambda part: part[0] + ",".join(part[1:])
    ),
)
PLAIN_SIZES = st.one_of(
    st.just("max"),
    LENGTHS.map("{},".format),
    LENGTHS.map(",{}".format),
    st.tuples(st.sampled_from(["", "!"]), LENGTHS, LENGTHS).map(lambda part: f"{part[0]}{part[1]},{part[2]}"),
    VALUES.map("pct:{}".format),
)
PATHS = st.one_of(
    st.tuples(st.just(2), st.builds("{}/{}".format, REGIONS, st.one_of(st.just("full"), PLAIN_SIZES))),
    st.tuples(st.just(3), st.builds("{}/{}{}".format, REGIONS, st.sampled_from(["", "^"]), PLAIN_SIZES)),
)
CONSTRAINTS = st.one_of(st.just(Fraction(1)), st.builds(Fraction, st.integers(1, 5), st.integers(5, 9)))


@LAW
@given(PATHS, IMAGES, st.sampled_from([0, 0.5, 1, 1.1, 8]), st.sampled_from([0, 1, 999, 10**7]), CONSTRAINTS)
def test_regions_stay_inside_and_answers_are_never_empty(
    path: tuple[int, str], image: Size, max_scale: float, max_pixels: int, constraint: Fraction
) -> None:
    """Any request for any image is an error of ours, or a region within the image and at least one pixel."""
    try:
        found = geometry(*path, image, max_scale=max_scale, max_pixels=max_pixels, constraint=constraint)
    except (BadRequest, Forbidden):
        return
    region = found.region
    assert min(region.x, region.y) >= 0
    assert min(region.width, region.height, found.size.width, found.size.height) >= 1
    assert region.right <= image.width
    assert region.bottom <= image.height
    if path[1].endswith("max") and max_pixels:
        assert found.size.area <= max_pixels


@LAW
@given(PATHS, IMAGES, st.sampled_from(["0", "90", "!180", "360"]))
def test_the_canonical_path_asks_for_the_same_and_is_its_own_canonical(
    path: tuple[int, str], image: Size, rotation: str
) -> None:
    """The canonical path has the same geometry, and is its own canonical path."""
    version, text = path
    try:
        asked = request(version, f"{text}/{rotation}/color.png")
        found = measure(asked, image, max_scale=0, max_pixels=0)
    except BadRequest:
        assume(False)  # noqa: FBT003  # Hypothesis's own way to say that nothing can be learned here
    shortest = canonical(asked, found)
    again = request(version, shortest)
    assert measure(again, image, max_scale=0, max_pixels=0) == found
    assert canonical(again, found) == shortest


@LAW
@given(st.builds(Rect, SIDES, SIDES, SIDES, SIDES), st.integers(1, 5000))
def test_ratios_are_kept_within_a_sample(region: Rect, width: int) -> None:
    """A height differs from the exact ratio's by no more than a sample more or less of either side makes."""
    width = min(width, region.width)
    size = scaled_size(Width(width), region)
    assert size.width == width
    assert abs(size.height - Fraction(region.height * width, region.width)) <= 1 + Fraction(1, 2) + Fraction(
        region.height, region.width
    )


@pytest.mark.parametrize(
    "version,path,expected",
    [
        (2, "100,200,301,203/,77", "100,200,301,203/114,/0/default.jpg"),
        (2, "100,200,301,203/pct:50", "100,200,301,203/151,/0/default.jpg"),
        (2, "0,0,10,1000/,777", "0,0,10,1000/8,777/0/default.jpg"),
        (2, "full/200,150", "full/200,150/0/default.jpg"),
        (2, "full/full/!0.0", "full/full/!0/default.jpg"),
        (2, "pct:10,10,30.5,20.25/200,", "200,150,610,304/200,/0/default.jpg"),
        (2, "1900,1400,512,512/256,", "1900,1400,512,512/256,/0/default.jpg"),
        (3, "0,0,2000,100/400,", "0,0,2000,100/400,20/0/default.jpg"),
        (3, "0,0,100,100/200,", "0,0,100,100/^200,200/0/default.jpg"),
        (3, "full/^200,/270.00/gray.png", "full/200,150/270/gray.png"),
        (3, "0,0,100,100/50,200", "0,0,100,100/^50,200/0/default.jpg"),
        (3, "full/^max", "full/^max/0/default.jpg"),
    ],
)
def test_canonical(version: int, path: str, expected: str) -> None:
    """The canonical path is Cantaloupe's in form, with sizes in the ratio of the region."""
    assert canonical(request(version, path), geometry(version, path)) == expected


def test_canonical_under_a_scale_constraint() -> None:
    """Regions of an image that pretends to be smaller are in the pixels that it pretends to have."""
    path = "pct:10,10,50,50/max"
    found = geometry(3, path, constraint=HALF)
    assert canonical(request(3, path), found, HALF) == "100,75,500,375/max/0/default.jpg"
    path = "0,0,100,100/pct:100"
    assert canonical(request(3, path), geometry(3, path, constraint=HALF), HALF) == "0,0,100,100/100,100/0/default.jpg"
