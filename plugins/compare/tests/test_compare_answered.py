"""Who answered, and why."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from sidecar_compare.answered import answered
from sidecar_compare.findings import Outcome, find
from sidecar_compare.requests import Request
from sidecar_compare.servers import Response
from sidecar_compare.tolerance import Tolerance

ETAG = '"0123456789abcdef0123456789abcdef"'


@pytest.mark.parametrize(
    "headers, expected",
    [
        ({"etag": ETAG, "content-type": "image/png"}, "sidecar"),
        ({"etag": f"W/{ETAG}"}, "sidecar"),
        ({"x-sidecar-reason": "too-large", "content-type": "text/plain"}, "sidecar (too-large)"),
        ({"x-accel-redirect": "@cantaloupe", "x-sidecar-reason": "unsupported"}, "Cantaloupe (unsupported)"),
        ({"x-accel-redirect": "@cantaloupe", "content-type": "application/json"}, "Cantaloupe"),
        ({"content-type": "image/png"}, "Cantaloupe"),
        ({"etag": '"5f"', "content-type": "image/png"}, "Cantaloupe"),
        ({"location": "/iiif/3/a/info.json", "content-type": "text/plain"}, "unknown"),
        ({}, "unknown"),
        ({"age": "12", "etag": ETAG}, "a cache"),
        ({"x-cache-status": "HIT", "etag": ETAG}, "a cache"),
        ({"x-cache-status": "MISS", "etag": ETAG}, "sidecar"),
    ],
)
def test_a_response_tells_who_made_it(headers: Mapping[str, str], expected: str) -> None:
    """The sidecar is known by its ETag and its reasons, Cantaloupe by neither, a cache by what it adds."""
    assert str(answered(headers)) == expected


def test_the_sidecar_itself_answers_what_it_does_not_hand_over() -> None:
    """Asked without nginx, a redirect or an empty 304 is the sidecar's; a handover still is not."""
    assert str(answered({}, direct=True)) == "sidecar"
    assert str(answered({"location": "/iiif/3/a/info.json"}, direct=True)) == "sidecar"
    assert str(answered({"x-accel-redirect": "@cantaloupe"}, direct=True)) == "Cantaloupe"


def test_a_handover_is_equal_and_takes_no_time() -> None:
    """What the sidecar hands over is Cantaloupe's own answer: nothing differs, and it is no measure of speed."""
    replies = [
        Response(200, {"content-type": "image/png"}, b"picture", (1.0,), "http://x"),
        Response(200, {"x-accel-redirect": "@cantaloupe", "x-sidecar-reason": "format"}, b"", (0.001,), "http://y"),
    ]
    finding, pair = find(Request("GET", "/iiif/3/a/full/max/0/default.webp"), replies, Tolerance(None, 255, 30))
    assert (finding.outcome, finding.seconds, pair) == (Outcome.EQUAL, ((), ()), None)
    assert str(finding.answered) == "Cantaloupe (format)"
