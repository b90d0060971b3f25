"""The grammar of image requests."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sidecar.errors import BadRequest, NotFound, UnsupportedFormat
from sidecar.iiif.parse import (
    Confined,
    Exact,
    Full,
    FullSize,
    Height,
    Max,
    Parameters,
    Percent,
    Pixels,
    Region,
    Rotation,
    Scaled,
    SizeSpec,
    Square,
    Width,
    parse,
)
from sidecar.plugin import SidecarError, Unsupported

LAW = settings(deadline=None, derandomize=True)
CORPUS = Path(__file__).parents[2] / "data" / "iiif_paths.json"
FORMATS = ("jpg", "png")
BOTH = (2, 3)


def numbers(*values: str) -> tuple[Fraction, Fraction, Fraction, Fraction]:
    """Four numbers of a region."""
    x, y, width, height = map(Fraction, values)
    return x, y, width, height


REGIONS: list[tuple[str, Region]] = [
    ("full", Full()),
    ("square", Square()),
    ("0,0,1,1", Pixels(*numbers("0", "0", "1", "1"))),
    ("10,20,300,400", Pixels(*numbers("10", "20", "300", "400"))),
    ("1.5,2.25,3,4.0", Pixels(*numbers("3/2", "9/4", "3", "4"))),
    ("007,0,1,1", Pixels(*numbers("7", "0", "1", "1"))),
    ("9999999999,0,9999999999,1", Pixels(*numbers("9999999999", "0", "9999999999", "1"))),
    ("pct:0,0,100,100", Percent(*numbers("0", "0", "100", "100"))),
    ("pct:41.6,7.5,40,70", Percent(*numbers("41.6", "7.5", "40", "70"))),
    ("pct:0,0,101,10", Percent(*numbers("0", "0", "101", "10"))),
]

NO_REGIONS = (
    "",
    "Full",
    "full ",
    "full\n",
    "squares",
    "0,0,10",
    "0,0,10,10,",
    "0,0,10,10,10",
    ",,,",
    "-1,0,10,10",
    "+1,0,10,10",
    "0, 0,10,10",
    "0,0,0,10",
    "0,0,10,0",
    "0,0,10,0.0",
    ".5,0,1,1",
    "5.,0,1,1",
    "1e2,0,1,1",
    "0x10,0,1,1",
    "1_0,0,1,1",
    "1f,0,1,1",
    "NaN,0,1,1",
    "Infinity,0,1,1",
    "\u0663,0,1,1",
    "\uff11,0,1,1",
    "0,0,10,1\n",
    "0,0,10,1" + "0" * 5000,
    "0.1" + "0" * 5000 + ",0,10,1",
    "pct:",
    "pct:a,0,10,10",
    "pct:0,0,0,10",
    "PCT:0,0,10,10",
    "pct:pct:0,0,10,10",
)

SIZES: list[tuple[tuple[int, ...], str, SizeSpec]] = [
    (BOTH, "max", SizeSpec(Max())),
    ((2,), "full", SizeSpec(FullSize())),
    (BOTH, "200,", SizeSpec(Width(200))),
    (BOTH, ",150", SizeSpec(Height(150))),
    (BOTH, "200,150", SizeSpec(Exact(200, 150))),
    (BOTH, "!200,150", SizeSpec(Confined(200, 150))),
    (BOTH, "pct:50", SizeSpec(Scaled(Fraction(50)))),
    (BOTH, "pct:0.1", SizeSpec(Scaled(Fraction(1, 10)))),
    ((3,), "^max", SizeSpec(Max(), upscale=True)),
    ((3,), "^200,", SizeSpec(Width(200), upscale=True)),
    ((3,), "^,150", SizeSpec(Height(150), upscale=True)),
    ((3,), "^200,150", SizeSpec(Exact(200, 150), upscale=True)),
    ((3,), "^!200,150", SizeSpec(Confined(200, 150), upscale=True)),
    ((3,), "^pct:120", SizeSpec(Scaled(Fraction(120)), upscale=True)),
]

NO_SIZES: list[tuple[tuple[int, ...], str]] = [
    *(
        (BOTH, text)
        for text in (
            "",
            ",",
            "!",
            "!,",
            "!200,",
            "!,200",
            "abc",
            "200",
            "0,",
            ",0",
            "0,0",
            "200,0",
            "!0,10",
            "pct:0",
            "pct:0.000",
            "pct:",
            "pct:-5",
            "pct:1e2",
            "pct:\u0665",
            "-1,",
            "+1,",
            "1.5,",
            "200,150,",
            "200, 150",
            "\u0662\u0660\u0660,",
            "200,\n",
            "^^200,",
            "!^200,200",
            "FULL",
            "Max",
            "9" * 5000 + ",",
        )
    ),
    ((2,), "^max"),
    ((2,), "^200,"),
    ((2,), "^!3000,3000"),
    ((2,), "^pct:120"),
    ((2,), "^full"),
    ((3,), "full"),
    ((3,), "^full"),
    ((3,), "^"),
]

ROTATIONS = [
    ("0", Rotation(0)),
    ("0.0", Rotation(0)),
    ("90", Rotation(90)),
    ("180.00", Rotation(180)),
    ("270", Rotation(270)),
    ("360", Rotation(360)),
    ("!0", Rotation(0, mirror=True)),
    ("!270", Rotation(270, mirror=True)),
    ("0123", None),
    ("45", None),
    ("22.5", None),
    ("!22.5", None),
    ("0.1", None),
]

NO_ROTATIONS = (
    "",
    "!",
    "!!0",
    "-1",
    "+90",
    "361",
    "360.1",
    "abc",
    "90 ",
    "9e1",
    "nan",
    "\u0669\u0660",
    "0!",
    "9" * 5000,
)


def read(version: int = 2, **parts: str) -> Parameters:
    """Parse a request that is right but for some parts."""
    whole = {"region": "full", "size": "max", "rotation": "0", "quality_format": "default.jpg", **parts}
    return parse(version, **whole, formats=FORMATS)


@pytest.mark.parametrize("version", BOTH)
@pytest.mark.parametrize("text,region", REGIONS)
def test_regions(version: int, text: str, region: Region) -> None:
    """Each form of a region is read exactly."""
    assert read(version, region=text).region == region


@pytest.mark.parametrize("version", BOTH)
@pytest.mark.parametrize("text", NO_REGIONS)
def test_what_is_no_region(version: int, text: str) -> None:
    """What the grammar does not allow is refused, and the text says which part is wrong."""
    with pytest.raises(BadRequest, match=r"^region: "):
        read(version, region=text)


@pytest.mark.parametrize(
    "version,text,size", [(version, text, size) for versions, text, size in SIZES for version in versions]
)
def test_sizes(version: int, text: str, size: SizeSpec) -> None:
    """Each form of a size is read exactly, in the versions that have it."""
    assert read(version, size=text).size == size


@pytest.mark.parametrize("version,text", [(version, text) for versions, text in NO_SIZES for version in versions])
def test_what_is_no_size(version: int, text: str) -> None:
    """What the grammar of the version does not allow is refused, and the text says which part is wrong."""
    with pytest.raises(BadRequest, match=r"^size: "):
        read(version, size=text)


@pytest.mark.parametrize("version", BOTH)
@pytest.mark.parametrize("text,rotation", ROTATIONS)
def test_rotations(version: int, text: str, rotation: Rotation | None) -> None:
    """Quarter turns are read; other angles are legal, but not answered here."""
    if rotation is None:
        with pytest.raises(Unsupported, match=r"^rotation: "):
            read(version, rotation=text)
    else:
        assert read(version, rotation=text).rotation == rotation


@pytest.mark.parametrize("text", NO_ROTATIONS)
def test_what_is_no_rotation(text: str) -> None:
    """Angles outside of 0 to 360 and what is no number are refused."""
    with pytest.raises(BadRequest, match=r"^rotation: "):
        read(rotation=text)


@pytest.mark.parametrize("quality", ["default", "color", "gray", "bitonal"])
@pytest.mark.parametrize("extension", FORMATS)
def test_qualities_and_formats(quality: str, extension: str) -> None:
    """The last segment holds a quality and a format."""
    request = read(quality_format=f"{quality}.{extension}")
    assert (request.quality, request.format) == (quality, extension)


@pytest.mark.parametrize(
    "text,error",
    [
        ("bogus.jpg", BadRequest),
        ("native.jpg", BadRequest),
        ("DEFAULT.jpg", BadRequest),
        ("default.jpg.jpg", BadRequest),
        ("default.tif", Unsupported),
        ("default.gif", Unsupported),
        ("default.webp", UnsupportedFormat),
        ("default.jp2", UnsupportedFormat),
        ("default.pdf", UnsupportedFormat),
        ("default.JPG", UnsupportedFormat),
        ("default.jpg\n", UnsupportedFormat),
        ("default", NotFound),
        ("default.", NotFound),
        (".jpg", NotFound),
        ("", NotFound),
    ],
)
def test_what_is_no_quality_or_format(text: str, error: type[SidecarError]) -> None:
    """Unknown qualities are 400, unknown formats 415, those of Cantaloupe alone handed over; no format is no route."""
    with pytest.raises(SidecarError) as caught:
        read(quality_format=text)
    assert type(caught.value) is error


def test_wrong_grammar_goes_before_what_is_not_made_here() -> None:
    """A wrong part is reported as wrong, even if another part is only unsupported."""
    with pytest.raises(BadRequest, match=r"^size: "):
        read(size="abc", rotation="45", quality_format="default.tif")


SEGMENTS = st.one_of(
    st.text(max_size=40),
    st.text(alphabet="0123456789.,!^:pctfulsqarex-+ \n\0", max_size=24),
    st.sampled_from([*NO_REGIONS, *(text for text, _ in REGIONS), *(text for _, text in NO_SIZES)]),
)


@LAW
@given(st.sampled_from(BOTH), SEGMENTS, SEGMENTS, SEGMENTS, SEGMENTS)
@example(3, "\ud800", "max", "0", "default.jpg")
@example(3, "full", "max", "0", "default.\ud800")
def test_any_text_is_read_or_refused(version: int, region: str, size: str, rotation: str, last: str) -> None:
    """Whatever the segments are, the outcome is a request or one of our errors, whose text is printable ASCII."""
    check(version, region, size, rotation, last)


@pytest.mark.parametrize("version", BOTH)
@pytest.mark.parametrize("segments", json.loads(CORPUS.read_text("utf-8")))
def test_kept_paths_are_read_or_refused(version: int, segments: list[str]) -> None:
    """The kept corpus: paths that attackers, fuzzers and old clients send."""
    check(version, *segments)


def check(version: int, region: str, size: str, rotation: str, last: str) -> None:
    """Read any segments; an error must be ours and fit to be shown."""
    try:
        request = parse(version, region, size, rotation, last, FORMATS)
    except SidecarError as error:
        text = str(error)
        assert text.isascii()
        assert text.isprintable()
        assert len(text) < 250
    else:
        assert request.format in FORMATS
        assert request.rotation.degrees in (0, 90, 180, 270, 360)
