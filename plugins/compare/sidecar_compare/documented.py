"""Differences that are known and meant: each has a name and a reason, as in docs/differences.md and docs/reasons.md."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from sidecar_compare.answered import REASON
from sidecar_compare.images import ImagePair
from sidecar_compare.requests import Request
from sidecar_compare.servers import Response

_FEW = 64 * 64
"""Pixels of a level that a part of an image covers at least, or a finer level is read."""
_LEAST = 3
_IMAGE = re.compile(r"/iiif/(?P<version>[0-9])/[^/]+/(?P<region>[^/]+)/(?P<size>[^/]+)/(?P<rotation>[^/]+)/[^/?]+")
_REGION = re.compile(r"[0-9]+,[0-9]+,(?P<width>[0-9]+),(?P<height>[0-9]+)")

_HIDDEN = 35.0
"""The PSNR in dB from which on two JPEGs may differ by bits that are not decoded only."""


@dataclass(frozen=True, slots=True)
class Case:
    """A field that differs, and what it differs in."""

    request: Request
    cantaloupe: Response
    sidecar: Response
    field: str
    values: tuple[str, str]
    """Of Cantaloupe and of the sidecar, as in the report."""
    pair: ImagePair | None = None

    @property
    def part(self) -> Callable[[str], str]:
        """Parts of the path: version, region, size, rotation; empty if the request is not for an image."""
        found = _IMAGE.match(self.request.target)
        return lambda name: unquote(found[name]) if found else ""

    @property
    def statuses(self) -> tuple[int, int]:
        return self.cantaloupe.status, self.sidecar.status


@dataclass(frozen=True, slots=True)
class Documented:
    """A known difference."""

    name: str
    reason: str
    matches: Callable[[Case], bool]


def documented(case: Case) -> str:
    """Return the name of the known difference that a field differs by; empty if it is news."""
    return next((each.name for each in DOCUMENTED if each.matches(case)), "")


def _refused(reason: str) -> Callable[[Case], bool]:
    return lambda case: case.field == "status" and case.sidecar.headers.get(REASON) == reason


def _full_turn(case: Case) -> bool:
    turned = re.fullmatch(r"!?360(\.0*)?", case.part("rotation"))
    return case.field == "status" and case.statuses == (500, 200) and turned is not None


def _percent(case: Case) -> Sequence[float]:
    region = case.part("region")
    with suppress(ValueError):
        return [float(number) for number in region.removeprefix("pct:").split(",")] if "pct:" in region else []
    return []


def _beyond_the_edge(case: Case) -> bool:
    sides = _percent(case)
    beyond = len(sides) == 4 and max(sides[0] + sides[2], sides[1] + sides[3]) > 100  # noqa: PLR2004  # x, y, width, height; percent
    return case.field == "status" and case.statuses == (500, 200) and beyond


def _off_by_one(case: Case) -> bool:
    inexact = case.part("version") == "2" and bool(_percent(case))
    sizes = case.pair.sizes if case.pair else ()
    near = bool(sizes) and all(abs(one - other) <= 1 for one, other in zip(*sizes, strict=True))
    return inexact and near and case.field in ("size", "pixels")


def _limited(case: Case) -> bool:
    asked = case.part("size")
    parted = asked in ("max", "^max") and case.part("region") != "full"
    above = asked == "^max" and case.field == "status" and case.statuses == (403, 200)
    return above or (case.field == "size" and (parted or asked == "^max"))


def _dummy(case: Case) -> bool:
    return case.field in ("size", "pixels") and case.pair is not None and min(case.pair.sizes[1]) < _LEAST


def _hidden_bits(case: Case) -> bool:
    weak = case.sidecar.headers.get("etag", "").startswith("W/")
    distance = case.pair.distance if case.field == "pixels" and case.pair else None
    return weak and distance is not None and distance.psnr >= _HIDDEN


def _small_part(case: Case) -> bool:
    region = _REGION.fullmatch(case.part("region"))
    if case.field != "pixels" or case.pair is None or region is None:
        return False
    width, height = case.pair.sizes[1]
    whole = int(region["width"]) * int(region["height"])
    return 2 * width * height <= whole and width * height <= _FEW


def _canonical(case: Case) -> bool:
    links = [re.fullmatch(r"<(.*?)((?:/[^/]*){4})>;rel=\"canonical\"", value) for value in case.values]
    one, other = links
    if case.field != "link" or one is None or other is None or one[1] != other[1]:
        return False
    return case.part("version") == "2" or case.part("region") != "full" or "^" in other[2]


def _formats(case: Case) -> bool:
    return case.field in ("formats", "extraFormats", "profile[1].formats") and case.values[0] == "[]"


def _sizes(case: Case) -> bool:
    with suppress(ValueError):
        one, other = map(json.loads, case.values)
        return case.field == "sizes" and all(size in one for size in other)
    return False


def _max_area(case: Case) -> bool:
    return case.field.endswith("maxArea") and case.values[0] == "null"


def _tiles(case: Case) -> bool:
    if not re.fullmatch(r"tiles\[0\]\.(width|height)", case.field):
        return False
    one, other = (_tile(response) for response in (case.cantaloupe, case.sidecar))
    return one == other[::-1] or ";" in unquote(case.request.target)


def _tile(response: Response) -> tuple[Any, Any]:
    with suppress(ValueError, KeyError, IndexError, TypeError):
        tile: Mapping[str, Any] = json.loads(response.body)["tiles"][0]
        return tile["width"], tile.get("height", tile["width"])
    return None, None


def _upscaling(case: Case) -> bool:
    with suppress(ValueError):
        one, other = map(json.loads, case.values)
        return (
            case.field in ("extraFeatures", "profile[1].supports")
            and not one
            and {*other}
            <= {
                "sizeUpscaling",
                "sizeAboveFull",
            }
        )
    return False


def _profile(case: Case) -> bool:
    return case.field == "icc" and case.values == ("none", "embedded")


def _opacity(case: Case) -> bool:
    return case.field == "pixels" and case.pair is not None and case.pair.transparent == (False, True)


DOCUMENTED: Sequence[Documented] = (
    Documented("malformed", "a broken file is refused: it makes decoders behind run for ever", _refused("malformed")),
    Documented("too-large", "a response that needs more memory than allowed is refused", _refused("too-large")),
    Documented("beyond-format", "a JPEG above 65,500 pixels is 400; Cantaloupe: a text", _refused("beyond-format")),
    Documented("full-turn", "360 degrees equal 0; Cantaloupe answers 500 in version 2", _full_turn),
    Documented("pct-edge", "a pct: region beyond the image is cropped; Cantaloupe answers 500", _beyond_the_edge),
    Documented("pct-exact", "a pct: region is exact; Cantaloupe's is a 32-bit float in version 2", _off_by_one),
    Documented("max", "max and ^max keep to the region and to both limits", _limited),
    Documented("dummy", "very small responses are real images; Cantaloupe sends a dummy", _dummy),
    Documented("opacity", "opacity is kept (SIDECAR_JP2_ALPHA=keep); Cantaloupe drops it", _opacity),
    Documented("hidden-bits", "bits that the JPEG hides are not decoded (SIDECAR_JP2_LOSS_DB)", _hidden_bits),
    Documented("small-part", "a small part of an image is read from a finer level", _small_part),
    Documented("canonical-link", "canonical sizes keep the region's ratio, and say if they enlarge", _canonical),
    Documented("icc", "ICC profiles are embedded (SIDECAR_COLOR=keep); Cantaloupe's pixels are sRGB", _profile),
    Documented("formats", "formats of all installed encoders are listed", _formats),
    Documented("sizes", "sizes that max_scale would refuse are not listed", _sizes),
    Documented("max-area", "maxArea is given in version 2 too", _max_area),
    Documented("tiles", "a tile is as the file has it; Cantaloupe swaps sides that lie across the image's", _tiles),
    Documented("upscaling", "upscaling is among the features if max_scale is 0", _upscaling),
)
"""In this order the first that matches names a difference."""
REASONS: Mapping[str, str] = {each.name: each.reason for each in DOCUMENTED}
