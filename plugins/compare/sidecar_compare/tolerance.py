"""How much two images may differ."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from urllib.parse import unquote

from sidecar_compare.images import Distance
from sidecar_compare.requests import Request

DOCUMENTED = "documented"
"""Among the fields to ignore: all differences that are documented."""
_PARTS = re.compile(r"/iiif/[0-9]/[^/]+/(?P<region>[^/]+)/(?P<size>[^/]+)/[^/]+/[^/?]+\.(?P<format>[a-z0-9]+)")
_WHOLE = frozenset({"max", "^max", "full", "pct:100"})


@dataclass(frozen=True, slots=True)
class Means:
    """The largest mean differences allowed, in grey levels, by format and by whether the image is scaled.

    Unscaled, sidecar and Cantaloupe give the same pixels. Scaled, the same resampling leaves roundings, which a lossy
    format makes more of.
    """

    png: float = 0.0
    jpeg: float = 0.0
    png_scaled: float = 0.1
    jpeg_scaled: float = 0.3

    def of(self, request: Request) -> float:
        """Return the mean allowed in the response to a request; other formats than PNG are taken for lossy ones."""
        found = _PARTS.match(request.target)
        lossless = found is not None and found["format"] == "png"
        if found is not None and _is_whole(*map(unquote, found.group("region", "size"))):
            return self.png if lossless else self.jpeg
        return self.png_scaled if lossless else self.jpeg_scaled


def _is_whole(region: str, size: str) -> bool:
    """Report whether a region is certainly asked for at its own size."""
    return size in _WHOLE or (size.removeprefix("^!").removeprefix("^") == ",".join(region.split(",")[2:4]) != "")


@dataclass(frozen=True, slots=True)
class Tolerance:
    """How much images may differ, and which fields are ignored."""

    mean: float | None
    """Of all images alike; None: by format and scale, see `means`."""
    maximum: int
    psnr: float
    ignore: frozenset[str] = frozenset()
    """Names of fields and of documented differences, `documented` for all of these; a name that ends in `*` stands for
    all names with that beginning."""
    means: Means = field(default_factory=Means)

    def permits(self, distance: Distance, request: Request) -> bool:
        mean = self.means.of(request) if self.mean is None else self.mean
        return distance.mean <= mean and distance.maximum <= self.maximum and distance.psnr >= self.psnr

    def ignores(self, name: str, documented: str = "") -> bool:
        starts = tuple(field[:-1] for field in self.ignore if field.endswith("*"))
        names = {name, documented, DOCUMENTED} - {""} if documented else {name}
        return bool(names & self.ignore) or (bool(starts) and name.startswith(starts))
