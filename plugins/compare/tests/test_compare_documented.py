"""Documented differences: each is known by its name, and what only looks like one is news."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sidecar_compare.documented import DOCUMENTED
from sidecar_compare.findings import Finding, Outcome, find
from sidecar_compare.requests import Request
from sidecar_compare.servers import Response
from sidecar_compare.tolerance import Tolerance

README = Path(__file__).parents[1] / "README.md"


def picture(size: tuple[int, int], level: int, mode: str = "RGB") -> bytes:
    """Return a PNG of one colour."""
    data = io.BytesIO()
    Image.fromarray(np.full((size[1], size[0], len(mode)), level, np.uint8), mode).save(data, "PNG")
    return data.getvalue()


def found(
    path: str,
    one: tuple[int, bytes, Mapping[str, str]],
    other: tuple[int, bytes, Mapping[str, str]],
    *ignore: str,
) -> Finding:
    """Return the finding for responses of Cantaloupe and of the sidecar: status, body, headers."""
    responses = [Response(status, headers, body, (1.0,), "http://x") for status, body, headers in (one, other)]
    return find(Request("GET", path), responses, Tolerance(None, 255, 0, frozenset(ignore)))[0]


def link(path: str) -> Mapping[str, str]:
    """Return a header with a canonical link."""
    return {"link": f'<http://x/iiif/2/a/{path}>;rel="canonical"'}


def info(**fields: object) -> bytes:
    """Return an info.json."""
    return json.dumps(fields).encode()


IMAGE = "/iiif/3/a/{}/{}/0/default.png"
INFO = "/iiif/3/a/info.json"
DARK, LIGHT = picture((90, 60), 10), picture((90, 60), 20)
KNOWN = {
    "malformed": (INFO, (200, b"{}", {}), (500, b"", {"x-sidecar-reason": "malformed"})),
    "too-large": (IMAGE.format("full", "max"), (200, DARK, {}), (413, b"", {"x-sidecar-reason": "too-large"})),
    "beyond-format": (IMAGE.format("full", "max"), (200, b"no", {}), (400, b"", {"x-sidecar-reason": "beyond-format"})),
    "full-turn": ("/iiif/2/a/full/full/!360/default.jpg", (500, b"", {}), (200, DARK, {})),
    "pct-edge": (IMAGE.format("pct:0,50,100,60", "max"), (500, b"", {}), (200, DARK, {})),
    "pct-exact": (
        "/iiif/2/a/pct:1,1,9.5,9/full/0/default.png",
        (200, picture((91, 60), 10), {}),
        (200, DARK, {}),
    ),
    "max": (IMAGE.format("0,0,9,6", "max"), (200, picture((900, 600), 10), {}), (200, DARK, {})),
    "dummy": (IMAGE.format("full", "2,"), (200, picture((2, 2), 0), {}), (200, picture((2, 1), 9), {})),
    "opacity": (
        IMAGE.format("full", "max"),
        (200, DARK, {}),
        (200, picture((90, 60), 10, "RGBA"), {}),
    ),
    "hidden-bits": (
        "/iiif/3/a/full/max/0/default.jpg",
        (200, picture((90, 60), 10), {}),
        (200, picture((90, 60), 11), {"etag": 'W/"a"'}),
    ),
    "small-part": (
        IMAGE.format("7,7,90,90", "20,20"),
        (200, picture((20, 20), 10), {}),
        (200, picture((20, 20), 20), {}),
    ),
    "canonical-link": (
        IMAGE.format("0,0,9,6", "9,"),
        (200, DARK, link("0,0,9,6/9,7/0/default.png")),
        (200, DARK, link("0,0,9,6/9,6/0/default.png")),
    ),
    "formats": (INFO, (200, info(extraFormats=["tif"]), {}), (200, info(extraFormats=["tif", "webp"]), {})),
    "sizes": (INFO, (200, info(sizes=[{"width": 9}, {"width": 99}]), {}), (200, info(sizes=[{"width": 9}]), {})),
    "max-area": (INFO, (200, info(profile=["2", {}]), {}), (200, info(profile=["2", {"maxArea": 9}]), {})),
    "tiles": (
        INFO,
        (200, info(tiles=[{"width": 512, "height": 256}]), {}),
        (200, info(tiles=[{"width": 256, "height": 512}]), {}),
    ),
    "upscaling": (INFO, (200, info(extraFeatures=[]), {}), (200, info(extraFeatures=["sizeUpscaling"]), {})),
}


@pytest.mark.parametrize("name", KNOWN)
def test_a_documented_difference_has_its_name(name: str) -> None:
    """Every field that differs is of that name; ignored by its name, or as documented, nothing differs."""
    finding = found(*KNOWN[name])
    assert finding.outcome is Outcome.DIFFERENT
    assert {*finding.documented} == {name}
    for ignored in (name, "documented"):
        assert found(*KNOWN[name], ignored).outcome in (Outcome.EQUAL, Outcome.CLOSE)


def test_a_profile_that_only_the_sidecar_embeds_is_documented() -> None:
    """It is `icc`, which is the name of the field as well."""
    data = io.BytesIO()
    Image.new("RGB", (9, 6)).save(data, "PNG", icc_profile=b"profile")
    finding = found(IMAGE.format("full", "max"), (200, picture((9, 6), 0), {}), (200, data.getvalue(), {}))
    assert finding.documented == ["icc"]


NEWS = {
    "a refusal without a reason": (INFO, (200, b"{}", {}), (500, b"", {})),
    "overload": (INFO, (200, b"{}", {}), (503, b"", {"x-sidecar-reason": "overloaded"})),
    "a region within the edge": (IMAGE.format("pct:0,50,100,50", "max"), (500, b"", {}), (200, DARK, {})),
    "a turn by 36": ("/iiif/2/a/full/full/36/default.jpg", (500, b"", {}), (200, DARK, {})),
    "another size": (IMAGE.format("full", "90,"), (200, picture((90, 61), 10), {}), (200, DARK, {})),
    "other pixels": (IMAGE.format("full", "90,"), (200, LIGHT, {}), (200, DARK, {})),
    "other pixels of a part at 1:1": (IMAGE.format("5,5,90,60", "max"), (200, LIGHT, {}), (200, DARK, {})),
    "the link of another image": (
        IMAGE.format("0,0,9,6", "9,"),
        (200, DARK, link("0,0,9,6/9,7/0/default.png")),
        (200, DARK, {"link": '<http://x/iiif/2/b/0,0,9,6/9,6/0/default.png>;rel="canonical"'}),
    ),
    "a format that is missing": (INFO, (200, info(formats=["tif"]), {}), (200, info(formats=["webp"]), {})),
    "a size too many": (INFO, (200, info(sizes=[{"width": 9}]), {}), (200, info(sizes=[{"width": 8}] * 2), {})),
    "another tile": (INFO, (200, info(tiles=[{"width": 512}]), {}), (200, info(tiles=[{"width": 256}]), {})),
    "another width": (INFO, (200, info(width=1), {}), (200, info(width=2), {})),
    "a profile that is missing": (INFO, (200, info(profile="1"), {}), (200, info(profile="2"), {})),
}


@pytest.mark.parametrize("name", NEWS)
def test_news_is_not_documented(name: str) -> None:
    """What only looks like a documented difference counts as other, and is not ignored with those."""
    assert found(*NEWS[name]).documented == []
    assert found(*NEWS[name], "documented").outcome is Outcome.DIFFERENT


def test_one_field_that_is_news_makes_the_response_news() -> None:
    """A response that differs in a documented way and in another one counts as other."""
    path, one, (status, _, headers) = KNOWN["canonical-link"]
    finding = found(path, one, (status, picture((90, 60), 200), headers))
    assert [difference.documented for difference in finding.differences] == ["canonical-link", ""]
    assert finding.documented == []


def test_the_readme_has_every_name_and_reason() -> None:
    """The table of documented differences in the README is that of the code."""
    rows = re.findall(r"^\| `([a-z][a-z-]*)` \| (.*) \|$", README.read_text(encoding="utf-8"), re.MULTILINE)
    assert rows == [(each.name, each.reason) for each in DOCUMENTED]
