"""A real Cantaloupe's answers, replayed: status, size of the picture, canonical link, info.json and redirects."""

from __future__ import annotations

import json
import struct
from fractions import Fraction
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import glymur
import pytest
from PIL import Image

from sidecar.iiif.canonical import canonical
from sidecar.iiif.geometry import Geometry, measure
from sidecar.iiif.identifier import decode
from sidecar.iiif.info import Profile, information
from sidecar.iiif.parse import Parameters, parse
from sidecar.iiif.uri import public_uri
from sidecar.plugin import SidecarError, Size, Unsupported

DATA = Path(__file__).parents[2] / "data"
FOLDER = DATA / "cantaloupe"
BASE = "http://cantaloupe.example:8182"
SERVICE = Profile(max_scale=1.0, max_pixels=10_000_000)
"""As the recorded Cantaloupe was set."""
MADE = ("jpg", "png")

RIGHT_INSTEAD_OF_500: dict[str, Size | int] = {
    "2/tiled_512.jp2/full/200,/360/default.jpg": Size(200, 150),
    "2/tiled_512.jp2/pct:0,0,101,10/100,/0/default.jpg": Size(100, 8),
    "3/tiled_512.jp2/pct:0,0,101,10/100,/0/default.jpg": Size(100, 8),
    "2/tiled_512.jp2/pct:a,0,10,10/100,/0/default.jpg": 400,
    "3/tiled_512.jp2/pct:a,0,10,10/100,/0/default.jpg": 400,
}

RIGHT_LINKS = {
    # `2,` alone would be another picture, of one row.
    "2/tiled_512.jp2/full/pct:0.1/0/default.jpg": "full/2,2/0/default.jpg",
    # The ratio of the region instead of the image's.
    "2/tiled_512.jp2/100,200,301,203/,77/0/default.jpg": "100,200,301,203/114,/0/default.jpg",
    "2/tiled_512.jp2/100,200,301,203/pct:50/0/default.jpg": "100,200,301,203/151,/0/default.jpg",
    "3/tiled_512.jp2/0,0,512,512/512,/0/default.jpg": "0,0,512,512/512,512/0/default.jpg",
    "3/tiled_512.jp2/512,512,512,512/512,/0/default.jpg": "512,512,512,512/512,512/0/default.jpg",
    "3/tiled_512.jp2/0,0,1024,1024/512,/0/default.jpg": "0,0,1024,1024/512,512/0/default.jpg",
    "3/tiled_512.jp2/0,0,2000,1500/!300,300/0/default.jpg": "0,0,2000,1500/300,225/0/default.jpg",
    "3/tiled_512.jp2/100,200,301,203/!100,100/0/default.jpg": "100,200,301,203/100,68/0/default.jpg",
    "3/tiled_512.jp2/100,200,301,203/150,/0/default.jpg": "100,200,301,203/150,101/0/default.jpg",
    "3/tiled_512.jp2/100,200,301,203/,77/0/default.jpg": "100,200,301,203/114,77/0/default.jpg",
    "3/tiled_512.jp2/100,200,301,203/pct:50/0/default.jpg": "100,200,301,203/151,102/0/default.jpg",
    "3/tiled_512.jp2/pct:10,10,30.5,20.25/200,/0/default.jpg": "200,150,610,304/200,100/0/default.jpg",
    "3/tiled_512.jp2/square/200,/0/default.jpg": "square/200,200/0/default.jpg",
    "3/tiled_512.jp2/1900,1400,512,512/256,/0/default.jpg": "1900,1400,512,512/^256,256/0/default.jpg",
    "3/tiled_512.jp2/0,0,100,100/200,/0/default.jpg": "0,0,100,100/^200,200/0/default.jpg",
    "3/nemo.jp2/0,0,1024,1024/256,/0/default.jpg": "0,0,1024,1024/256,256/0/default.jpg",
    "3/nemo.jp2/square/500,/90/gray.jpg": "square/500,500/90/gray.jpg",
}


def recorded() -> list[dict[str, Any]]:
    """All recordings, but those of the image whose size Cantaloupe gets wrong and of one that is not there."""
    every: list[dict[str, Any]] = json.loads((FOLDER / "requests.json").read_text("utf-8"))
    return [each for each in every if "image_offset" not in each["path"] and "missing.jp2" not in each["path"]]


def segments(recording: dict[str, Any]) -> list[str]:
    """Version, identifier and the rest of a recorded path; empty where it is none of the Image API's."""
    path = recording["path"].partition("?")[0]
    return path.split("/")[2:] if path.startswith("/iiif/") else []


def title(recording: dict[str, Any]) -> str:
    """A name for reports."""
    return f"{recording['method']} {recording['path']}"


IMAGES = [each for each in recorded() if len(segments(each)) == 6 and each["method"] in ("GET", "HEAD")]
INFOS = [
    each for each in recorded() if segments(each)[2:] == ["info.json"] and each["status"] == 200 and "json" in each
]
REDIRECTS = [each for each in recorded() if each["status"] == 303]


def image_of(name: str) -> tuple[Size, Size]:
    """Size and tile size of a JPEG 2000 file without offsets (ITU-T T.800 A.5.1: Xsiz, Ysiz, …, XTsiz, YTsiz)."""
    path = Path(glymur.data.nemo()) if name == "nemo.jp2" else DATA / "images" / name
    content = path.read_bytes()
    width, height, _, _, across, down = struct.unpack_from(">6I", content, content.index(b"\xff\x4f\xff\x51") + 8)
    return Size(width, height), Size(across, down)


def headers_of(recording: dict[str, Any]) -> dict[str, str]:
    """The request's headers with the Host that the recording calls `{base}`."""
    return {"Host": BASE.removeprefix("http://"), **recording["request_headers"]}


def answer(recording: dict[str, Any]) -> tuple[Parameters, Geometry, Fraction]:
    """Return the request as the sidecar reads it. Raises as reading it does."""
    version, segment, *rest = segments(recording)
    identifier = decode(segment)
    region, size, rotation, last = map(unquote, rest)
    request = parse(int(version), region, size, rotation, last, MADE)
    image, _ = image_of(identifier.name)
    limits = SERVICE.max_scale, SERVICE.max_pixels
    found = measure(request, image, max_scale=limits[0], max_pixels=limits[1], constraint=identifier.scale)
    return request, found, identifier.scale


def outcome(recording: dict[str, Any]) -> Size | int:
    """The size of our answer, or the status of our refusal."""
    try:
        return answer(recording)[1].answer
    except SidecarError as error:
        return error.status


def expected(recording: dict[str, Any]) -> Size | int:
    """The size of the recorded picture, or the status of the recorded refusal."""
    right = RIGHT_INSTEAD_OF_500.get("/".join(segments(recording)))
    if right is not None:
        return right
    if recording["status"] != 200:
        return int(recording["status"])
    rotation, last = segments(recording)[4:]
    if last.endswith((".tif", ".gif")) or float(rotation.lstrip("!")) % 90:
        return Unsupported.status
    body = recording.get("body_file") or next(
        each["body_file"] for each in IMAGES if each["path"] == recording["path"] and each.get("body_file")
    )
    with Image.open(FOLDER / "bodies" / Path(body).name) as picture:
        return Size(*picture.size)


@pytest.mark.parametrize("recording", IMAGES, ids=title)
def test_statuses_and_sizes(recording: dict[str, Any]) -> None:
    """Every image request has the recorded status and the recorded size of the picture, or is handed over."""
    assert outcome(recording) == expected(recording)


@pytest.mark.parametrize("recording", [each for each in IMAGES if isinstance(outcome(each), Size)], ids=title)
def test_canonical_links(recording: dict[str, Any]) -> None:
    """Every canonical link is the recorded one, but for those in which Cantaloupe takes the wrong ratio."""
    request, found, constraint = answer(recording)
    version, segment, *_ = segments(recording)
    uri = public_uri(int(version), segment, headers_of(recording))
    ours = f'<{uri}/{canonical(request, found, constraint)}>;rel="canonical"'
    theirs = recording["headers"].get("Link", "").replace("{base}", BASE)
    path = "/".join(segments(recording))
    if path in RIGHT_INSTEAD_OF_500:
        assert not theirs
    elif path in RIGHT_LINKS:
        assert ours == f'<{uri}/{RIGHT_LINKS[path]}>;rel="canonical"' != theirs
    else:
        assert ours == theirs


@pytest.mark.parametrize("recording", INFOS, ids=title)
def test_info_json(recording: dict[str, Any]) -> None:
    """Every info.json is the recorded one, the order of its keys included."""
    version, segment, _ = segments(recording)
    identifier = decode(segment)
    uri = public_uri(int(version), segment, headers_of(recording))
    ours = information(int(version), uri, *image_of(identifier.name), SERVICE, identifier.scale)
    theirs = json.loads(json.dumps(recording["json"]).replace("{base}", BASE))
    assert json.dumps(ours) == json.dumps(theirs)


@pytest.mark.parametrize("recording", REDIRECTS, ids=title)
def test_redirects(recording: dict[str, Any]) -> None:
    """The image's URI leads to its info.json, by the name under which the client knows it."""
    version, segment = segments(recording)
    uri = public_uri(int(version), segment, headers_of(recording))
    assert f"{uri}/info.json" == recording["headers"]["Location"].replace("{base}", BASE)


def test_the_recordings_are_there() -> None:
    """Nothing above is passed for want of recordings."""
    assert (len(IMAGES), len(INFOS), len(REDIRECTS)) == (218, 50, 28)
