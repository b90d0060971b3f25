"""The finding for two responses."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from sidecar_compare.findings import Finding, Outcome, find
from sidecar_compare.requests import Request
from sidecar_compare.servers import NoResponse, Response
from sidecar_compare.tolerance import Means, Tolerance

IMAGE = Request("GET", "/iiif/3/a.jp2/full/max/0/default.jpg")
INFO = Request("GET", "/iiif/3/a.jp2/info.json")
LOOSE = Tolerance(mean=3, maximum=255, psnr=30)
CANTALOUPE, SIDECAR = "http://127.0.0.1:1", "http://127.0.0.1:2"


def _image(offset: int = 0, *, size: tuple[int, int] = (40, 30), icc: bytes | None = None) -> bytes:
    pixels = np.random.default_rng(1).integers(100, 150, (size[1], size[0], 3), np.uint8) + np.uint8(offset)
    data = io.BytesIO()
    Image.fromarray(pixels).save(data, "PNG", icc_profile=icc)
    return data.getvalue()


def _find(
    one: bytes,
    other: bytes,
    *,
    request: Request = IMAGE,
    headers: tuple[Mapping[str, str], Mapping[str, str]] = ({}, {}),
    statuses: tuple[int, int] = (200, 200),
    tolerance: Tolerance = LOOSE,
) -> Finding:
    responses = [
        Response(status, heads, body, (1.0,), base)
        for status, heads, body, base in zip(statuses, headers, (one, other), (CANTALOUPE, SIDECAR), strict=True)
    ]
    return find(request, responses, tolerance)[0]


def _fields(finding: Finding) -> list[str]:
    return [difference.field for difference in finding.differences]


@pytest.mark.parametrize(
    "offset, outcome",
    [(0, Outcome.EQUAL), (1, Outcome.CLOSE), (3, Outcome.CLOSE), (4, Outcome.DIFFERENT)],
)
def test_images_may_differ_within_the_tolerance(offset: int, outcome: Outcome) -> None:
    """With a tolerance of three grey levels in the mean, a greater mean is a difference of pixels."""
    finding = _find(_image(), _image(offset))
    assert finding.outcome is outcome
    assert _fields(finding) == (["pixels"] if outcome is Outcome.DIFFERENT else [])


@pytest.mark.parametrize("tolerance", [replace(LOOSE, mean=1), replace(LOOSE, maximum=1), replace(LOOSE, psnr=50)])
def test_each_limit_counts(tolerance: Tolerance) -> None:
    """Exceeding any one of the limits for mean, maximum and PSNR is a difference."""
    assert _fields(_find(_image(), _image(2), tolerance=tolerance)) == ["pixels"]


@pytest.mark.parametrize(
    "target, mean",
    [
        ("full/max/0/default.png", 0.0),
        ("full/full/90/default.png", 0.0),
        ("0,0,512,512/512,512/0/default.png?a=b", 0.0),
        ("0,0,512,512/^512,512/0/default.png", 0.0),
        ("full/max/0/gray.jpg", 0.0),
        ("9,9,64,64/pct:100/0/default.jpg", 0.0),
        ("full/200,/0/default.png", 0.1),
        ("0,0,512,512/256,256/0/default.png", 0.1),
        ("full/200,/0/default.jpg", 0.3),
        ("square/!9,9/0/default.webp", 0.3),
        ("full/200,150/0/default.jpg", 0.3),
    ],
)
def test_the_mean_allowed_goes_by_format_and_scale(target: str, mean: float) -> None:
    """Unscaled images must be equal to the pixel; scaled ones may differ a little, and lossy ones a little more."""
    assert Means().of(Request("GET", f"/iiif/3/a%2Fb.jp2/{target}")) == mean


def test_size_and_profile_of_an_image_count() -> None:
    """Images of different sizes differ, and so do images of which only one has a colour profile."""
    assert _fields(_find(_image(), _image(size=(40, 31)))) == ["size"]
    assert _fields(_find(_image(), _image(icc=b"profile"))) == ["icc"]


def test_an_unreadable_image_is_a_difference() -> None:
    """A response with status 200 and an unreadable body is a difference, not an exception."""
    assert _fields(_find(_image(), b"<html>")) == ["body"]


def test_the_status_counts_and_error_texts_do_not() -> None:
    """404 and 200 differ; two 404s with different texts and headers are equal."""
    assert _fields(_find(_image(), b"", statuses=(200, 404))) == ["status"]
    finding = _find(b"no", b"nothing", statuses=(404, 404), headers=({"x-a": "1"}, {}))
    assert finding.outcome is Outcome.EQUAL


@pytest.mark.parametrize(
    "name, one, other, same",
    [
        ("content-type", "application/json;charset=utf-8", "application/json; charset=UTF-8", True),
        ("content-type", "image/jpeg", "image/png", False),
        ("vary", "Accept, Origin", "origin,accept", True),
        ("cache-control", "max-age=5, public", "public", False),
        ("location", f"{CANTALOUPE}/iiif/3/a", f"{SIDECAR}/iiif/3/a", True),
        ("link", f"<{CANTALOUPE}/a>", f"<{SIDECAR}/b>", False),
        ("etag", '"1"', "", True),
        ("date", "then", "now", True),
        ("x-new", "", "1", False),
    ],
)
def test_headers_are_compared_by_meaning(name: str, one: str, other: str, same: bool) -> None:  # noqa: FBT001 - a value of a row
    """Server URLs, meaningless spaces, case and order, and headers that differ by design do not count."""
    finding = _find(b"", b"", request=Request("HEAD", IMAGE.target), headers=({name: one}, {name: other}))
    assert _fields(finding) == ([] if same else [name])


def test_the_type_of_a_redirects_text_does_not_count() -> None:
    """Two redirects to the same URL are equal, whatever is written below them."""
    headers = ({"location": "/a", "content-type": "text/plain"}, {"location": "/a", "content-type": "text/html"})
    assert _fields(_find(b"", b"", request=INFO, headers=headers, statuses=(303, 303))) == []


INFO_JSON = {
    "id": "{base}/iiif/3/a.jp2",
    "width": 100,
    "tiles": [{"width": 512, "scaleFactors": [1, 2, 4]}],
    "profile": ["level2", {"supports": ["cors", "mirroring"], "maxArea": 5}],
}


@pytest.mark.parametrize(
    "change, fields",
    [
        ({}, []),
        ({"width": 101}, ["width"]),
        ({"width": 100.0}, []),
        ({"tiles": [{"width": 256, "scaleFactors": [1, 2]}]}, ["tiles[0].width", "tiles[0].scaleFactors"]),
        ({"tiles": []}, ["tiles"]),
        ({"profile": ["level2", {"supports": ["mirroring", "cors"], "maxArea": 6}]}, ["profile[1].maxArea"]),
        ({"profile": ["level2", {"supports": ["mirroring"], "maxArea": 5}]}, ["profile[1].supports"]),
        ({"extra": 1}, ["extra"]),
    ],
)
def test_info_json_differs_at_paths(change: Mapping[str, object], fields: list[str]) -> None:
    """Each difference is named by its path; the server's URL and the order of strings do not count."""
    one, other = (
        json.dumps(document).replace("{base}", base).encode()
        for document, base in ((INFO_JSON, CANTALOUPE), ({**INFO_JSON, **change}, SIDECAR))
    )
    assert _fields(_find(one, other, request=INFO)) == fields


def test_strings_in_only_one_list_are_named() -> None:
    """For two lists of strings, each side shows the strings that the other lacks."""
    finding = _find(b'{"f": ["a", "b"]}', b'{"f": ["b", "c", "d"]}', request=INFO)
    assert [(d.cantaloupe, d.sidecar) for d in finding.differences] == [('["a"]', '["c", "d"]')]


def test_invalid_json_is_a_difference() -> None:
    """An info.json that does not parse is a difference, not an exception."""
    assert _fields(_find(b"{}", b"\xff", request=INFO)) == ["body"]


@pytest.mark.parametrize("ignored, fields", [("x-a", ["x-b"]), ("x-*", []), ("pixels", ["x-a", "x-b"])])
def test_fields_can_be_ignored(ignored: str, fields: list[str]) -> None:
    """Fields are ignored by name, or by the beginning of the name."""
    tolerance = Tolerance(3, 255, 30, frozenset({ignored}))
    assert _fields(_find(b"", b"", headers=({"x-a": "1", "x-b": "1"}, {}), tolerance=tolerance)) == fields


def test_a_missing_response_fails_with_its_reason() -> None:
    """The difference holds the reason of the missing response and the status of the other."""
    response = Response(200, {}, b"", (1.0,), CANTALOUPE)
    finding, _ = find(IMAGE, [response, NoResponse("timed out")], LOOSE)
    assert finding.outcome is Outcome.FAILED
    assert (finding.differences[0].cantaloupe, finding.differences[0].sidecar) == ("200", "timed out")
