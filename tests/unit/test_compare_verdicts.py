"""What two answers come to."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from sidecar.compare.requests import Wanted
from sidecar.compare.servers import Answer, NoAnswer
from sidecar.compare.verdicts import Outcome, Tolerance, Verdict, judge

IMAGE = Wanted("GET", "/iiif/3/a.jp2/full/max/0/default.jpg")
INFO = Wanted("GET", "/iiif/3/a.jp2/info.json")
LOOSE = Tolerance(mean=3, maximum=255, psnr=30)
CANTALOUPE, SIDECAR = "http://127.0.0.1:1", "http://127.0.0.1:2"


def _picture(offset: int = 0, *, size: tuple[int, int] = (40, 30), icc: bytes | None = None) -> bytes:
    pixels = np.random.default_rng(1).integers(100, 150, (size[1], size[0], 3), np.uint8) + np.uint8(offset)
    data = io.BytesIO()
    Image.fromarray(pixels).save(data, "PNG", icc_profile=icc)
    return data.getvalue()


def _judge(
    one: bytes,
    other: bytes,
    *,
    wanted: Wanted = IMAGE,
    headers: tuple[Mapping[str, str], Mapping[str, str]] = ({}, {}),
    statuses: tuple[int, int] = (200, 200),
    tolerance: Tolerance = LOOSE,
) -> Verdict:
    answers = [
        Answer(status, heads, body, (1.0,), base)
        for status, heads, body, base in zip(statuses, headers, (one, other), (CANTALOUPE, SIDECAR), strict=True)
    ]
    return judge(wanted, answers, tolerance)[0]


def _fields(verdict: Verdict) -> list[str]:
    return [difference.field for difference in verdict.differences]


@pytest.mark.parametrize(
    "offset, outcome",
    [(0, Outcome.EQUAL), (1, Outcome.CLOSE), (3, Outcome.CLOSE), (4, Outcome.DIFFERENT)],
)
def test_pictures_may_be_as_far_apart_as_the_tolerance_says(offset: int, outcome: Outcome) -> None:
    """A mean of three grey levels is allowed here, more is a difference of pixels."""
    verdict = _judge(_picture(), _picture(offset))
    assert verdict.outcome is outcome
    assert _fields(verdict) == (["pixels"] if outcome is Outcome.DIFFERENT else [])


@pytest.mark.parametrize("tolerance", [replace(LOOSE, mean=1), replace(LOOSE, maximum=1), replace(LOOSE, psnr=50)])
def test_each_limit_counts(tolerance: Tolerance) -> None:
    """Mean, maximum and PSNR are three limits; one that is broken is enough."""
    assert _fields(_judge(_picture(), _picture(2), tolerance=tolerance)) == ["pixels"]


def test_size_and_profile_of_a_picture_count() -> None:
    """A picture of another size, or with a colour profile where the other has none, is different."""
    assert _fields(_judge(_picture(), _picture(size=(40, 31)))) == ["size"]
    assert _fields(_judge(_picture(), _picture(icc=b"profile"))) == ["icc"]


def test_what_is_no_picture_differs_from_one() -> None:
    """A 200 with a body that cannot be read is a difference, not a crash."""
    assert _fields(_judge(_picture(), b"<html>")) == ["body"]


def test_the_status_counts_and_error_texts_do_not() -> None:
    """404 and 200 differ; two 404 with other words and headers are equal."""
    assert _fields(_judge(_picture(), b"", statuses=(200, 404))) == ["status"]
    verdict = _judge(b"no", b"nothing", statuses=(404, 404), headers=({"x-a": "1"}, {}))
    assert verdict.outcome is Outcome.EQUAL


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
def test_headers_are_compared_by_what_they_mean(name: str, one: str, other: str, same: bool) -> None:  # noqa: FBT001 - a row's value
    """Passed over: server names, spaces, case and order where they say nothing, headers that differ by design."""
    verdict = _judge(b"", b"", wanted=Wanted("HEAD", IMAGE.target), headers=({name: one}, {name: other}))
    assert _fields(verdict) == ([] if same else [name])


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
    """Each place has its path; the server's own name and the order of words say nothing."""
    one, other = (
        json.dumps(document).replace("{base}", base).encode()
        for document, base in ((INFO_JSON, CANTALOUPE), ({**INFO_JSON, **change}, SIDECAR))
    )
    assert _fields(_judge(one, other, wanted=INFO)) == fields


def test_words_that_only_one_has_are_named() -> None:
    """Of two lists of words each side shows what the other lacks."""
    verdict = _judge(b'{"f": ["a", "b"]}', b'{"f": ["b", "c", "d"]}', wanted=INFO)
    assert [(d.cantaloupe, d.sidecar) for d in verdict.differences] == [('["a"]', '["c", "d"]')]


def test_what_is_not_json_is_a_difference() -> None:
    """A body that does not parse is told, not raised."""
    assert _fields(_judge(b"{}", b"\xff", wanted=INFO)) == ["body"]


@pytest.mark.parametrize("ignored, fields", [("x-a", ["x-b"]), ("x-*", []), ("pixels", ["x-a", "x-b"])])
def test_fields_can_be_ignored(ignored: str, fields: list[str]) -> None:
    """By name, or all that begin alike."""
    tolerance = Tolerance(3, 255, 30, frozenset({ignored}))
    assert _fields(_judge(b"", b"", headers=({"x-a": "1", "x-b": "1"}, {}), tolerance=tolerance)) == fields


def test_no_answer_is_a_failure_with_its_reason() -> None:
    """Who said nothing is told, with the status of the other."""
    answer = Answer(200, {}, b"", (1.0,), CANTALOUPE)
    verdict, _ = judge(IMAGE, [answer, NoAnswer("timed out")], LOOSE)
    assert verdict.outcome is Outcome.FAILED
    assert (verdict.differences[0].cantaloupe, verdict.differences[0].sidecar) == ("200", "timed out")
